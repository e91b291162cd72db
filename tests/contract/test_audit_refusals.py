# SPDX-License-Identifier: Apache-2.0
"""Refusals are written down, each by itself, and never so many that they fill the disk or drown each other."""

from datetime import timedelta

import pytest

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Outcome
from etymon.audit.refusals import ANONYMOUS, MOST_OF_ALL, MOST_OF_ONE, WINDOW, Refusals
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotFound, NotPermitted, Throttled, Unavailable
from etymon.storage.database import Database
from support.clock import TurnedClock

NAME = "idp:user_code:refused"


@pytest.fixture
def refusals(database: Database, clock: TurnedClock, entropy: Entropy) -> Refusals:
    return Refusals(database, clock, entropy)


def recorded(database: Database) -> list[AuditEvent]:
    """Return all events, the oldest first."""
    found: list[AuditEvent] = []
    before = None
    with database.snapshot() as tx:
        while page := trail.page(tx, before=before, limit=200):
            found += [one.event for one in page]
            before = (page[-1].recorded_at, page[-1].id)
    return found[::-1]


def knock(refusals: Refusals, clock: TurnedClock, source: str, *, actor: str = ANONYMOUS) -> None:
    clock.advance(timedelta(microseconds=1))
    refusals.record(NAME, actor=actor, subject="user_code", source=source, code="user_code_unknown")


def test_a_refusal_is_written_down_and_goes_on(database: Database, refusals: Refusals) -> None:
    with pytest.raises(NotFound), refusals.noted(NAME, actor=ANONYMOUS, subject="user_code", source="192.0.2.1", a=1):
        raise NotFound("user_code_unknown", "No device waits with this code.")
    (event,) = recorded(database)
    assert event == AuditEvent(
        NAME, ANONYMOUS, "user_code", Outcome.FAILURE, {"a": 1, "code": "user_code_unknown"}, "192.0.2.1"
    )


@pytest.mark.parametrize("refusal", [NotPermitted("x"), Conflict("x"), Malformed("x"), Throttled("x")])
def test_whatever_says_no_is_a_refusal(database: Database, refusals: Refusals, refusal: EtymonError) -> None:
    with pytest.raises(EtymonError), refusals.noted(NAME, actor=ANONYMOUS, subject="x"):
        raise refusal
    assert len(recorded(database)) == 1


@pytest.mark.parametrize("other", [Unavailable("x"), NotPermitted("told_elsewhere"), RuntimeError()])
def test_what_is_no_refusal_or_is_recorded_elsewhere_is_not(
    database: Database, refusals: Refusals, other: Exception
) -> None:
    with (
        pytest.raises(type(other)),
        refusals.noted(NAME, actor=ANONYMOUS, subject="x", but={"told_elsewhere"}),
    ):
        raise other
    with refusals.noted(NAME, actor=ANONYMOUS, subject="x"):
        pass
    assert recorded(database) == []


def test_one_household_fills_nothing(database: Database, refusals: Refusals, clock: TurnedClock) -> None:
    for number in range(2 * MOST_OF_ONE):
        knock(refusals, clock, f"2001:db8::{number:x}")
    events = recorded(database)
    assert len(events) == MOST_OF_ONE
    assert [number for number, event in enumerate(events, 1) if "further_not_recorded" in event.facts] == [MOST_OF_ONE]
    knock(refusals, clock, "2001:db8:0:1::1")  # somebody else is heard
    assert len(recorded(database)) == MOST_OF_ONE + 1
    clock.advance(WINDOW)
    knock(refusals, clock, "2001:db8::1")
    assert len(recorded(database)) == MOST_OF_ONE + 2


def test_what_counts_apart_uses_up_nothing_of_its_name(
    database: Database, refusals: Refusals, clock: TurnedClock
) -> None:
    for number in range(2 * MOST_OF_ONE):
        clock.advance(timedelta(microseconds=1))
        refusals.record(NAME, actor=ANONYMOUS, subject="door", source="192.0.2.1", counted_as="door", number=number)
    assert len(recorded(database)) == MOST_OF_ONE
    assert recorded(database)[-1].facts == {"number": MOST_OF_ONE - 1, "further_not_recorded": True}
    for _ in range(2 * MOST_OF_ONE):
        knock(refusals, clock, "192.0.2.1")
    assert len(recorded(database)) == 2 * MOST_OF_ONE


def test_many_households_fill_nothing_and_drown_nobody_who_is_known(
    database: Database, refusals: Refusals, clock: TurnedClock
) -> None:
    for number in range(MOST_OF_ALL + 100):
        knock(refusals, clock, f"198.51.{number // 200}.{number % 200}")
    assert len(recorded(database)) == MOST_OF_ALL
    assert recorded(database)[-1].facts["further_not_recorded"] is True
    for _ in range(MOST_OF_ONE + 1):
        knock(refusals, clock, "192.0.2.1", actor="person:alice")
    knock(refusals, clock, "192.0.2.1", actor="person:bob")
    assert len(recorded(database)) == MOST_OF_ALL + MOST_OF_ONE + 1
    refusals.record("idp:client:refused", actor=ANONYMOUS, subject="client", source="192.0.2.1")  # of another name
    assert len(recorded(database)) == MOST_OF_ALL + MOST_OF_ONE + 2
