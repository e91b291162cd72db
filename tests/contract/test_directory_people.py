# SPDX-License-Identifier: Apache-2.0
"""People on both engines."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from etymon.directory import groups, people, roles
from etymon.directory.model import Group, Person, Role
from etymon.directory.people import ACCOUNT_ENDED_JOB
from etymon.directory.tables import mail_addresses
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, Malformed
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
        roles.assign(tx, site.deps, person.id, role, actor=ADMINISTRATOR, authority="letter")


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


def test_a_person_is_found_by_id_and_by_name_in_any_case(site: DirectorySite) -> None:
    alice = site.person("alice", mail_addresses=["alice@example.test", "a.example@example.test"])
    with site.database.snapshot() as tx:
        assert people.find(tx, alice.id) == alice
        assert people.by_user_principal_name(tx, "ALICE@Example.TEST") == alice
        assert people.by_user_principal_name(tx, "alice") is None
        assert people.find(tx, uuid.uuid4()) is None
    assert site.events(f"person:{alice.id}") == ["directory:person:created"]


def test_a_name_another_person_has_is_refused_in_any_case(site: DirectorySite) -> None:
    site.person("alice")
    refusal = refused(
        site,
        lambda tx: people.create(
            tx, site.deps, user_principal_name="Alice@example.test", display_name="Other", actor=ADMINISTRATOR
        ),
    )
    assert (type(refusal), refusal.code) == (Conflict, "user_principal_name_taken")


def test_an_address_another_person_has_is_refused(site: DirectorySite) -> None:
    """Mail encrypted for the address would be readable by two people."""
    site.person("alice")
    bob = site.person("bob")
    refusal = refused(
        site,
        lambda tx: people.update(tx, site.deps, bob.id, mail_addresses=["ALICE@example.test"], actor=ADMINISTRATOR),
    )
    assert refusal.code == "mail_address_taken"
    with site.database.snapshot() as tx:
        assert people.find(tx, bob.id) == bob


@pytest.mark.parametrize("address", ["al..ice@example.test", "alice@-example.test", "a@b.test,c@d.test"])
def test_an_address_that_is_not_one_mailbox_is_not_written(site: DirectorySite, address: str) -> None:
    with pytest.raises(Malformed, match="names one mailbox"):
        site.person("eve", mail_addresses=[address])
    alice = site.person("alice")
    refusal = refused(
        site, lambda tx: people.update(tx, site.deps, alice.id, mail_addresses=[address], actor=ADMINISTRATOR)
    )
    assert refusal.code == "mail_addresses"
    with site.database.snapshot() as tx:
        assert people.find(tx, alice.id) == alice


def test_an_account_with_an_address_of_a_version_before_is_read_and_changed(site: DirectorySite) -> None:
    old = "al..ice@example.test"
    alice = site.person("alice")
    with site.database.transaction() as tx:
        tx.execute(mail_addresses.update().values(address=old, address_key=old))
        changed = people.update(
            tx, site.deps, alice.id, mail_addresses=["new@example.test", old], display_name="A.", actor=ADMINISTRATOR
        )
    with site.database.snapshot() as tx:
        assert people.find(tx, alice.id) == changed
        assert changed.mail_addresses == ("new@example.test", old)


def test_of_two_people_of_one_name_made_at_once_there_is_one(site: DirectorySite) -> None:
    assert sorted(at_once([lambda: site.person("alice")] * 3)) == ["done"] + ["user_principal_name_taken"] * 2


def test_a_change_replaces_what_was_given_and_nothing_else(site: DirectorySite) -> None:
    alice = site.person("alice")
    with site.database.transaction() as tx:
        after = people.update(
            tx,
            site.deps,
            alice.id,
            display_name="Alice Married",
            mail_addresses=["new@example.test"],
            actor=ADMINISTRATOR,
        )
    with site.database.snapshot() as tx:
        assert people.find(tx, alice.id) == after
    assert (after.user_principal_name, after.mail_addresses) == ("alice@example.test", ("new@example.test",))
    assert "directory:person:updated" in site.events(f"person:{alice.id}")


def test_a_change_that_changes_nothing_is_not_recorded(site: DirectorySite) -> None:
    alice = site.person("alice")
    with site.database.transaction() as tx:
        people.update(tx, site.deps, alice.id, display_name=alice.display_name, actor=ADMINISTRATOR)
    assert site.events(f"person:{alice.id}") == ["directory:person:created"]


def test_a_change_to_somebody_elses_name_is_refused(site: DirectorySite) -> None:
    site.person("alice")
    bob = site.person("bob")
    refusal = refused(
        site,
        lambda tx: people.update(tx, site.deps, bob.id, user_principal_name="alice@example.test", actor=ADMINISTRATOR),
    )
    assert refusal.code == "user_principal_name_taken"


def test_a_change_to_something_malformed_is_refused(site: DirectorySite) -> None:
    alice = site.person("alice")
    refusal = refused(site, lambda tx: people.update(tx, site.deps, alice.id, display_name="", actor=ADMINISTRATOR))
    assert isinstance(refusal, Malformed)


def test_an_ended_account_is_inactive_and_its_credentials_are_to_be_ended(site: DirectorySite) -> None:
    alice = site.person("alice")
    staff = group(site)
    assign(site, alice, Role.OFFICER)
    with site.database.transaction() as tx:
        groups.add_member(tx, site.deps, staff.id, alice.id, actor=ADMINISTRATOR)
    site.end_account(alice)
    with site.database.snapshot() as tx:
        ended = people.find(tx, alice.id)
        assert ended is not None
        assert not ended.active
        assert ended.mail_addresses == alice.mail_addresses  # the last notice still goes out
        assert people.by_user_principal_name(tx, alice.user_principal_name) is None
        assert groups.groups_of(tx, alice.id) == frozenset()
        assert roles.roles_of(tx, alice.id) == frozenset()
        assert people.page(tx) == []
    (job,) = site.jobs(ACCOUNT_ENDED_JOB)
    assert job.payload == {"person_id": str(alice.id), "reason": "unspecified"}
    assert "directory:person:ended" in site.events(f"person:{alice.id}")


def test_an_account_ends_once_and_does_not_change_afterwards(site: DirectorySite) -> None:
    alice = site.person("alice")
    staff = group(site)
    assert sorted(at_once([lambda: site.end_account(alice)] * 3)) == ["done", "person_unknown", "person_unknown"]
    assert len(site.jobs(ACCOUNT_ENDED_JOB)) == 1
    for act in (
        lambda tx: people.update(tx, site.deps, alice.id, display_name="A", actor=ADMINISTRATOR),
        lambda tx: groups.add_member(tx, site.deps, staff.id, alice.id, actor=ADMINISTRATOR),
        lambda tx: roles.assign(tx, site.deps, alice.id, Role.OPERATOR, actor=ADMINISTRATOR, authority="letter"),
    ):
        assert refused(site, act).code == "person_unknown"


def test_the_name_and_address_of_an_ended_account_are_free_for_somebody_else(site: DirectorySite) -> None:
    alice = site.person("alice")
    site.end_account(alice)
    again = site.person("alice")
    assert again.id != alice.id
    with site.database.snapshot() as tx:
        assert people.by_user_principal_name(tx, "alice@example.test") == again


def test_pages_of_people_follow_their_names_without_gap_or_repetition(site: DirectorySite) -> None:
    for number in (3, 1, 5, 2, 4):
        site.person(f"person{number}")
    site.person("Zed")
    seen: list[Person] = []
    with site.database.snapshot() as tx:
        while found := people.page(tx, after=seen[-1].id if seen else None, limit=2):
            seen += found
        prefixed = people.page(tx, prefix="PERSON")
        nobody = people.page(tx, prefix="person1@example.testing")
    assert [person.display_name for person in seen] == ["Person1", "Person2", "Person3", "Person4", "Person5", "Zed"]
    assert len(prefixed) == 5
    assert nobody == []


def test_a_prefix_is_no_pattern(site: DirectorySite) -> None:
    site.person("alice")
    with site.database.snapshot() as tx:
        assert people.page(tx, prefix="%") == []
        assert people.page(tx, prefix="_lice") == []
