# SPDX-License-Identifier: Apache-2.0
"""Accounts that ended, until everything that was derived for them is over."""

from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from etymon.directory.model import Termination, TerminationReason
from etymon.directory.tables import terminations as table
from etymon.storage.database import Transaction

OPEN: Final = table.c.closed_at.is_(None)


def add(tx: Transaction, termination: Termination) -> None:
    """Keep that an account ended."""
    tx.execute(
        table.insert().values(
            person_id=termination.person,
            reason=termination.reason.value,
            reported_at=termination.reported_at,
            due_at=termination.due_at,
        )
    )


def find(tx: Transaction, person: UUID) -> Termination | None:
    """Return how an account ended."""
    row = tx.execute(sa.select(*table.c).where(table.c.person_id == person)).one_or_none()
    return None if row is None else _termination(row)


def late(tx: Transaction, reported_before: datetime, told_before: datetime, limit: int) -> list[Termination]:
    """Return ends that are not over, reported before a time, of which nobody was told since; the oldest first."""
    wanted = sa.select(*table.c).where(OPEN, _untold(told_before), table.c.reported_at <= reported_before)
    return [_termination(row) for row in tx.execute(wanted.order_by(table.c.reported_at).limit(limit))]


def page(tx: Transaction, *, after: UUID | None, limit: int) -> list[Termination]:
    """Return all ends by person, those after a known one."""
    wanted = sa.select(*table.c)
    if after is not None:
        wanted = wanted.where(table.c.person_id > after)
    return [_termination(row) for row in tx.execute(wanted.order_by(table.c.person_id).limit(limit))]


def alarm(tx: Transaction, person: UUID, now: datetime, told_before: datetime) -> bool:
    """Note that somebody is told of an end that takes long; False when somebody was, since a time, or it is over."""
    mine = sa.and_(table.c.person_id == person, OPEN, _untold(told_before))
    return tx.execute(table.update().where(mine).values(alarmed_at=now)).rowcount == 1


def close(tx: Transaction, person: UUID, now: datetime) -> bool:
    """Note that an end is over; False when it was."""
    return tx.execute(table.update().where(table.c.person_id == person, OPEN).values(closed_at=now)).rowcount == 1


def count_pending(tx: Transaction, *, reported_before: datetime | None = None) -> int:
    """Return how many ends are not over, or of those how many were reported before a time."""
    wanted = sa.select(sa.func.count()).select_from(table).where(OPEN)
    if reported_before is not None:
        wanted = wanted.where(table.c.reported_at <= reported_before)
    return tx.scalar(wanted) or 0


def _untold(told_before: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(table.c.alarmed_at.is_(None), table.c.alarmed_at <= told_before)


def _termination(row: sa.Row[tuple[object, ...]]) -> Termination:
    return Termination(
        row.person_id, TerminationReason(row.reason), row.reported_at, row.due_at, row.alarmed_at, row.closed_at
    )
