# SPDX-License-Identifier: Apache-2.0
"""The end of devices: retire, wipe, accounts that end; credentials and identities end with them."""

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from etymon.ca import authorities, issuance, revocation
from etymon.ca.model import RevocationReason
from etymon.directory import trust
from etymon.kernel.errors import Conflict, EtymonError, NotAuthenticated, NotFound, NotPermitted
from etymon.mdm import check_in, derived_credentials, devices, lifecycle
from etymon.mdm.check_in import Report
from etymon.mdm.model import CommandResult, CommandState, CommandType, DeviceState, InvalidationReason
from etymon.mdm.store import issuers
from etymon.pki.certificate import to_der
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.web.peer_certificate import PeerCertificate
from support import declared_pki
from support.directory_site import ADMINISTRATOR
from support.mdm_site import ISSUER_URL, MDMSite, Phone, everybody, for_apps


def end(site: MDMSite, phone: Phone, how: CommandType) -> None:
    with site.database.transaction() as tx:
        act = lifecycle.retire if how is CommandType.RETIRE else lifecycle.wipe
        act(tx, site.deps, phone.device, actor=ADMINISTRATOR)


def state(site: MDMSite, device: UUID) -> DeviceState:
    with site.database.snapshot() as tx:
        return devices.get(tx, device).state


def only_command(site: MDMSite, phone: Phone) -> UUID:
    told = site.check_in(phone)
    assert told is not None
    (command,) = told.commands
    return command.id


def succeeded(command: UUID) -> tuple[CommandResult, ...]:
    return (CommandResult(command, CommandState.SUCCEEDED),)


@pytest.mark.parametrize(
    ("how", "on_its_way", "gone"),
    [
        (CommandType.RETIRE, DeviceState.RETIRING, DeviceState.RETIRED),
        (CommandType.WIPE, DeviceState.WIPING, DeviceState.WIPED),
    ],
)
def test_a_device_is_told_reports_once_and_is_gone(
    site: MDMSite, how: CommandType, on_its_way: DeviceState, gone: DeviceState
) -> None:
    phone = site.phone(site.directory.person())
    site.configure(for_apps(), everybody())
    site.check_in(phone)
    end(site, phone, how)
    assert state(site, phone.device) is on_its_way
    told = site.check_in(phone)
    assert told is not None
    assert [command.type for command in told.commands] == [how]
    assert told.policies == ()
    assert site.check_in(phone, commands=succeeded(told.commands[0].id)) is None
    assert state(site, phone.device) is gone
    with pytest.raises(NotPermitted) as refusal:
        site.check_in(phone)
    assert refusal.value.code == "device_not_managed"


