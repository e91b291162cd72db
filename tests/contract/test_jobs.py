# SPDX-License-Identifier: Apache-2.0
"""Jobs: written with their cause, claimed by one worker, tried again, never lost."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from etymon.kernel.entropy import Entropy
from etymon.storage import jobs
from etymon.storage.database import Database
from etymon.storage.jobs import CLAIM_LIFETIME, LAST_RETRY, Job
from support.clock import TurnedClock

KINDS = ("mail", "publish")


class Halt(Exception):
    """What a use case raises halfway."""


class Shop:
    """A database with a clock, for short sentences."""

    def __init__(self, database: Database, clock: TurnedClock, entropy: Entropy) -> None:
        self.database, self.clock, self.entropy = database, clock, entropy

    def enqueue(
        self, number: int = 0, *, kind: str = "mail", key: str | None = None, after: timedelta = timedelta(0)
    ) -> None:
        due = self.clock.now() + after
        with self.database.transaction() as tx:
            jobs.enqueue(tx, self.clock, self.entropy, kind, {"number": number}, key=key, due=due)

    def claim(self, *, limit: int = 20) -> list[Job]:
        return jobs.claim(self.database, self.clock, KINDS, limit=limit)

    def complete(self, job: Job) -> None:
        with self.database.transaction() as tx:
            jobs.complete(tx, job)

    def fail(self, job: Job) -> timedelta:
        with self.database.transaction() as tx:
            return jobs.postpone(tx, self.clock, job, "the peer did not answer") - self.clock.now()


@pytest.fixture
def shop(database: Database, clock: TurnedClock, entropy: Entropy) -> Shop:
    return Shop(database, clock, entropy)


def numbers(claimed: list[Job]) -> list[object]:
    return [job.payload["number"] for job in claimed]


def test_a_job_is_tried_on_with_what_it_was_amended_to_by_whoever_has_it(shop: Shop) -> None:
    shop.enqueue(7)
    (lost,) = shop.claim()
    shop.clock.advance(CLAIM_LIFETIME)
    (job,) = shop.claim()
    with shop.database.transaction() as tx:
        assert jobs.amend(tx, job, {"number": 8})
        assert not jobs.amend(tx, lost, {"number": 9})
    shop.clock.advance(shop.fail(job))
    assert numbers(shop.claim()) == [8]


def test_a_job_is_claimed_once_with_its_payload(shop: Shop) -> None:
    shop.enqueue(7)
    (job,) = shop.claim()
    assert (job.kind, job.payload, job.attempts) == ("mail", {"number": 7}, 1)
    assert shop.claim() == []


def test_a_job_of_a_transaction_that_fails_was_never_there(shop: Shop) -> None:
    with pytest.raises(Halt), shop.database.transaction() as tx:  # noqa: PT012 - the whole unit of work is the act
        jobs.enqueue(tx, shop.clock, shop.entropy, "mail", {})
        raise Halt
    assert shop.claim() == []


def test_each_job_is_claimed_by_exactly_one_of_many_workers(shop: Shop) -> None:
    for number in range(30):
        shop.enqueue(number)
    together = threading.Barrier(6)

    def work(_: int) -> list[object]:
        together.wait()
        taken: list[object] = []
        while claimed := shop.claim(limit=3):
            taken += numbers(claimed)
        return taken

    with ThreadPoolExecutor(6) as workers:
        taken = [number for worker in workers.map(work, range(6)) for number in worker]
    # a worker may leave while others hold locks on what it would have taken: the rest is still there
    taken += numbers(shop.claim(limit=30))
    assert sorted(map(str, taken)) == sorted(map(str, range(30)))


def test_a_job_is_not_claimed_before_it_is_due(shop: Shop) -> None:
    shop.enqueue(1, after=timedelta(minutes=5))
    shop.clock.advance(timedelta(minutes=5, microseconds=-1))
    assert shop.claim() == []
    shop.clock.advance(timedelta(microseconds=1))
    assert numbers(shop.claim()) == [1]


def test_a_worker_takes_only_the_kinds_it_knows(shop: Shop) -> None:
    shop.enqueue(1, kind="unknown_to_this_worker")
    shop.enqueue(2)
    assert numbers(shop.claim()) == [2]


def test_the_longest_due_comes_first_and_no_more_than_asked_for(shop: Shop) -> None:
    for number, seconds in ((1, 3), (2, 1), (3, 2)):
        shop.enqueue(number, after=timedelta(seconds=seconds))
    shop.clock.advance(timedelta(minutes=1))
    assert numbers(shop.claim(limit=2)) == [2, 3]
    assert numbers(shop.claim(limit=2)) == [1]


def test_the_job_of_a_worker_that_died_is_free_again(shop: Shop) -> None:
    shop.enqueue(1)
    shop.claim()
    shop.clock.advance(CLAIM_LIFETIME)
    (again,) = shop.claim()
    assert again.attempts == 2


def test_a_done_job_is_gone(shop: Shop) -> None:
    shop.enqueue(1)
    shop.complete(shop.claim()[0])
    shop.clock.advance(timedelta(days=1))
    assert shop.claim() == []


def test_a_failed_job_waits_longer_every_time_up_to_an_hour(shop: Shop) -> None:
    shop.enqueue(1)
    waits: list[timedelta] = []
    for _ in range(14):
        (job,) = shop.claim()
        waits.append(shop.fail(job))
        assert shop.claim() == []
        shop.clock.advance(waits[-1])
    assert waits[:4] == [timedelta(seconds=seconds) for seconds in (2, 4, 8, 16)]
    assert waits[-1] == LAST_RETRY
    assert waits == sorted(waits)


def test_jobs_of_one_key_become_one(shop: Shop) -> None:
    shop.enqueue(1, kind="publish", key="crl:derived")
    shop.enqueue(2, kind="publish", key="crl:derived")
    shop.enqueue(3, kind="publish", key="crl:device")
    assert sorted(map(str, numbers(shop.claim()))) == ["1", "3"]


def test_a_keyed_job_is_due_at_the_earliest_time_it_was_asked_for(shop: Shop) -> None:
    shop.enqueue(1, key="k", after=timedelta(hours=1))
    shop.enqueue(1, key="k", after=timedelta(minutes=1))
    shop.enqueue(1, key="k", after=timedelta(hours=2))
    shop.clock.advance(timedelta(minutes=1))
    assert len(shop.claim()) == 1


def test_a_keyed_job_asked_for_while_it_runs_runs_once_more(shop: Shop) -> None:
    """What the first run had already read may have changed: dropping the second request would lose that change."""
    shop.enqueue(1, key="crl:derived")
    (running,) = shop.claim()
    shop.enqueue(1, key="crl:derived")
    assert shop.claim() == []  # never two at once
    shop.complete(running)
    (again,) = shop.claim()
    shop.complete(again)
    shop.clock.advance(timedelta(days=1))
    assert shop.claim() == []


def test_a_keyed_job_that_waits_after_a_failure_is_tried_at_once_when_asked_for_again(shop: Shop) -> None:
    shop.enqueue(1, key="k")
    shop.fail(shop.claim()[0])
    shop.enqueue(1, key="k")
    assert len(shop.claim()) == 1


def test_a_worker_that_lost_its_claim_changes_nothing(shop: Shop) -> None:
    shop.enqueue(1)
    (slow,) = shop.claim()
    shop.clock.advance(CLAIM_LIFETIME)
    (quick,) = shop.claim()
    shop.fail(slow)
    shop.complete(slow)
    assert shop.claim() == []
    shop.clock.advance(CLAIM_LIFETIME)
    (third,) = shop.claim()
    assert third.attempts == quick.attempts + 1


def test_transactions_at_once_with_one_key_leave_one_job(shop: Shop) -> None:
    together = threading.Barrier(5)

    def ask(number: int) -> None:
        together.wait()
        shop.enqueue(number, key="crl:derived")

    with ThreadPoolExecutor(5) as workers:
        list(workers.map(ask, range(5)))
    assert len(shop.claim()) == 1
