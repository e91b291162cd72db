# SPDX-License-Identifier: Apache-2.0
"""Ends of accounts, from when they were reported until nothing that was derived for them is accepted any more."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.audit.model import Outcome
from etymon.directory.dependencies import Recording, record
from etymon.directory.model import Termination
from etymon.directory.store import terminations as store
from etymon.storage.database import Transaction

PAGE_LIMIT: Final = 200

TELL_EVERY: Final = timedelta(days=1)
"""How often somebody is told of an end that takes too long, until it is over."""


def close(tx: Transaction, deps: Recording, person: UUID, *, certificates: int) -> bool:
    """Note that an end is over, with so many certificates published as revoked; False when that was noted before."""
    if not store.close(tx, person, deps.clock.now()):
        return False
    facts = {"certificates": certificates}
    record(tx, deps, "termination:closed", actor="worker", subject=f"person:{person}", facts=facts)
    return True


def note_late(tx: Transaction, deps: Recording, late: Termination) -> bool:
    """Note that an end takes too long; False when that was noted in the last `TELL_EVERY`, or it is over."""
    now = deps.clock.now()
    if not store.alarm(tx, late.person, now, now - TELL_EVERY):
        return False
    facts = {"due_at": late.due_at.isoformat()}
    subject = f"person:{late.person}"
    record(tx, deps, "termination:late", actor="worker", subject=subject, facts=facts, outcome=Outcome.FAILURE)
    return True


def late(tx: Transaction, now: datetime, takes_long: timedelta, limit: int) -> list[Termination]:
    """Return ends that are not over after so long, of which nobody was told in `TELL_EVERY`; the oldest first."""
    return store.late(tx, now - takes_long, now - TELL_EVERY, limit)


def page(tx: Transaction, *, after: UUID | None = None, limit: int = PAGE_LIMIT) -> list[Termination]:
    """Return ends of accounts, over or not, by person; `after` is the last one already seen."""
    return store.page(tx, after=after, limit=min(limit, PAGE_LIMIT))


def find(tx: Transaction, person: UUID) -> Termination | None:
    """Return how the account of a person ended."""
    return store.find(tx, person)


def count(tx: Transaction, *, reported_before: datetime | None = None) -> int:
    """Return how many ends are not over, or of those how many were reported before a time."""
    return store.count_pending(tx, reported_before=reported_before)
