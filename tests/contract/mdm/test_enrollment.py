# SPDX-License-Identifier: Apache-2.0
"""Enrollment: who gets a device identity, who does not, and that nobody gets two."""

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from cryptography import x509
from joserfc import jwt
from joserfc.jwk import ECKey

from etymon.kernel.errors import (
    Conflict,
    EtymonError,
    Expired,
    NotFound,
    Unavailable,
)
from etymon.kernel.secret import Secret
from etymon.mdm import devices, enrollment, enrollment_profiles, lifecycle, signed_statements
from etymon.mdm.enrollment import Completed
from etymon.mdm.model import DeviceState
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.csr import ProvenCSR
from support.directory_site import ADMINISTRATOR
from support.identity_provider import DERIVED
from support.mdm_site import MDMSite, csr_of, fresh_csr


def code(refused: Callable[[], object]) -> str:
    with pytest.raises(EtymonError) as refusal:
        refused()
    return refusal.value.code


def test_a_phone_with_the_token_and_a_card_sign_in_gets_its_identity(site: MDMSite) -> None:
    alice = site.directory.person()
    profile = site.profile(device_name_template="HQ-{{SERIALLAST4DIGITS}}")
    begun = site.begin(site.token(profile))
    key = keys.generate(KeyType.P256)
    done = site.complete(begun, site.access(alice, begun), csr_of(key))
    certificate = done.issued.certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:uuid:{done.device}"]
    assert certificate.public_key() == key.public_key()
    assert done.issued.chain[0].subject == certificate.issuer
    with site.database.snapshot() as tx:
        device = devices.get(tx, done.device)
        assert enrollment_profiles.get(tx, site.deps, profile.id).enrolled_devices == 1
    assert (device.person, device.state, device.name) == (alice.id, DeviceState.MANAGED, "HQ-N-42")
    assert device.profile_name == "Headquarters"
    assert [event.event.actor for event in site.events("mdm:enrollment:completed")] == [f"person:{alice.id}"]


def test_begin_gives_an_assertion_the_provider_can_verify(site: MDMSite) -> None:
    begun = site.begin()
    published = signed_statements.published_keys(site.deps.assertion_key)["keys"][0]
    assert "d" not in published
    read = jwt.decode(begun.assertion, ECKey.import_key(dict(published)), algorithms=["ES256"])
    assert read.header["kid"] == published["kid"]
    claims = read.claims
    assert claims["iss"] == site.deps.server_url
    assert claims["aud"] == site.provider.issuer
    assert claims["enrollment_session"] == str(begun.session)
    assert claims["exp"] - claims["iat"] == 600
    assert claims["device"] == {
        "manufacturer": "Google",
        "model": "Pixel 9",
        "serial_number": "SN-42",
        "os_version": "14",
    }
    assert begun.branding.organization == "Test Agency"


def test_an_unknown_token_begins_nothing(site: MDMSite) -> None:
    assert code(lambda: site.begin(Secret("A" * 24))) == "enrollment_token_unknown"


def test_a_token_is_refused_the_moment_it_expires(site: MDMSite) -> None:
    token = site.token(lifetime=timedelta(hours=1))
    site.clock.advance(timedelta(minutes=59, seconds=59))
    site.begin(token)
    site.clock.advance(timedelta(seconds=1))
    with pytest.raises(Expired) as refusal:
        site.begin(token)
    assert refusal.value.code == "enrollment_token_expired"


def test_a_revoked_token_begins_nothing(site: MDMSite) -> None:
    profile = site.profile()
    token = site.token(profile)
    with site.database.transaction() as tx:
        enrollment_profiles.revoke_token(tx, site.deps, profile.id, actor=ADMINISTRATOR)
    assert code(lambda: site.begin(token)) == "enrollment_token_unknown"


def test_a_new_token_takes_the_place_of_the_old(site: MDMSite) -> None:
    profile = site.profile()
    old, new = site.token(profile), site.token(profile)
    assert code(lambda: site.begin(old)) == "enrollment_token_unknown"
    site.begin(new)


def test_the_token_of_a_deleted_profile_begins_nothing_and_its_devices_stay(site: MDMSite) -> None:
    profile = site.profile()
    token = site.token(profile)
    phone = site.phone(site.directory.person(), token=token)
    with site.database.transaction() as tx:
        enrollment_profiles.delete(tx, site.deps, profile.id, actor=ADMINISTRATOR)
    assert code(lambda: site.begin(token)) == "enrollment_token_unknown"
    with site.database.snapshot() as tx:
        device = devices.get(tx, phone.device)
    assert (device.state, device.profile, device.profile_name) == (DeviceState.MANAGED, None, "Headquarters")


