# SPDX-License-Identifier: Apache-2.0
"""One file after another applied to a running administration API, by people who may and people who may not."""

import pytest

from etymon.audit import trail
from etymon.directory import bindings, groups, people, roles, trust
from etymon.directory.model import Role
from etymon.kernel.errors import Conflict
from etymon.mdm import configuration_profiles, enrollment_profiles
from etymon.pki.trust_entry import IdentifierKind, TrustKind
from etymon.server.apply.applying import Outcome
from etymon.server.apply.planning import Passwords
from etymon.server.apply.resource import Role as Writer
from etymon.wire.enrollment_qr import SetupNetwork
from support.agency import AGENCY, CARD, agency, without
from support.mdm_listeners import RunningSite
from support.operator import Operator


def test_each_role_does_its_part_and_is_told_what_remains(administrator: Operator, officer: Operator) -> None:
    assert administrator.apply(agency()) is Outcome.AS_WANTED
    assert "For the Officer remains 1 change:" in administrator.shown
    assert "done: make user ana@agency.test" in administrator.shown
    assert officer.apply(agency()) is Outcome.AS_WANTED
    assert "done: make issuance rule staff" in officer.shown
    assert "remains" not in officer.shown
    for operator in (administrator, officer):
        assert operator.apply(agency(), check=True) is Outcome.AS_WANTED


def test_an_officer_appoints_who_recovers_keys_with_the_files_authority(
    administrator: Operator, officer: Operator, running: RunningSite
) -> None:
    kim = {"userPrincipalName": "kim@agency.test", "displayName": "Kim", "roles": ["keyRecoveryAgent"]}
    document = {"organization": "Test Agency", "users": [{**kim, "rolesAuthority": "letter 12/34"}]}
    for operator in (administrator, officer):
        assert operator.apply(document) is Outcome.AS_WANTED
    for operator in (administrator, officer):
        assert operator.apply(document, check=True) is Outcome.AS_WANTED
        assert "kim@agency.test waits as keyRecoveryAgent for an Administrator" in operator.shown
        assert ": etymon appointments confirm kim@agency.test --role keyRecoveryAgent --assigned 2" in operator.shown
    with running.site.database.snapshot() as tx:
        person = people.by_user_principal_name(tx, "kim@agency.test")
        assert person is not None
        assert roles.roles_of(tx, person.id) == {Role.KEY_RECOVERY_AGENT}
        (assigned,) = [
            one.event
            for one in trail.page(tx, subject=f"person:{person.id}", limit=20)
            if one.event.name == "directory:role:assigned"
        ]
        assert assigned.facts["authority"] == "letter 12/34"


def test_an_officer_alone_is_told_that_the_administrator_comes_first(officer: Operator) -> None:
    with pytest.raises(Conflict, match=r"group Staff is not there yet\. Let the Administrator apply"):
        officer.apply(agency())
    assert "not done: make issuance rule staff" in officer.shown


def test_what_was_applied_is_what_the_services_have(administrator: Operator, running: RunningSite) -> None:
    administrator.apply(agency())
    site = running.site
    with site.database.snapshot() as tx:
        ana = people.by_user_principal_name(tx, "ana@agency.test")
        ben = people.by_user_principal_name(tx, "ben@agency.test")
        assert ana is not None
        assert ben is not None
        assert ana.mail_addresses == ("ana@agency.test",)
        assert bindings.person_for(tx, "agency-cards", CARD) == ana
        assert roles.roles_of(tx, ben.id) == {Role.OPERATOR}
        staff = groups.by_name(tx, "Staff")
        assert staff is not None
        assert {person.id for person in groups.members(tx, staff.id)} == {ana.id, ben.id}
        (phones,) = enrollment_profiles.page(tx, site.deps, after=None, limit=10)
        assert phones.token is not None
        assert isinstance(phones.terms.network, SetupNetwork)
        assert phones.terms.network.password is not None
        assert phones.terms.network.password.reveal() == "correct horse battery"
        profiles = {profile.display_name: profile for profile in configuration_profiles.page(tx, after=None, limit=10)}
        (assigned,) = configuration_profiles.assignments(tx, profiles["Office"].id)
        assert assigned.target.group == staff.id


def test_no_secret_is_shown(administrator: Operator) -> None:
    administrator.apply(agency())
    assert "wifi.password: (not shown)" in administrator.shown
    assert "correct horse" not in administrator.shown


def test_looking_changes_nothing_and_says_that_there_are_differences(administrator: Operator) -> None:
    assert administrator.apply(agency(), check=True) is Outcome.DIFFERENT
    assert "+ make group Staff" in administrator.shown
    assert administrator.plan(agency()).changes
    assert administrator.apply(agency(), answer=False) is Outcome.DIFFERENT
    assert administrator.plan(agency()).changes


