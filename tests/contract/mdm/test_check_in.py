# SPDX-License-Identifier: Apache-2.0
"""Check-in and desired state: every device gets what reaches it, once, and says how it fares."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from etymon.directory import groups, people
from etymon.kernel.errors import NotPermitted
from etymon.mdm import branding, check_in, configuration_profiles, derived_credentials, desired_state, devices
from etymon.mdm.check_in import Report
from etymon.mdm.model import DeviceFacts, HeldCredential, PolicyResult, Purpose, ResultState
from etymon.mdm.settings import CredentialSource
from etymon.mdm.targets import Target, TargetKind
from etymon.web.branding import Branding
from support.directory_site import ADMINISTRATOR
from support.mdm_site import MDMSite, Phone, email, everybody, for_apps, trusted_root, wifi

DERIVED = CredentialSource.DERIVED


def credential(purpose: Purpose, site: MDMSite, *, days: int = 100) -> HeldCredential:
    return HeldCredential(purpose, bytes([len(purpose.value)]) * 32, site.clock.now() + timedelta(days=days))


def names(site: MDMSite, phone: Phone) -> set[str] | None:
    told = site.check_in(phone)
    return None if told is None else {policy.display_name for policy in told.policies}


# ---- what a device is told


def test_a_new_phone_is_told_everything_and_then_nothing(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    root = site.configure(trusted_root(), everybody(), name="Root")
    site.configure(wifi(root.id), Target(TargetKind.ALL_DEVICES), name="Wi-Fi")
    site.configure(for_apps(), name="Not assigned")
    assert names(site, phone) == {"Root", "Wi-Fi"}
    assert names(site, phone) is None


def test_a_phone_that_forgot_is_told_again(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.configure(for_apps(), everybody(), name="Apps")
    assert names(site, phone) == {"Apps"}
    phone.known = 0
    assert names(site, phone) == {"Apps"}


def test_a_phone_that_knows_more_than_we_do_is_told_again(site: MDMSite) -> None:
    """After a backup was restored the phone's version is ahead."""
    phone = site.phone(site.directory.person())
    site.check_in(phone)
    phone.known = 999
    told = site.check_in(phone)
    assert told is not None
    assert told.version < 999


def test_groups_decide_and_exclusion_wins(site: MDMSite) -> None:
    alice, bob, carol = (site.directory.person(name) for name in ("alice", "bob", "carol"))
    field, contractors = site.group("Field", alice, bob), site.group("Contractors", bob)
    site.configure(
        for_apps(),
        Target(TargetKind.GROUP, field),
        Target(TargetKind.EXCLUDED_GROUP, contractors),
        name="Apps",
    )
    assert names(site, site.phone(alice)) == {"Apps"}
    assert names(site, site.phone(bob)) == set()
    assert names(site, site.phone(carol)) == set()