def test_a_session_ends_after_fifteen_minutes(site: MDMSite) -> None:
    alice, begun = site.directory.person(), site.begin()
    site.clock.advance(timedelta(minutes=14, seconds=59))
    enrollment.fresh_assertion(site.deps, begun.session, begun.secret, source="192.0.2.1")
    site.clock.advance(timedelta(seconds=1))
    assert code(lambda: enrollment.fresh_assertion(site.deps, begun.session, begun.secret, source="192.0.2.1")) == (
        "enrollment_session_expired"
    )
    assert code(lambda: site.complete(begun, site.access(alice, begun), fresh_csr())) == "enrollment_session_expired"


def test_a_secret_opens_its_own_session_only(site: MDMSite) -> None:
    alice, mine, other = site.directory.person(), site.begin(), site.begin()
    token = site.access(alice, mine)
    with pytest.raises(NotFound):
        enrollment.complete(site.deps, mine.session, other.secret, token, fresh_csr(), source="")
    with pytest.raises(NotFound):
        enrollment.complete(
            site.deps, (unknown := uuid4()), mine.secret, site.access(alice, mine, enrollment_session=str(unknown)),
            fresh_csr(), source="",
        )  # fmt: skip


def test_the_sign_in_of_another_enrollment_is_refused(site: MDMSite) -> None:
    alice, mine, other = site.directory.person(), site.begin(), site.begin()
    assert code(lambda: site.complete(mine, site.access(alice, other), fresh_csr())) == "other_session"
    token = site.access(alice, mine, enrollment_session=None)
    assert code(lambda: site.complete(mine, token, fresh_csr())) == "other_session"


def test_a_sign_in_with_a_derived_credential_is_not_enough(site: MDMSite) -> None:
    alice, begun = site.directory.person(), site.begin()
    token = site.access(alice, begun, acr=DERIVED, amr=["swk", "pin", "mfa"])
    assert code(lambda: site.complete(begun, token, fresh_csr())) == "card_required"
    assert code(lambda: site.complete(begun, site.access(alice, begun, acr=None), fresh_csr())) == "card_required"


def test_an_ended_or_unknown_account_enrolls_nothing(site: MDMSite) -> None:
    bob, begun = site.directory.person("bob"), site.begin()
    site.directory.end_account(bob)
    assert code(lambda: site.complete(begun, site.access(bob, begun), fresh_csr())) == "account_ended"
    nobody = site.access(bob, begun, sub=str(uuid4()))
    assert code(lambda: site.complete(begun, nobody, fresh_csr())) == "account_ended"


def test_the_same_request_again_gets_the_same_certificate(site: MDMSite) -> None:
    alice, begun, csr = site.directory.person(), site.begin(), fresh_csr()
    first = site.complete(begun, site.access(alice, begun), csr)
    again = site.complete(begun, site.access(alice, begun), csr)
    assert (again.device, again.issued.certificate) == (first.device, first.issued.certificate)
    with site.database.snapshot() as tx:
        assert len(devices.of_person(tx, alice.id)) == 1


def test_a_second_key_is_a_conflict(site: MDMSite) -> None:
    alice, begun = site.directory.person(), site.begin()
    site.complete(begun, site.access(alice, begun), fresh_csr())
    with pytest.raises(Conflict) as refusal:
        site.complete(begun, site.access(alice, begun), fresh_csr())
    assert refusal.value.code == "session_already_completed"
    assert code(lambda: enrollment.fresh_assertion(site.deps, begun.session, begun.secret, source="192.0.2.1")) == (
        "session_already_completed"
    )


def test_another_person_does_not_get_a_device_that_was_enrolled(site: MDMSite) -> None:
    alice, bob, begun, csr = site.directory.person(), site.directory.person("bob"), site.begin(), fresh_csr()
    site.complete(begun, site.access(alice, begun), csr)
    assert code(lambda: site.complete(begun, site.access(bob, begun), csr)) == "session_already_completed"


def test_a_key_that_was_certified_before_enrolls_no_second_device(site: MDMSite) -> None:
    alice, csr = site.directory.person(), fresh_csr()
    first, second = site.begin(), site.begin()
    site.complete(first, site.access(alice, first), csr)
    assert code(lambda: site.complete(second, site.access(alice, second), csr)) == "key_already_certified"


def test_of_many_completions_at_once_with_different_keys_exactly_one_wins(site: MDMSite) -> None:
    alice, begun = site.directory.person(), site.begin()
    token = site.access(alice, begun)
    requests = [fresh_csr() for _ in range(4)]
    outcomes: list[Completed | str] = []
    together = threading.Barrier(len(requests))

    def attempt(csr: ProvenCSR) -> None:
        together.wait()
        try:
            outcomes.append(site.complete(begun, token, csr))
        except EtymonError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=attempt, args=(csr,)) for csr in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [outcome for outcome in outcomes if isinstance(outcome, Completed)]
    assert len(won) == 1
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["session_already_completed"] * 3
    with site.database.snapshot() as tx:
        assert [device.id for device in devices.of_person(tx, alice.id)] == [won[0].device]