def test_only_what_changed_in_the_file_is_changed(administrator: Operator) -> None:
    administrator.apply(agency())
    after = agency()
    after["users"][0]["displayName"] = "Ana María"
    after["configurations"][1]["serverNames"] = ["radius.agency.test", "radius2.agency.test"]
    administrator.apply(after)
    done = [line for line in administrator.shown.splitlines() if line.startswith("done:")]
    assert done == ["done: change user ana@agency.test", "done: change configuration Office"]
    assert "displayName: Ana → Ana María" in administrator.shown
    assert administrator.plan(after).remaining_for(Writer.ADMINISTRATOR) == 0


def test_a_password_is_sent_again_when_asked(administrator: Operator, running: RunningSite) -> None:
    administrator.apply(agency())
    (administrator.folder / "wifi.txt").write_text("another battery staple\n", "utf-8")
    try:
        administrator.apply(agency())
        assert "done:" not in administrator.shown
        administrator.apply(agency(), passwords=Passwords.AGAIN)
        assert "done: change enrollment profile Phones" in administrator.shown
    finally:
        (administrator.folder / "wifi.txt").write_text("correct horse battery\n", "utf-8")
    with running.site.database.snapshot() as tx:
        (phones,) = enrollment_profiles.page(tx, running.site.deps, after=None, limit=10)
    assert isinstance(phones.terms.network, SetupNetwork)
    assert phones.terms.network.password is not None
    assert phones.terms.network.password.reveal() == "another battery staple"


def test_nothing_ends_without_prune_and_everything_surplus_with_it(
    administrator: Operator, officer: Operator, running: RunningSite
) -> None:
    administrator.apply(agency())
    officer.apply(agency())
    less = agency(configurations=[], enrollmentProfiles=[], issuanceRules=[], branding=None)
    less["users"] = [{**AGENCY["users"][0], "cards": []}]
    less["groups"] = [{"name": "Staff", "members": ["ana@agency.test"]}]
    administrator.apply(less)
    assert "done:" not in administrator.shown
    assert "user ben@agency.test stays: is not in the file" in administrator.shown
    assert "configuration Office stays: is not in the file" in administrator.shown
    administrator.apply(less, prune=True)
    assert "user ben@agency.test stays: holds the role operator" in administrator.shown
    officer.apply(less, prune=True)
    assert administrator.plan(less, prune=True).changes == ()
    with running.site.database.snapshot() as tx:
        assert bindings.person_for(tx, "agency-cards", CARD) is None
        assert people.by_user_principal_name(tx, "ben@agency.test") is not None  # an operator is withdrawn first
        assert configuration_profiles.page(tx, after=None, limit=10) == []


def test_pruning_leaves_sections_that_the_file_does_not_have(administrator: Operator) -> None:
    administrator.apply(agency())
    administrator.apply({"organization": "Test Agency", "groups": agency()["groups"]}, prune=True)
    assert "done:" not in administrator.shown
    assert administrator.plan(without("issuanceRules")).changes == ()


def test_pruning_leaves_trust_entries_of_the_deployment_and_derived_bindings(
    administrator: Operator, running: RunningSite
) -> None:
    administrator.apply(agency())
    site = running.site
    site.directory.trust("derived", kind=TrustKind.DERIVED, identifier=IdentifierKind.UUID)
    with site.database.transaction() as tx:
        ana = people.by_user_principal_name(tx, "ana@agency.test")
        assert ana is not None
        bindings.bind(
            tx, site.directory.deps, trust_entry="derived", identifier="d-1", person_id=ana.id, actor="person:x"
        )
    administrator.apply(agency(), prune=True)
    with site.database.snapshot() as tx:
        assert bindings.person_for(tx, "derived", "d-1") is not None
        assert {entry.name for entry in trust.entries(tx)} >= {"agency-cards", "derived"}


def test_the_issuer_is_replaced_only_with_prune(administrator: Operator) -> None:
    administrator.apply(agency())
    other = agency()
    other["derivedCredential"]["url"] = "https://other.agency.test/issuer"
    administrator.apply(other)
    assert "stays: differs in url" in administrator.shown
    administrator.apply(other, prune=True)
    assert "done: end and make anew derived-credential issuer Issuer" in administrator.shown
    assert (
        administrator.plan(without("issuanceRules") | {"derivedCredential": other["derivedCredential"]}).changes == ()
    )


def test_a_card_that_changes_hands(administrator: Operator, running: RunningSite) -> None:
    administrator.apply(agency())
    moved = agency()
    moved["users"][1]["cards"], moved["users"][0]["cards"] = moved["users"][0]["cards"], []
    with pytest.raises(Conflict, match="use --prune"):
        administrator.apply(moved)
    administrator.apply(moved, prune=True)
    with running.site.database.snapshot() as tx:
        holder = bindings.person_for(tx, "agency-cards", CARD)
    assert holder is not None
    assert holder.user_principal_name == "ben@agency.test"