def test_an_edit_reaches_the_phone_as_a_newer_version(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    profile = site.configure(for_apps(), everybody())
    first = site.check_in(phone)
    with site.database.transaction() as tx:
        content = configuration_profiles.ProfileContent("Renamed", for_apps("org.example.mail"))
        configuration_profiles.update(tx, site.deps, profile.id, content, actor=ADMINISTRATOR)
    second = site.check_in(phone)
    assert first is not None
    assert second is not None
    assert second.version > first.version
    assert [(policy.display_name, policy.version) for policy in second.policies] == [("Renamed", 2)]


def test_what_is_unassigned_or_deleted_leaves_the_phone(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    one = site.configure(for_apps(), everybody(), name="One")
    two = site.configure(trusted_root(), everybody(), name="Two")
    assert names(site, phone) == {"One", "Two"}
    site.assign(one)
    assert names(site, phone) == {"Two"}
    with site.database.transaction() as tx:
        configuration_profiles.delete(tx, site.deps, two.id, actor=ADMINISTRATOR)
    assert names(site, phone) == set()


def test_a_change_of_groups_reaches_the_phone(site: MDMSite) -> None:
    alice = site.directory.person()
    phone, field = site.phone(alice), site.group("Field")
    site.configure(for_apps(), Target(TargetKind.GROUP, field), name="Apps")
    assert names(site, phone) == set()
    with site.database.transaction() as tx:
        groups.add_member(tx, site.directory.deps, field, alice.id, actor=ADMINISTRATOR)
        desired_state.membership_changed(tx, alice.id)
    assert names(site, phone) == {"Apps"}


def test_a_change_nobody_told_us_of_is_found_within_a_quarter_of_an_hour(site: MDMSite) -> None:
    alice = site.directory.person()
    phone, field = site.phone(alice), site.group("Field")
    site.configure(for_apps(), Target(TargetKind.GROUP, field), name="Apps")
    assert names(site, phone) == set()
    with site.database.transaction() as tx:
        groups.add_member(tx, site.directory.deps, field, alice.id, actor=ADMINISTRATOR)
    assert names(site, phone) is None
    site.later(desired_state.COMPUTED_AGAIN_AFTER)
    assert names(site, phone) == {"Apps"}


def test_a_change_that_changes_nothing_for_a_phone_is_no_news_to_it(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.check_in(phone)
    site.configure(for_apps(), Target(TargetKind.GROUP, site.group("Others")))
    assert site.check_in(phone) is None


def test_a_new_mail_address_reaches_the_account_on_the_phone(site: MDMSite) -> None:
    alice = site.directory.person()
    phone = site.phone(alice)
    site.configure(email(signing=DERIVED), everybody())
    first = site.check_in(phone)
    with site.database.transaction() as tx:
        people.update(tx, site.directory.deps, alice.id, mail_addresses=["alice.new@example.test"], actor=ADMINISTRATOR)
        desired_state.membership_changed(tx, alice.id)
    second = site.check_in(phone)
    assert first is not None
    assert second is not None
    assert first.desired.mail_address == "alice@example.test"
    assert second.desired.mail_address == "alice.new@example.test"


# ---- what an idle check-in costs


def statements(site: MDMSite, phone: Phone, report: Report) -> list[str]:
    seen: list[str] = []

    def note(_c: object, _cu: object, statement: str, *_: object) -> None:
        if not statement.startswith(("PRAGMA", "BEGIN")):
            seen.append(statement)

    engine = site.database.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        check_in.check_in(site.deps, phone.thumbprint, report)
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    return seen


def test_an_idle_check_in_is_one_read(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    facts = DeviceFacts(os_version="14", security_patch="2026-11-05")
    site.check_in(phone, facts=facts, credentials=())
    (only,) = statements(site, phone, Report(phone.known, facts=facts, credentials=()))
    assert only.startswith("SELECT")
    (only,) = statements(site, phone, Report(phone.known))
    assert only.startswith("SELECT")


def test_when_a_phone_was_last_heard_of_is_kept_to_five_minutes(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    began = site.clock.now()
    for minutes, heard in ((0, 0), (4, 0), (5, 5), (9, 5)):
        site.clock.advance(began + timedelta(minutes=minutes) - site.clock.now())
        site.check_in(phone)
        with site.database.snapshot() as tx:
            assert devices.get(tx, phone.device).last_check_in_at == began + timedelta(minutes=heard)


# ---- what a device reports


def results(site: MDMSite, profile: object) -> list[tuple[int, ResultState, str]]:
    with site.database.snapshot() as tx:
        found = configuration_profiles.results(tx, profile, after=None, limit=10)  # type: ignore[arg-type]
    return [(one.result.version, one.result.state, one.result.detail) for one in found]


def test_results_are_kept_the_latest_for_each_policy(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    profile = site.configure(for_apps(), everybody())
    waiting = PolicyResult(profile.id, 1, ResultState.PENDING, "waits for the derived credential")
    site.check_in(phone, results=(waiting,))
    assert results(site, profile.id) == [(1, ResultState.PENDING, "waits for the derived credential")]
    site.check_in(phone, results=(PolicyResult(profile.id, 1, ResultState.SUCCEEDED),))
    assert results(site, profile.id) == [(1, ResultState.SUCCEEDED, "")]


def test_the_same_report_twice_changes_nothing(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    profile = site.configure(for_apps(), everybody())
    report = {"results": (PolicyResult(profile.id, 1, ResultState.FAILED, "no"),), "credentials": ()}
    first = site.check_in(phone, **report)
    known = phone.known
    assert first is not None
    (only,) = statements(site, phone, Report(known, results=report["results"], credentials=()))
    assert only.startswith("SELECT")
    assert site.check_in(phone, **report) is None


def test_a_result_for_a_policy_that_is_gone_is_dropped(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.check_in(phone, results=(PolicyResult(uuid4(), 1, ResultState.SUCCEEDED),))


def test_facts_and_credentials_are_kept(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    held = credential(Purpose.AUTHENTICATION, site)
    site.check_in(phone, facts=DeviceFacts(os_version="15", security_patch="2026-12-05"), credentials=(held,))
    with site.database.snapshot() as tx:
        facts = devices.get(tx, phone.device).facts
        assert devices.credentials_on(tx, phone.device) == [held]
    assert (facts.model, facts.os_version, facts.security_patch) == ("Pixel 9", "15", "2026-12-05")
    site.check_in(phone, credentials=())
    with site.database.snapshot() as tx:
        assert devices.credentials_on(tx, phone.device) == []


@pytest.mark.parametrize("thumbprint", [bytes(32), b"", b"x"])
def test_an_identity_that_is_not_a_managed_devices_is_refused(site: MDMSite, thumbprint: bytes) -> None:
    with pytest.raises(NotPermitted) as refusal:
        check_in.check_in(site.deps, thumbprint, Report(0))
    assert refusal.value.code == "device_not_managed"


# ---- the derived credential


def test_a_policy_that_needs_a_credential_is_told_by_phone_and_mail_exactly_once(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    issuer = site.set_issuer()
    site.check_in(phone)
    assert site.mail() == []
    site.configure(for_apps(), everybody())
    site.configure(email(signing=DERIVED, encryption=DERIVED), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert told.desired.purposes == tuple(Purpose)
    assert told.desired.directions is not None
    assert told.desired.directions.issuer == issuer.id
    assert told.desired.directions.self_service == "https://issuer.agency.example:8443/issuer/"
    (notification,) = told.notifications
    assert notification.action == "setUpDerivedCredential"
    (mail,) = site.mail()
    assert mail.payload["to"] == ["alice@example.test"]
    text = str(mail.payload["text"])
    assert "https://issuer.agency.example:8443/issuer/" in text
    assert "https://help.agency.example/dc" in text
    site.configure(for_apps("org.example.mail"), everybody())
    again = site.check_in(phone)
    assert again is not None
    assert again.notifications == ()
    site.later(timedelta(hours=1))
    site.check_in(phone)
    assert site.mail() == []


def test_of_many_check_ins_at_once_one_tells(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    together = threading.Barrier(4)
    versions: list[int] = []

    def attempt() -> None:
        together.wait()
        standing, _ = check_in.check_in(site.deps, phone.thumbprint, Report(0))
        versions.append(standing.version)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(versions) == 4
    assert len(site.mail()) == 1
    told = site.check_in(phone)
    assert told is not None
    assert len(told.notifications) == 1


def test_every_device_of_a_person_is_told(site: MDMSite) -> None:
    alice = site.directory.person()
    site.set_issuer()
    site.configure(for_apps(), everybody())
    for phone in (site.phone(alice), site.phone(alice)):
        told = site.check_in(phone)
        assert told is not None
        assert len(told.notifications) == 1
    assert len(site.mail()) == 2


def test_nobody_is_told_before_there_is_an_issuer_and_everybody_is_then(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.configure(for_apps(), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert (told.desired.directions, told.notifications) == (None, ())
    assert told.desired.purposes == (Purpose.AUTHENTICATION,)
    site.set_issuer()
    told = site.check_in(phone)
    assert told is not None
    assert len(told.notifications) == 1
    assert len(site.mail()) == 1


def test_a_new_issuer_is_told_again(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.configure(for_apps(), everybody())
    first = site.set_issuer()
    site.check_in(phone)
    assert len(site.mail()) == 1
    with site.database.transaction() as tx:
        derived_credentials.delete(tx, site.deps, first.id, actor=ADMINISTRATOR)
    told = site.check_in(phone)
    assert told is not None
    assert told.desired.directions is None
    site.set_issuer()
    site.check_in(phone)
    assert len(site.mail()) == 1


@pytest.mark.parametrize(("phone_wanted", "mail_wanted"), [(True, False), (False, True), (False, False)])
def test_the_issuers_terms_say_by_which_way_people_are_told(
    site: MDMSite, *, phone_wanted: bool, mail_wanted: bool
) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer(notify_phone=phone_wanted, notify_mail=mail_wanted)
    site.configure(for_apps(), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert len(told.notifications) == int(phone_wanted)
    assert len(site.mail()) == int(mail_wanted)


def test_a_phone_that_holds_the_credential_is_not_asked_for_it(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.check_in(phone, credentials=(credential(Purpose.AUTHENTICATION, site, days=10),))
    site.configure(for_apps(), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert told.notifications == ()
    assert site.mail() == []


def test_an_expired_credential_does_not_count(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    held = credential(Purpose.AUTHENTICATION, site, days=1)
    site.check_in(phone, credentials=(held,))
    assert site.mail() == []
    site.later(timedelta(days=1))
    told = site.check_in(phone, credentials=(held,))
    assert told is not None
    assert len(told.notifications) == 1


def test_the_request_is_withdrawn_when_the_credential_is_there(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    site.check_in(phone)
    site.check_in(phone, credentials=(credential(Purpose.AUTHENTICATION, site),))
    phone.known = 0
    told = site.check_in(phone)
    assert told is not None
    assert told.notifications == ()


def test_a_phone_that_missed_the_answer_gets_the_notification_with_the_next(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    site.check_in(phone)
    phone.known = 0
    told = site.check_in(phone)
    assert told is not None
    assert len(told.notifications) == 1
    assert len(site.mail()) == 1


def test_a_person_without_a_mail_address_is_told_on_the_phone(site: MDMSite) -> None:
    phone = site.phone(site.directory.person(mail_addresses=[]))
    site.set_issuer()
    site.configure(for_apps(), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert len(told.notifications) == 1
    assert site.mail() == []


def test_what_the_issuer_says_of_itself_reaches_phones(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    site.check_in(phone)
    site.issuer.is_down = True
    assert site.run_jobs() == ["mdm.describe_issuer:issuer_unavailable"]
    site.issuer.is_down = False
    site.later(timedelta(seconds=2))
    assert site.run_jobs() == ["mdm.describe_issuer"]
    told = site.check_in(phone)
    assert told is not None
    assert told.desired.directions is not None
    assert told.desired.directions.name == "Agency Credential Issuer"
    assert told.notifications == ()


def test_the_message_names_the_organization_as_it_is_branded(site: MDMSite) -> None:
    with site.database.transaction() as tx:
        branding.create(tx, site.deps, "Default", Branding("Ministry of Tests"), actor=ADMINISTRATOR)
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert "Ministry of Tests" in told.notifications[0].body
    assert "Ministry of Tests" in str(site.mail()[0].payload["text"])