def test_an_ended_device_loses_its_identity_when_it_has_reported(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    peer = PeerCertificate(to_der(phone.certificate))
    end(site, phone, CommandType.WIPE)
    site.deps.device_door.judge(peer)
    site.check_in(phone, commands=succeeded(only_command(site, phone)))
    with pytest.raises(NotPermitted) as refusal:
        site.deps.device_door.judge(peer)
    assert refusal.value.code == "device_not_managed"


def test_a_device_that_never_reports_ends_after_thirty_days(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    end(site, phone, CommandType.WIPE)
    site.later(timedelta(days=29))
    site.run_jobs()
    assert state(site, phone.device) is DeviceState.WIPING
    site.later(timedelta(days=1))
    assert "mdm.end_device" in site.run_jobs()
    assert state(site, phone.device) is DeviceState.WIPED
    with pytest.raises(NotPermitted):
        site.deps.device_door.judge(PeerCertificate(to_der(phone.certificate)))


def test_a_device_that_reported_is_not_ended_again(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    end(site, phone, CommandType.RETIRE)
    site.check_in(phone, commands=succeeded(only_command(site, phone)))
    site.later(timedelta(days=30))
    site.run_jobs()
    assert len(site.events("mdm:device:retired")) == 1


def test_the_issuer_is_asked_to_end_the_credentials_until_it_has(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.run_jobs()
    end(site, phone, CommandType.WIPE)
    site.issuer.is_down = True
    assert site.run_jobs() == ["mdm.invalidate:issuer_unavailable"]
    site.issuer.is_down = False
    site.later(timedelta(seconds=2))
    assert site.run_jobs() == ["mdm.invalidate"]
    (order,) = site.issuer.orders
    assert (order.device_thumbprint, order.reason) == (phone.thumbprint, InvalidationReason.KEY_COMPROMISE)
    with site.database.snapshot() as tx:
        (kept,) = issuers.invalidations_of(tx, phone.device)
    assert (kept.id, kept.is_done) == (order.id, True)
    assert [event.event.facts["credentials"] for event in site.events("mdm:derived_credential:invalidated")] == [2]


def test_an_issuer_that_was_deleted_is_asked_too_when_people_were_sent_to_it(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    old = site.set_issuer(url="https://old.agency.example/issuer")
    site.configure(for_apps(), everybody())
    site.check_in(phone)
    with site.database.transaction() as tx:
        derived_credentials.delete(tx, site.deps, old.id, actor=ADMINISTRATOR)
    site.set_issuer()
    site.run_jobs()
    site.issuer.urls.clear()
    end(site, phone, CommandType.RETIRE)
    assert site.run_jobs() == ["mdm.invalidate", "mdm.invalidate"]
    assert sorted(site.issuer.urls) == [ISSUER_URL, "https://old.agency.example/issuer"]


def test_ending_twice_is_ending_once(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    end(site, phone, CommandType.RETIRE)
    end(site, phone, CommandType.RETIRE)
    with site.database.snapshot() as tx:
        assert len(devices.commands_of(tx, phone.device)) == 1


def test_a_wipe_overtakes_a_retire(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    end(site, phone, CommandType.RETIRE)
    retire = only_command(site, phone)
    end(site, phone, CommandType.WIPE)
    end(site, phone, CommandType.WIPE)
    end(site, phone, CommandType.RETIRE)
    told = site.check_in(phone, commands=succeeded(retire))
    assert told is not None
    assert [command.type for command in told.commands] == [CommandType.WIPE]
    assert state(site, phone.device) is DeviceState.WIPING


def test_a_retired_device_takes_no_wipe(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    end(site, phone, CommandType.RETIRE)
    site.check_in(phone, commands=succeeded(only_command(site, phone)))
    with pytest.raises(Conflict):
        end(site, phone, CommandType.WIPE)
    end(site, phone, CommandType.RETIRE)


def test_a_device_that_could_not_is_told_again(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    end(site, phone, CommandType.RETIRE)
    command = only_command(site, phone)
    site.check_in(phone, commands=(CommandResult(command, CommandState.FAILED, "storage is busy"),))
    assert state(site, phone.device) is DeviceState.RETIRING
    with site.database.snapshot() as tx:
        (kept,) = devices.commands_of(tx, phone.device)
    assert (kept.state, kept.detail) == (CommandState.FAILED, "storage is busy")
    end(site, phone, CommandType.WIPE)
    assert only_command(site, phone) != command


def test_a_command_of_another_device_or_of_none_is_not_finished(site: MDMSite) -> None:
    alice = site.directory.person()
    mine, other = site.phone(alice), site.phone(alice)
    end(site, mine, CommandType.RETIRE)
    command = only_command(site, mine)
    site.check_in(other, commands=(*succeeded(command), *succeeded(uuid4())))
    assert state(site, mine.device) is DeviceState.RETIRING
    assert state(site, other.device) is DeviceState.MANAGED


def test_one_certificate_can_be_removed_from_a_managed_device(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    with site.database.transaction() as tx:
        command = lifecycle.remove_credential(tx, site.deps, phone.device, b"\x07" * 32, actor=ADMINISTRATOR)
    told = site.check_in(phone)
    assert told is not None
    assert [(one.id, one.credential) for one in told.commands] == [(command, b"\x07" * 32)]
    site.check_in(phone, commands=succeeded(command))
    phone.known = 0
    told = site.check_in(phone)
    assert told is not None
    assert told.commands == ()
    assert state(site, phone.device) is DeviceState.MANAGED
    end(site, phone, CommandType.RETIRE)
    with pytest.raises(Conflict), site.database.transaction() as tx:
        lifecycle.remove_credential(tx, site.deps, phone.device, b"\x07" * 32, actor=ADMINISTRATOR)


def test_the_end_of_an_account_retires_its_devices_once(site: MDMSite) -> None:
    alice = site.directory.person()
    phones = [site.phone(alice), site.phone(alice)]
    stranger = site.phone(site.directory.person("bob"))
    site.set_issuer()
    site.run_jobs()
    site.directory.end_account(alice)
    lifecycle.account_ended(site.deps, alice.id)
    lifecycle.account_ended(site.deps, alice.id)
    assert [state(site, phone.device) for phone in phones] == [DeviceState.RETIRING] * 2
    assert state(site, stranger.device) is DeviceState.MANAGED
    site.run_jobs()
    assert {order.device_thumbprint for order in site.issuer.orders} == {phone.thumbprint for phone in phones}
    assert {order.reason for order in site.issuer.orders} == {InvalidationReason.AFFILIATION_CHANGED}


def test_a_phone_of_an_ended_account_gets_no_policies_even_before_it_is_retired(site: MDMSite) -> None:
    alice = site.directory.person()
    phone = site.phone(alice)
    site.configure(for_apps(), everybody())
    assert site.check_in(phone) is not None
    site.directory.end_account(alice)
    site.later(timedelta(minutes=15))
    told = site.check_in(phone)
    assert told is not None
    assert told.policies == ()


def test_commands_for_devices_that_are_not_there(site: MDMSite) -> None:
    for act in (lifecycle.retire, lifecycle.wipe):
        with pytest.raises(NotFound), site.database.transaction() as tx:
            act(tx, site.deps, uuid4(), actor=ADMINISTRATOR)


def test_of_two_reports_at_once_one_ends_the_device(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    end(site, phone, CommandType.RETIRE)
    report = Report(phone.known, commands=succeeded(only_command(site, phone)))
    together, refusals = threading.Barrier(2), list[str]()

    def attempt() -> None:
        together.wait()
        try:
            check_in.check_in(site.deps, phone.thumbprint, report)
        except EtymonError as error:
            refusals.append(error.code)

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(refusals) <= {"device_not_managed"}
    assert state(site, phone.device) is DeviceState.RETIRED
    assert len(site.events("mdm:device:retired")) == 1


# ---- the door


def test_without_a_certificate_the_door_asks_for_one(site: MDMSite) -> None:
    with pytest.raises(NotAuthenticated) as refusal:
        site.deps.device_door.judge(None)
    assert refusal.value.code == "device_identity_required"


@pytest.mark.parametrize(("remembered", "with_its_authority"), [(False, False), (True, False), (True, True)])
def test_a_revoked_identity_is_refused_at_once(site: MDMSite, *, remembered: bool, with_its_authority: bool) -> None:
    phone = site.phone(site.directory.person())
    peer = PeerCertificate(to_der(phone.certificate))
    if remembered:
        assert site.deps.device_door.judge(peer) == phone.thumbprint
    with site.database.transaction() as tx:
        identity = devices.get(tx, phone.device).identity
        assert identity is not None
        if with_its_authority:
            authorities.revoke(tx, site.deps.ca, "device", RevocationReason.CA_COMPROMISE, actor="x")
        else:
            revocation.revoke(tx, site.deps.ca, identity.certificate, RevocationReason.KEY_COMPROMISE, actor="x")
    with pytest.raises(NotPermitted) as refusal:
        site.deps.device_door.judge(peer)
    assert refusal.value.code == "device_not_managed"


def test_a_certificate_of_another_authority_is_not_a_device_identity(site: MDMSite) -> None:
    other = declared_pki.root(site.clock.now(), "Agency Derived CA").issue(site.clock.now(), "Alice")
    with pytest.raises(NotPermitted) as refusal:
        site.deps.device_door.judge(PeerCertificate(to_der(other.certificate)))
    assert refusal.value.code == "wrong_certificate_kind"


@pytest.mark.parametrize("der", [b"", b"x" * 100])
def test_what_is_no_certificate_is_not_a_device_identity(site: MDMSite, der: bytes) -> None:
    with pytest.raises(NotPermitted) as refusal:
        site.deps.device_door.judge(PeerCertificate(der))
    assert refusal.value.code == "wrong_certificate_kind"


@pytest.mark.parametrize("remembered", [False, True])
def test_an_expired_identity_is_refused(site: MDMSite, *, remembered: bool) -> None:
    phone = site.phone(site.directory.person())
    peer = PeerCertificate(to_der(phone.certificate))
    ends = phone.certificate.not_valid_after_utc
    site.clock.advance(ends - site.clock.now() - timedelta(seconds=1))
    if remembered:
        site.deps.device_door.judge(peer)
    site.clock.advance(timedelta(seconds=2))
    with pytest.raises(NotPermitted) as refusal:
        site.deps.device_door.judge(peer)
    assert refusal.value.code == "expired"


def test_a_device_authority_that_is_not_trusted_any_more_opens_nothing_from_then_on(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    peer = PeerCertificate(to_der(phone.certificate))
    site.deps.device_door.judge(peer)
    with site.database.transaction() as tx:
        trust.remove(tx, site.directory.deps, "device", actor=ADMINISTRATOR)
    with pytest.raises(NotPermitted) as refusal:
        site.deps.device_door.judge(peer)
    assert refusal.value.code == "wrong_certificate_kind"
    site.trust_devices()
    assert site.deps.device_door.judge(peer) == phone.thumbprint


def test_an_entry_that_takes_another_authorities_place_counts_from_then_on(site: MDMSite) -> None:
    """Also when it is saved at the same time by the clock, as after the clock was set back."""
    phone = site.phone(site.directory.person())
    peer = PeerCertificate(to_der(phone.certificate))
    site.deps.device_door.judge(peer)
    other = declared_pki.root(site.clock.now(), "Other Device CA").certificate
    entry = TrustEntry("device", TrustKind.DEVICE, (other,), frozenset(), IdentifierKind.THUMBPRINT)
    with site.database.transaction() as tx:
        trust.save(tx, site.directory.deps, entry, actor=ADMINISTRATOR)
    with pytest.raises(NotPermitted) as refusal:
        site.deps.device_door.judge(peer)
    assert refusal.value.code == "wrong_certificate_kind"


def test_an_entry_for_cards_changes_nothing_at_this_door(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    peer = PeerCertificate(to_der(phone.certificate))
    site.deps.device_door.judge(peer)
    with site.database.snapshot() as tx:
        before = trust.versions(tx, TrustKind.DEVICE)
    cards = declared_pki.root(site.clock.now(), "Agency CA")
    with site.database.transaction() as tx:
        trust.save(tx, site.directory.deps, declared_pki.entry(cards), actor=ADMINISTRATOR)
    with site.database.snapshot() as tx:
        assert trust.versions(tx, TrustKind.DEVICE) == before
    assert site.deps.device_door.judge(peer) == phone.thumbprint


def test_another_device_identity_of_the_authority_is_no_managed_device(site: MDMSite) -> None:
    other = site.ca.issue("device-identity")
    thumbprint = site.deps.device_door.judge(PeerCertificate(to_der(other.certificate)))
    with pytest.raises(NotPermitted) as refusal:
        check_in.check_in(site.deps, thumbprint, Report(0))
    assert refusal.value.code == "device_not_managed"
    assert issuance.complete(site.deps.ca, other.id).certificate == other.certificate


def test_what_was_issued_to_a_device_on_its_way_out_ends_when_it_is_gone(site: MDMSite) -> None:
    """Until it has reported, its identity is good at the issuer: its user may link it once more."""
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.run_jobs()
    end(site, phone, CommandType.RETIRE)
    site.run_jobs()
    assert len(site.issuer.orders) == 1
    site.check_in(phone, commands=succeeded(only_command(site, phone)))

    assert site.run_jobs() == ["mdm.invalidate"]
    assert [order.device_thumbprint for order in site.issuer.orders] == [phone.thumbprint] * 2


def test_what_was_issued_to_a_device_that_never_reports_ends_with_it(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.run_jobs()
    end(site, phone, CommandType.WIPE)
    site.run_jobs()
    site.later(timedelta(days=30))
    site.run_jobs()
    site.run_jobs()

    assert [order.reason for order in site.issuer.orders] == [
        InvalidationReason.KEY_COMPROMISE,
        InvalidationReason.CESSATION_OF_OPERATION,
    ]
