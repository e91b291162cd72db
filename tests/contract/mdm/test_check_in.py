# SPDX-License-Identifier: Apache-2.0
"""Check-in and desired state: every device gets what reaches it, once, and says how it fares."""

from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from etymon.directory import groups, people
from etymon.kernel.errors import NotPermitted
from etymon.mdm import check_in, configuration_profiles, desired_state, devices
from etymon.mdm.check_in import Report
from etymon.mdm.model import DeviceFacts, PolicyResult, Purpose, ResultState
from etymon.mdm.settings import CredentialSource
from etymon.mdm.targets import Target, TargetKind
from support.directory_site import ADMINISTRATOR
from support.mdm_site import MDMSite, Phone, email, everybody, for_apps, trusted_root, wifi
from support.reported_credentials import credential

DERIVED = CredentialSource.DERIVED


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
