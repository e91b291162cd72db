# SPDX-License-Identifier: Apache-2.0
"""Who is told that mail addresses changed, and of how many changes in a day."""

from datetime import timedelta
from typing import Any

import pytest

from etymon.directory import addresses, people
from etymon.directory.addresses import TOLD_A_DAY, TOLD_FOR
from etymon.directory.model import Person
from etymon.directory.notices import MAIL_JOB
from etymon.kernel.entropy import Entropy
from etymon.storage import jobs
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR, DirectorySite

A, B, C = "alice@example.test", "alice@elsewhere.test", "mallory@elsewhere.test"


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy) -> DirectorySite:
    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    clock.advance(midnight - clock.now())
    return DirectorySite(database, clock, entropy)


@pytest.fixture
def alice(site: DirectorySite) -> Person:
    return site.person("alice")


def changed(site: DirectorySite, person: Person, *to: str) -> dict[str, str]:
    """Change the addresses of a person; return who is told what."""
    with site.database.transaction() as tx:
        people.update(tx, site.deps, person.id, mail_addresses=to, actor=ADMINISTRATOR)
    claimed = site.jobs(MAIL_JOB)
    with site.database.transaction() as tx:
        for job in claimed:
            jobs.complete(tx, job)
    mails: list[dict[str, Any]] = [dict(job.payload) for job in claimed]
    return {mail["to"][0]: mail["text"] for mail in mails}


def flipped(site: DirectorySite, person: Person, times: int) -> list[set[str]]:
    """Flip between two addresses, beginning with the other one; return who is told of each change."""
    return [{*changed(site, person, (B, A)[number % 2])} for number in range(times)]


def test_of_flips_between_two_addresses_so_many_are_told_in_a_day_and_all_are_on_record(
    site: DirectorySite, alice: Person
) -> None:
    for number in range(TOLD_A_DAY):
        told = changed(site, alice, (B, A)[number % 2])
        assert {*told} == {A, B}
        is_last = number == TOLD_A_DAY - 1
        assert ["not told again" in text for text in told.values()] == [is_last] * 2
    site.clock.advance(timedelta(days=1, microseconds=-1))
    assert [changed(site, alice, address) for address in (A, B, A)] == [{}] * 3
    assert site.events(f"person:{alice.id}").count("directory:person:updated") == TOLD_A_DAY + 3
    with site.database.snapshot() as tx:
        found = people.find(tx, alice.id)
        assert found is not None
        assert {*addresses.to_tell(tx, site.clock, found)} == {A, B}  # of all else both are told as ever
    site.clock.advance(timedelta(microseconds=1))
    assert flipped(site, alice, TOLD_A_DAY + 1) == [{A, B}] * TOLD_A_DAY + [set()]


def test_flips_hide_no_address_that_the_account_has_not_had_that_day(site: DirectorySite, alice: Person) -> None:
    flipped(site, alice, TOLD_A_DAY + 1)
    told = changed(site, alice, C)
    assert {*told} == {A, B, C}
    assert all("not told again" in text for text in told.values())
    assert changed(site, alice, B) == changed(site, alice, C) == {}  # all three know of all three
    assert {*changed(site, alice, A, C)} == {A, B, C}


def test_flips_do_not_hide_that_an_account_has_no_address_any_more(site: DirectorySite, alice: Person) -> None:
    flipped(site, alice, TOLD_A_DAY + 1)
    assert {*changed(site, alice)} == {A, B}


def test_an_address_of_days_ago_is_no_flip_of_today(site: DirectorySite, alice: Person) -> None:
    changed(site, alice, C)
    changed(site, alice, A)
    site.clock.advance(timedelta(days=1))
    flipped(site, alice, TOLD_A_DAY)
    assert {*changed(site, alice, C)} == {A, B, C}
    site.clock.advance(TOLD_FOR)
    assert {*changed(site, alice, A)} == {A, C}


def test_the_flips_of_one_person_leave_the_others_told(site: DirectorySite, alice: Person) -> None:
    flipped(site, alice, TOLD_A_DAY + 1)
    bob = site.person("bob")
    assert {*changed(site, bob, C)} == {"bob@example.test", C}
