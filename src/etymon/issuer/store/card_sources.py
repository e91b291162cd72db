# SPDX-License-Identifier: Apache-2.0
"""Where the status of cards is asked, and how far the present sweep over the cards of each has come."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from etymon.issuer.store.card_links import IS_UNKNOWN
from etymon.issuer.tables import card_links
from etymon.issuer.tables import card_sources as table
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken


@dataclass(frozen=True, slots=True)
class CardSource:
    """One issuer of cards with one list, or without: `list_url` is empty where each card is asked for by itself.

    A sweep that began and is not over has looked at all cards up to `cursor`: of `checked` it knows the status, of
    `unknown` nobody told it. `silent_since` is when nobody answered for the first time since somebody did; `told_at` is
    when Officers were told last of cards that have long been unknown.
    """

    id: UUID
    trust_entry: str
    issuer: bytes = field(repr=False)
    list_url: str
    host: str
    began_at: datetime | None = None
    cursor: UUID | None = None
    checked: int = 0
    swept_at: datetime | None = None
    failures: int = 0
    silent_since: datetime | None = None
    next_try_at: datetime | None = None
    unknown: int = 0
    told_at: datetime | None = None


_COLUMNS = [table.c[name] for name in CardSource.__dataclass_fields__]


def keep(tx: Transaction, source: CardSource, issuer_sha256: bytes) -> UUID:
    """Keep a source unless it is known; return its id."""
    insert_unless_taken(
        tx,
        table,
        id=source.id,
        trust_entry=source.trust_entry,
        issuer_sha256=issuer_sha256,
        issuer=source.issuer,
        list_url=source.list_url,
        host=source.host,
        checked=0,
        failures=0,
    )
    known = sa.select(table.c.id).where(
        table.c.trust_entry == source.trust_entry,
        table.c.issuer_sha256 == issuer_sha256,
        table.c.list_url == source.list_url,
    )
    kept: UUID = tx.execute(known).scalar_one()
    return kept


def find(tx: Transaction, source: UUID) -> CardSource | None:
    """Return a source."""
    row = tx.execute(sa.select(*_COLUMNS).where(table.c.id == source)).one_or_none()
    return None if row is None else CardSource(*row)


def all_of(tx: Transaction) -> list[CardSource]:
    """Return all sources by trust entry: they are as many as there are lists of card issuers."""
    wanted = sa.select(*_COLUMNS).order_by(table.c.trust_entry, table.c.list_url, table.c.id)
    return [CardSource(*row) for row in tx.execute(wanted)]


def due(tx: Transaction, now: datetime, *, swept_before: datetime) -> list[UUID]:
    """Return the sources whose last sweep is over and old, or was broken off, and that may be asked now."""
    old = sa.or_(table.c.began_at.is_not(None), table.c.swept_at.is_(None), table.c.swept_at <= swept_before)
    may = sa.or_(table.c.next_try_at.is_(None), table.c.next_try_at <= now)
    return list(tx.scalars(sa.select(table.c.id).where(old, may).order_by(table.c.id)))


def with_unknown(tx: Transaction, now: datetime) -> list[UUID]:
    """Return the sources that may be asked now and have cards of unknown status whose wait is over."""
    may = sa.or_(table.c.next_try_at.is_(None), table.c.next_try_at <= now)
    waits = sa.exists().where(card_links.c.source_id == table.c.id, IS_UNKNOWN, card_links.c.next_try_at <= now)
    return list(tx.scalars(sa.select(table.c.id).where(may, waits).order_by(table.c.id)))


def move(tx: Transaction, source: CardSource, values: Mapping[str, Any]) -> bool:
    """Change a source if its sweep stands where it was read; False when somebody else went on with it."""
    stands = sa.and_(
        table.c.id == source.id,
        table.c.began_at.is_not_distinct_from(source.began_at),
        table.c.cursor.is_not_distinct_from(source.cursor),
    )
    return tx.execute(table.update().where(stands).values(**values)).rowcount == 1


def count_one(tx: Transaction, source: UUID) -> None:
    """Count a card that was looked at before its page is over."""
    tx.execute(table.update().where(table.c.id == source).values(checked=table.c.checked + 1))


def postpone(tx: Transaction, host: str, until: datetime) -> None:
    """Leave a host alone for some time, whichever of its lists are wanted; longer waits stay."""
    sooner = sa.or_(table.c.next_try_at.is_(None), table.c.next_try_at < until)
    tx.execute(table.update().where(table.c.host == host, sooner).values(next_try_at=until))


def note_told(tx: Transaction, source: UUID, now: datetime, *, before: datetime) -> bool:
    """Note that somebody is told of unknown cards now; False where somebody was, since a time."""
    mine = sa.and_(table.c.id == source, sa.or_(table.c.told_at.is_(None), table.c.told_at <= before))
    return tx.execute(table.update().where(mine).values(told_at=now)).rowcount == 1


def hurry(tx: Transaction) -> list[UUID]:
    """Have all sources asked now, whenever that was done last; return them."""
    return list(tx.scalars(table.update().values(next_try_at=None, swept_at=None).returning(table.c.id)))
