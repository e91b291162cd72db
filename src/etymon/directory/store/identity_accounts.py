# SPDX-License-Identifier: Apache-2.0
"""Which person which feed tells of, and under which name of its own."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from etymon.directory.errors import external_id_taken
from etymon.directory.tables import identity_accounts as table
from etymon.directory.tables import people
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken


@dataclass(frozen=True, slots=True)
class Ownership:
    """A person of a feed. `external_id` is what the feed calls the person, unique among its active people."""

    person: UUID
    feed: str
    external_id: str | None
    created_at: datetime
    updated_at: datetime


_COLUMNS = (table.c.person_id, table.c.feed_id, table.c.external_id, people.c.created_at, people.c.updated_at)
_KEPT = table.c.removed_at.is_(None)


def add(tx: Transaction, person: UUID, feed: str, external_id: str | None) -> bool:
    """Keep that a person is a feed's; False when the person, or the name, is taken."""
    return insert_unless_taken(tx, table, person_id=person, feed_id=feed, external_id=external_id)


def find(tx: Transaction, person: UUID) -> Ownership | None:
    """Return whose a person is; None for one that was removed, or is no feed's."""
    return next(iter(_found(tx, _wanted().where(table.c.person_id == person))), None)


def page(tx: Transaction, feed: str, *, after: UUID | None, skip: int, limit: int) -> list[Ownership]:
    """Return a feed's people by id, those after a known one, or but for the first ones."""
    wanted = _wanted().where(table.c.feed_id == feed)
    if after is not None:
        wanted = wanted.where(table.c.person_id > after)
    return _found(tx, wanted.order_by(table.c.person_id).offset(skip).limit(limit))


def by_external_id(tx: Transaction, feed: str, external_id: str, limit: int) -> list[Ownership]:
    """Return who is or was called so by a feed."""
    wanted = _wanted().where(table.c.feed_id == feed, table.c.external_id == external_id)
    return _found(tx, wanted.order_by(table.c.person_id).limit(limit))


def rename(tx: Transaction, person: UUID, external_id: str | None) -> None:
    """Call a person otherwise; `Conflict` when another active one of the feed is called so."""
    try:
        tx.execute(table.update().where(table.c.person_id == person).values(external_id=external_id))
    except sa.exc.IntegrityError as exc:
        raise external_id_taken() from exc


def end(tx: Transaction, person: UUID, now: datetime) -> None:
    """Free the name of somebody whose account ended."""
    tx.execute(table.update().where(table.c.person_id == person).values(ended_at=now))


def remove(tx: Transaction, person: UUID, now: datetime) -> bool:
    """Show a person to their feed no more; False when that is so already."""
    return tx.execute(table.update().where(table.c.person_id == person, _KEPT).values(removed_at=now)).rowcount == 1


def _wanted() -> sa.Select[Any]:
    return sa.select(*_COLUMNS).join(people, people.c.id == table.c.person_id).where(_KEPT)


def _found(tx: Transaction, wanted: sa.Select[Any]) -> list[Ownership]:
    return [Ownership(*row) for row in tx.execute(wanted)]
