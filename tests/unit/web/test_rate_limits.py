# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from etymon.kernel.errors import Throttled
from etymon.web.rate_limits import MemoryCounters, RateLimit
from support.clock import TurnedClock


@pytest.fixture
def limit(clock: TurnedClock) -> RateLimit:
    return RateLimit("wrong-codes", "5 per 10 minutes", MemoryCounters(clock), clock)


def tries(limit: RateLimit, number: int, *identifiers: str) -> None:
    for _ in range(number):
        limit.count(*identifiers)


def test_the_sixth_try_is_refused_and_says_when_to_come_back(limit: RateLimit, clock: TurnedClock) -> None:
    tries(limit, 5, "alice")
    clock.advance(timedelta(minutes=4))

    with pytest.raises(Throttled) as refused:
        limit.count("alice")

    assert refused.value.retry_after_seconds == 361
    assert "7 minutes" in refused.value.detail


def test_the_window_begins_with_its_first_try_and_ends(limit: RateLimit, clock: TurnedClock) -> None:
    clock.advance(timedelta(seconds=37))
    tries(limit, 5, "alice")
    clock.advance(timedelta(minutes=10))

    tries(limit, 5, "alice")


def test_others_are_not_counted_together(limit: RateLimit, clock: TurnedClock) -> None:
    tries(limit, 5, "alice")
    tries(limit, 5, "bob")
    tries(RateLimit("others", "5 per 10 minutes", MemoryCounters(clock), clock), 5, "alice")


def test_asking_counts_nothing(limit: RateLimit) -> None:
    for _ in range(20):
        limit.require("alice")
    tries(limit, 5, "alice")
    with pytest.raises(Throttled):
        limit.require("alice")


def test_a_try_that_was_right_is_given_back(limit: RateLimit) -> None:
    for _ in range(20):
        limit.count("alice")
        limit.give_back("alice")


def test_forgetting_opens_a_new_window(limit: RateLimit) -> None:
    tries(limit, 5, "alice")
    limit.forget("alice")
    tries(limit, 5, "alice")


def test_of_fifty_tries_at_once_five_get_through(limit: RateLimit) -> None:
    def attempt(_: int) -> bool:
        try:
            limit.count("alice")
        except Throttled:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(50))) == 5


def test_memory_does_not_grow_for_ever(clock: TurnedClock) -> None:
    counters = MemoryCounters(clock, most=100)
    for number in range(1000):
        counters.increase(f"key{number}", timedelta(minutes=1), 1)

    assert counters.read("key999") is not None
    assert counters.read("key0") is None