def test_of_many_completions_at_once_with_one_key_all_get_the_one_certificate(site: MDMSite) -> None:
    alice, begun, csr = site.directory.person(), site.begin(), fresh_csr()
    token = site.access(alice, begun)
    together = threading.Barrier(3)
    serials: list[int] = []

    def attempt() -> None:
        together.wait()
        serials.append(site.complete(begun, token, csr).issued.certificate.serial_number)

    threads = [threading.Thread(target=attempt) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(serials) == 3
    assert len(set(serials)) == 1


def test_a_completion_whose_process_died_is_finished_by_a_worker(site: MDMSite) -> None:
    """The signing key is away: the session is consumed, the certificate planned, nothing answered."""
    alice, begun, csr = site.directory.person(), site.begin(), fresh_csr()
    with pytest.raises(Unavailable):
        site.complete(begun, site.access(alice, begun), csr, deps=site.unplugged())
    assert site.run_jobs() == []
    site.later(timedelta(minutes=2))
    assert site.run_jobs() == ["mdm.finish_enrollment"]
    with site.database.snapshot() as tx:
        (device,) = devices.of_person(tx, alice.id)
    assert device.state is DeviceState.MANAGED
    again = site.complete(begun, site.access(alice, begun), csr)
    assert device.identity is not None
    assert again.issued.id == device.identity.certificate


def test_finishing_what_was_answered_changes_nothing(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.later(timedelta(minutes=2))
    assert site.run_jobs() == ["mdm.finish_enrollment"]
    assert site.check_in(phone) is not None
    assert len(site.events("mdm:device:enrolled")) == 1


def test_an_undone_approval_ends_the_open_session(site: MDMSite) -> None:
    alice, begun = site.directory.person(), site.begin()
    lifecycle.enrollment_undone(site.deps, begun.session, actor="undo")
    assert code(lambda: site.complete(begun, site.access(alice, begun), fresh_csr())) == "enrollment_cancelled"


def test_an_undone_approval_ends_the_device_it_made(site: MDMSite) -> None:
    alice, begun = site.directory.person(), site.begin()
    done = site.complete(begun, site.access(alice, begun), fresh_csr())
    lifecycle.enrollment_undone(site.deps, begun.session, actor="undo")
    lifecycle.enrollment_undone(site.deps, uuid4(), actor="undo")
    with site.database.snapshot() as tx:
        assert devices.get(tx, done.device).state is DeviceState.RETIRING


def test_a_device_whose_account_ends_while_it_enrolls_gets_no_identity(site: MDMSite) -> None:
    alice, begun, csr = site.directory.person(), site.begin(), fresh_csr()
    with pytest.raises(Unavailable):
        site.complete(begun, site.access(alice, begun), csr, deps=site.unplugged())
    lifecycle.account_ended(site.deps, alice.id)
    assert code(lambda: site.complete(begun, site.access(alice, begun), csr)) == "certificate_abandoned"
    site.later(timedelta(minutes=2))
    assert site.run_jobs() == ["mdm.finish_enrollment"]
    with site.database.snapshot() as tx:
        (device,) = devices.of_person(tx, alice.id)
    assert (device.state, device.identity) == (DeviceState.RETIRED, None)


def test_when_the_trail_is_not_sealed_nothing_is_issued_and_nothing_is_consumed(site: MDMSite) -> None:
    alice, begun = site.directory.person(), site.begin()
    site.clock.advance(timedelta(minutes=2))
    assert code(lambda: site.complete(begun, site.access(alice, begun), fresh_csr())) == "audit_not_sealed"
    site.ca.seal()
    site.complete(begun, site.access(alice, begun), fresh_csr())


def test_sessions_that_led_to_nothing_are_removed_in_time(site: MDMSite) -> None:
    token, alice = site.token(), site.directory.person()
    stale, kept = site.begin(token), site.begin(token)
    site.complete(kept, site.access(alice, kept), fresh_csr())
    site.clock.advance(timedelta(days=2))
    site.begin(token)
    with pytest.raises(NotFound):
        enrollment.fresh_assertion(site.deps, stale.session, stale.secret, source="192.0.2.1")
    assert code(lambda: enrollment.fresh_assertion(site.deps, kept.session, kept.secret, source="192.0.2.1")) == (
        "session_already_completed"
    )
