# SPDX-License-Identifier: Apache-2.0
"""Groups and roles on both engines."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from etymon.directory import groups, roles
from etymon.directory.model import Group, Person, Role
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, NotFound
from etymon.storage.database import Database, Transaction
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
        roles.assign(tx, site.deps, person.id, role, actor=ADMINISTRATOR)


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
    refusal = refused(site, lambda tx: roles.assign(tx, site.deps, alice.id, asked, actor=ADMINISTRATOR))
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
        roles.withdraw(tx, site.deps, alice.id, Role.OFFICER, actor=ADMINISTRATOR)
        assert roles.holders(tx, Role.OFFICER) == []
        roles.assign(tx, site.deps, alice.id, Role.AUDITOR, actor=ADMINISTRATOR)
    assert site.events(f"person:{alice.id}").count("directory:role:assigned") == 2
    not_held = refused(site, lambda tx: roles.withdraw(tx, site.deps, alice.id, Role.OFFICER, actor=ADMINISTRATOR))
    assert (type(not_held), not_held.code) == (NotFound, "role_not_held")
