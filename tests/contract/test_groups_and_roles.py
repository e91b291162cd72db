# SPDX-License-Identifier: Apache-2.0
"""Groups and roles on both engines."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from etymon.audit import trail
from etymon.directory import groups, roles
from etymon.directory.model import RECOVERY_ROLES, Group, Person, Role
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotFound
from etymon.storage.database import Database, Transaction
from support.appointments import appoint_officer
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR, DirectorySite


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy) -> DirectorySite:
    return DirectorySite(database, clock, entropy)


def group(site: DirectorySite, name: str = "field staff") -> Group:
    with site.database.transaction() as tx:
        return groups.create(tx, site.deps, name=name, actor=ADMINISTRATOR)


def assign(site: DirectorySite, person: Person, role: Role) -> None:
    with site.database.transaction() as tx:
        give(tx, site, person, role)


def give(tx: Transaction, site: DirectorySite, person: Person, role: Role) -> None:
    roles.assign(tx, site.deps, person.id, role, actor=ADMINISTRATOR, authority="letter 12/34")


def refused(site: DirectorySite, act: Callable[[Transaction], object]) -> EtymonError:
    with pytest.raises(EtymonError) as refusal, site.database.transaction() as tx:
        act(tx)
    return refusal.value


def at_once(acts: list[Callable[[], object]]) -> list[str]:
    """Run acts side by side; return `done` or the code of the refusal of each."""
    together = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> str:
        together.wait()
        try:
            act()
        except EtymonError as refusal:
            return refusal.code
        return "done"

    with ThreadPoolExecutor(len(acts)) as workers:
        return list(workers.map(run, acts))


def test_a_group_has_the_members_that_were_added(site: DirectorySite) -> None:
    staff, alice, bob = group(site), site.person("alice"), site.person("bob")
    with site.database.transaction() as tx:
        for _ in range(2):  # adding again changes nothing
            groups.add_member(tx, site.deps, staff.id, alice.id, actor=ADMINISTRATOR)
        groups.add_member(tx, site.deps, staff.id, bob.id, actor=ADMINISTRATOR)
        groups.remove_member(tx, site.deps, staff.id, bob.id, actor=ADMINISTRATOR)
        assert groups.groups_of(tx, alice.id) == {staff.id}
        assert groups.members(tx, staff.id) == [alice]
    assert sorted(site.events(f"group:{staff.id}")) == [
        "directory:group:created",
        "directory:group:member_added",
        "directory:group:member_added",
        "directory:group:member_removed",
    ]


def test_members_come_in_pages(site: DirectorySite) -> None:
    staff = group(site)
    everybody = [site.person(f"person{number}") for number in range(5)]
    with site.database.transaction() as tx:
        for person in everybody:
            groups.add_member(tx, site.deps, staff.id, person.id, actor=ADMINISTRATOR)
    seen: list[Person] = []
    with site.database.snapshot() as tx:
        while found := groups.members(tx, staff.id, after=seen[-1].id if seen else None, limit=2):
            seen += found
    assert sorted(person.id for person in seen) == sorted(person.id for person in everybody)
    assert len(seen) == 5


def test_what_is_no_group_or_member_is_refused(site: DirectorySite) -> None:
    staff, alice = group(site), site.person("alice")
    unknown = uuid.uuid4()
    acts: list[tuple[Callable[[Transaction], object], str]] = [
        (lambda tx: groups.add_member(tx, site.deps, unknown, alice.id, actor=ADMINISTRATOR), "group_unknown"),
        (lambda tx: groups.add_member(tx, site.deps, staff.id, unknown, actor=ADMINISTRATOR), "person_unknown"),
        (lambda tx: groups.remove_member(tx, site.deps, staff.id, alice.id, actor=ADMINISTRATOR), "member_unknown"),
        (lambda tx: groups.remove(tx, site.deps, unknown, actor=ADMINISTRATOR), "group_unknown"),
        (lambda tx: groups.update(tx, site.deps, unknown, name="x", actor=ADMINISTRATOR), "group_unknown"),
        (lambda tx: groups.create(tx, site.deps, name="FIELD staff", actor=ADMINISTRATOR), "group_name_taken"),
    ]
    for act, code in acts:
        assert refused(site, act).code == code


def test_a_group_is_renamed_and_removed(site: DirectorySite) -> None:
    staff, office, alice = group(site), group(site, "office"), site.person("alice")
    with site.database.transaction() as tx:
        renamed = groups.update(tx, site.deps, staff.id, name="travellers", actor=ADMINISTRATOR)
        groups.add_member(tx, site.deps, staff.id, alice.id, actor=ADMINISTRATOR)
        assert groups.by_name(tx, "Travellers") == renamed == groups.find(tx, staff.id)
        assert [each.name for each in groups.page(tx)] == ["office", "travellers"]
        assert groups.page(tx, after=office.id) == [renamed]
    clash = refused(site, lambda tx: groups.update(tx, site.deps, staff.id, name="Office", actor=ADMINISTRATOR))
    assert clash.code == "group_name_taken"
    with site.database.transaction() as tx:
        groups.remove(tx, site.deps, staff.id, actor=ADMINISTRATOR)
        assert groups.find(tx, staff.id) is None
        assert groups.groups_of(tx, alice.id) == frozenset()


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        (Role.ADMINISTRATOR, Role.OFFICER),
        (Role.OFFICER, Role.AUDITOR),
        (Role.AUDITOR, Role.ADMINISTRATOR),
    ],
)
def test_nobody_holds_two_of_administrator_officer_and_auditor(site: DirectorySite, held: Role, asked: Role) -> None:
    alice = site.person("alice")
    assign(site, alice, held)
    assign(site, alice, Role.OPERATOR)
    refusal = refused(
        site, lambda tx: roles.assign(tx, site.deps, alice.id, asked, actor=ADMINISTRATOR, authority="letter")
    )
    assert (type(refusal), refusal.code) == (Conflict, "roles_separated")
    with site.database.snapshot() as tx:
        assert roles.roles_of(tx, alice.id) == {held, Role.OPERATOR}


def test_the_database_keeps_roles_apart_whoever_writes(site: DirectorySite) -> None:
    alice = site.person("alice")
    assign(site, alice, Role.AUDITOR)
    copied = sa.text(
        "INSERT INTO directory_roles (person_id, role, assigned_at) "
        "SELECT person_id, 'officer', assigned_at FROM directory_roles"
    )
    with pytest.raises(sa.exc.IntegrityError), site.database.transaction() as tx:
        tx.execute(copied)


@pytest.mark.parametrize("recovers", [Role.KEY_RECOVERY_AGENT, Role.KEY_RECOVERY_OFFICIAL])
def test_neither_administrator_nor_auditor_recovers_keys(site: DirectorySite, recovers: Role) -> None:
    alice = site.person("alice")
    for role in (Role.OFFICER, Role.OPERATOR, *RECOVERY_ROLES):  # an Officer may: KRP 1.3.2
        assign(site, alice, role)
    for role in (Role.ADMINISTRATOR, Role.AUDITOR):
        bob = site.person(f"bob-{role.value}")
        assign(site, bob, role)
        assert refused(site, lambda tx, bob=bob: give(tx, site, bob, recovers)).code == "roles_separated"  # type: ignore[misc]  # bound now
        carol = site.person(f"carol-{role.value}")
        assign(site, carol, recovers)
        assert refused(site, lambda tx, carol=carol, role=role: give(tx, site, carol, role)).code == "roles_separated"  # type: ignore[misc]  # bound now
        copied = sa.text(
            "INSERT INTO directory_roles (person_id, role, assigned_at) "
            "SELECT person_id, :other, assigned_at FROM directory_roles WHERE role = :role"
        ).bindparams(other=role.value, role=recovers.value)
        with pytest.raises(sa.exc.IntegrityError), site.database.transaction() as tx:
            tx.execute(copied)


@pytest.mark.parametrize("role", list(Role))
def test_every_role_is_given_and_taken_on_somebodys_authority_which_is_on_record(
    site: DirectorySite, role: Role
) -> None:
    alice = site.person("alice")
    for act in (roles.assign, roles.withdraw):
        for authority, expected in (("", "authority_missing"), (" ", "authority"), ("two\nlines", "authority")):
            refusal = refused(
                site,
                partial(act, deps=site.deps, person_id=alice.id, role=role, actor=ADMINISTRATOR, authority=authority),
            )
            assert (type(refusal), refusal.code) == (Malformed, expected)
        with site.database.transaction() as tx:
            act(tx, site.deps, alice.id, role, actor=ADMINISTRATOR, authority="letter 12/34")
    with site.database.snapshot() as tx:
        told = [event.event for event in trail.page(tx, subject=f"person:{alice.id}", limit=10)]
    assert sorted((one.name, one.facts["role"], one.facts["authority"]) for one in told if "role" in one.name) == [
        ("directory:role:assigned", role.value, "letter 12/34"),
        ("directory:role:withdrawn", role.value, "letter 12/34"),
    ]


@pytest.mark.parametrize(
    ("agent", "given_by_nobody"),
    [(Role.KEY_RECOVERY_AGENT, "other_confirmer_needed"), (Role.OFFICER, "role_not_held")],
)
def test_who_confirms_a_role_neither_gave_nor_holds_it(site: DirectorySite, agent: Role, given_by_nobody: str) -> None:
    kim = site.person("kim")
    giver, ada, otto = site.person("giver"), site.person("ada"), site.person("otto")
    for person, role in ((giver, Role.OFFICER), (ada, Role.ADMINISTRATOR), (otto, Role.OFFICER)):
        assign(site, person, role)

    def confirm(by: Person, seen: datetime | None = None) -> str:
        try:
            with site.database.transaction() as tx:
                roles.confirm(tx, site.deps, kim.id, agent, seen=seen or site.clock.now(), by=by.id)
        except EtymonError as refusal:
            return refusal.code
        return "done"

    assert confirm(ada) == "role_not_held"
    assign(site, kim, agent)  # by nobody who is known; an Officer then is the founding's
    assert confirm(ada) == given_by_nobody
    with site.database.transaction() as tx:
        roles.withdraw(tx, site.deps, kim.id, agent, actor=ADMINISTRATOR, authority="letter")
        roles.assign(tx, site.deps, kim.id, agent, actor=ADMINISTRATOR, authority="letter", by=giver.id)
    assert [confirm(by) for by in (giver, otto, kim)] == ["other_confirmer_needed"] * 3
    for wrong in (giver, kim):
        forged = sa.text(
            "UPDATE directory_roles SET confirmed_by = :by, confirmed_at = assigned_at "
            "WHERE person_id = :kim AND role = :role"
        )
        who = (sa.bindparam(name, each.id, sa.Uuid) for name, each in (("by", wrong), ("kim", kim)))
        with pytest.raises(sa.exc.IntegrityError), site.database.transaction() as tx:
            tx.execute(forged.bindparams(*who, role=agent.value))
    with site.database.snapshot() as tx:
        assert roles.roles_of(tx, kim.id) == {agent}
        assert not roles.counting(tx, kim.id)
        assert kim not in roles.holders(tx, agent, counting=True)
        assert kim in roles.holders(tx, agent)
    looked_at = site.clock.now()
    site.clock.advance(timedelta(seconds=1))
    with site.database.transaction() as tx:  # another card may be bound meanwhile
        roles.withdraw(tx, site.deps, kim.id, agent, actor=ADMINISTRATOR, authority="letter")
        roles.assign(tx, site.deps, kim.id, agent, actor=ADMINISTRATOR, authority="letter", by=giver.id)
    assert confirm(ada, looked_at) == "appointment_changed"
    with site.database.snapshot() as tx:
        assert not roles.counting(tx, kim.id)
    assert [confirm(ada), confirm(ada), confirm(ada, looked_at)] == ["done", "done", "appointment_changed"]
    with site.database.snapshot() as tx:
        assert roles.counting(tx, kim.id) == {agent}
        assert kim in roles.holders(tx, agent, counting=True)
    assert site.events(f"person:{kim.id}").count("directory:role:confirmed") == 1


def test_of_two_confirmations_at_once_one_is_recorded(site: DirectorySite) -> None:
    kim, administrators = site.person("kim"), [site.person(name) for name in ("ada", "anna")]
    for each in administrators:
        assign(site, each, Role.ADMINISTRATOR)
    with site.database.transaction() as tx:
        appoint_officer(tx, site.deps, kim)
        (given,) = roles.appointments(tx, kim.id)

    def confirm(by: Person) -> None:
        with site.database.transaction() as tx:
            roles.confirm(tx, site.deps, kim.id, Role.OFFICER, seen=given.assigned_at, by=by.id)

    assert at_once([partial(confirm, each) for each in administrators]) == ["done", "done"]
    assert site.events(f"person:{kim.id}").count("directory:role:confirmed") == 1
    with site.database.snapshot() as tx:
        assert roles.counting(tx, kim.id) == {Role.OFFICER}


@pytest.mark.parametrize("held", list(Role))
def test_whose_account_it_is_counts_for_an_officer_alone(site: DirectorySite, held: Role) -> None:
    kim, other = site.person("kim"), site.person("other")
    assign(site, kim, held)
    opens = {Role.ADMINISTRATOR: "administrator", Role.OPERATOR: "administrator"}
    for role in Role:
        for by in (kim, other):
            expected = "opened" if opens.get(held) == role.value else "separated_roles"
            if held in RECOVERY_ROLES:
                expected = "recovery_role_held"
            elif held is Role.AUDITOR:
                expected = "auditor_role_held"
            elif held is role is Role.OFFICER:
                expected = "opened" if by is kim else "officer_role_held"
            try:
                with site.database.transaction() as tx:
                    roles.opened(tx, frozenset({role}), kim.id, by=by.id)
                found = "opened"
            except EtymonError as refusal:
                found = refusal.code
            assert found == expected, (held, role, by)


def test_an_account_is_not_opened_beside_an_appointment_that_is_being_made(site: DirectorySite) -> None:
    kim, agent, administrator = site.person("kim"), Role.KEY_RECOVERY_AGENT, frozenset({Role.ADMINISTRATOR})
    ada, given, judged = site.person("ada"), threading.Event(), threading.Event()

    def appoint() -> None:
        with site.database.transaction() as tx:
            give(tx, site, kim, agent)
            given.set()
            assert not judged.wait(0.3)  # whoever asks meanwhile has to wait

    def ask() -> str:
        given.wait()
        try:
            with site.database.transaction() as tx:
                roles.opened(tx, administrator, kim.id, by=ada.id)
        except EtymonError as refusal:
            return refusal.code
        finally:
            judged.set()
        return "opened"

    with site.database.transaction() as tx:
        assert roles.opened(tx, administrator, kim.id, by=ada.id) == kim
    with ThreadPoolExecutor(2) as workers:
        appointing, asking = workers.submit(appoint), workers.submit(ask)
        assert asking.result() == "recovery_role_held"
        appointing.result()


def test_of_two_roles_given_at_once_one_is_held(site: DirectorySite) -> None:
    alice = site.person("alice")
    acts: list[Callable[[], object]] = [
        lambda: assign(site, alice, Role.ADMINISTRATOR),
        lambda: assign(site, alice, Role.OFFICER),
        lambda: assign(site, alice, Role.AUDITOR),
    ]
    assert sorted(at_once(acts)) == ["done", "roles_separated", "roles_separated"]


def test_a_role_given_twice_is_recorded_once_and_can_be_withdrawn(site: DirectorySite) -> None:
    alice = site.person("alice")
    assign(site, alice, Role.OFFICER)
    assign(site, alice, Role.OFFICER)
    with site.database.transaction() as tx:
        assert roles.holders(tx, Role.OFFICER) == [alice]
        roles.withdraw(tx, site.deps, alice.id, Role.OFFICER, actor=ADMINISTRATOR, authority="letter")
        assert roles.holders(tx, Role.OFFICER) == []
        roles.assign(tx, site.deps, alice.id, Role.AUDITOR, actor=ADMINISTRATOR, authority="letter")
    assert site.events(f"person:{alice.id}").count("directory:role:assigned") == 2
    not_held = refused(
        site, lambda tx: roles.withdraw(tx, site.deps, alice.id, Role.OFFICER, actor=ADMINISTRATOR, authority="letter")
    )
    assert (type(not_held), not_held.code) == (NotFound, "role_not_held")
