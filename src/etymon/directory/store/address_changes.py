# SPDX-License-Identifier: Apache-2.0
"""When a person's mail addresses changed lately, and which there were before."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from etymon.directory.tables import address_changes as table
from etymon.storage.database import Transaction


def add(tx: Transaction, change: UUID, person: UUID, before: Sequence[str], now: datetime) -> None:
    """Keep that the addresses changed."""
    tx.execute(table.insert().values(id=change, person_id=person, before=list(before), changed_at=now))


def forget(tx: Transaction, person: UUID, until: datetime) -> None:
    """Delete what changed until then."""
    tx.execute(table.delete().where(table.c.person_id == person, table.c.changed_at <= until))


def before_since(tx: Transaction, person: UUID, since: datetime) -> list[str]:
    """Return the addresses from before each change since then, the newest change first."""
    wanted = sa.select(table.c.before).where(table.c.person_id == person, table.c.changed_at > since)
    found = tx.scalars(wanted.order_by(table.c.changed_at.desc(), table.c.id))
    return [address for before in found for address in before]


def before_each(tx: Transaction, person: UUID, *, since: datetime) -> list[frozenset[str]]:
    """Return the addresses from before each change since a time, that time too."""
    wanted = sa.select(table.c.before).where(table.c.person_id == person, table.c.changed_at >= since)
    return list(map(frozenset, tx.scalars(wanted)))


def last(tx: Transaction, person: UUID) -> datetime | None:
    """Return when the addresses changed last."""
    wanted = sa.select(table.c.changed_at).where(table.c.person_id == person).order_by(table.c.changed_at.desc())
    return tx.scalar(wanted.limit(1))
