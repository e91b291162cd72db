# SPDX-License-Identifier: Apache-2.0
"""Which card each derivation is linked to, and of which of them the status is watched."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from etymon.issuer.model import OPEN, CardLinkState
from etymon.issuer.store.card_sessions import ProvedCard
from etymon.issuer.tables import card_links as table
from etymon.issuer.tables import derivations
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken
from etymon.storage.schema import UTCDateTime

_KNOWN: Final[Mapping[str, Any]] = {"unknown_since": None, "unknown_tries": 0, "next_try_at": None}
IS_UNKNOWN: Final = sa.and_(table.c.next_try_at.is_not(None), table.c.state == CardLinkState.WATCHED.value)
"""Of a card nobody told the status, and somebody has to know it still. What is settled may have been noted as unknown
before, by whoever asked for it at that moment."""
_WATCHED: Final = (
    sa.select(table.c.derivation_id, table.c.serial, derivations.c.state, table.c.unknown_tries)
    .join(derivations, derivations.c.id == table.c.derivation_id)
    .where(table.c.state == CardLinkState.WATCHED.value)
)


@dataclass(frozen=True, slots=True)
class CardLink:
    """A derivation's card. Of one that was never presented here only the name is known, and nothing is watched."""

    derivation: UUID
    person: UUID
    card: ProvedCard
    state: CardLinkState
    source: UUID | None
    certificate: bytes | None = field(repr=False)


class Watched(NamedTuple):
    """What a sweep looks at. `is_open`: the derivation can still be ended.

    `unknown_tries` is how often nobody told the card's status, one time after the other; 0 where it is known.
    """

    derivation: UUID
    serial: int
    is_open: bool
    unknown_tries: int


def add(tx: Transaction, link: CardLink, serial: int, now: datetime) -> None:
    """Keep the link of a derivation that has none."""
    insert_unless_taken(
        tx,
        table,
        derivation_id=link.derivation,
        person_id=link.person,
        trust_entry=link.card.trust_entry,
        identifier=link.card.identifier,
        state=link.state.value,
        linked_at=now,
        source_id=link.source,
        serial=f"{serial:x}",
        certificate=link.certificate,
    )


def find(tx: Transaction, derivation: UUID) -> CardLink | None:
    """Return the link of a derivation."""
    return next(iter(_found(tx, table.c.derivation_id == derivation)), None)


def of_person(tx: Transaction, person: UUID) -> list[CardLink]:
    """Return the links of a person."""
    return _found(tx, table.c.person_id == person)


def relink(
    tx: Transaction,
    derivation: UUID,
    card: ProvedCard,
    now: datetime,
    *,
    source: UUID | None = None,
    serial: int | None = None,
    certificate: bytes | None = None,
) -> None:
    """Link a derivation to another card, or to a card whose certificate is known now."""
    tx.execute(
        table.update()
        .where(table.c.derivation_id == derivation)
        .values(
            trust_entry=card.trust_entry,
            identifier=card.identifier,
            state=CardLinkState.WATCHED.value,
            linked_at=now,
            source_id=source,
            serial=None if serial is None else f"{serial:x}",
            certificate=certificate,
            **_KNOWN,
        )
    )


def settle(tx: Transaction, derivation: UUID) -> bool:
    """Note that what follows from a revoked card is done; False when it was."""
    watched = table.update().where(table.c.derivation_id == derivation, table.c.state == CardLinkState.WATCHED.value)
    return tx.execute(watched.values(state=CardLinkState.REVOKED.value, **_KNOWN)).rowcount == 1


def page(tx: Transaction, source: UUID, *, after: UUID | None, limit: int) -> list[Watched]:
    """Return what is watched at a source by derivation, those after a known one."""
    wanted = _WATCHED.where(table.c.source_id == source)
    if after is not None:
        wanted = wanted.where(table.c.derivation_id > after)
    return _watched(tx, wanted.order_by(table.c.derivation_id).limit(limit))


def unknown(tx: Transaction, source: UUID, *, due: datetime, limit: int) -> list[Watched]:
    """Return cards of a source whose status is not known and that may be asked for again, the longest due first."""
    wanted = _WATCHED.where(table.c.source_id == source, table.c.next_try_at <= due)
    return _watched(tx, wanted.order_by(table.c.next_try_at, table.c.derivation_id).limit(limit))


def note_unknown(tx: Transaction, watched: Watched, now: datetime, next_try_at: datetime) -> None:
    """Note that nobody told the status of a card, and when it is asked for again."""
    values = {
        "unknown_since": sa.func.coalesce(table.c.unknown_since, sa.literal(now, UTCDateTime)),
        "unknown_tries": watched.unknown_tries + 1,
        "next_try_at": next_try_at,
    }
    still = (table.c.derivation_id == watched.derivation, table.c.state == CardLinkState.WATCHED.value)
    tx.execute(table.update().where(*still).values(values))  # it may have been found revoked meanwhile


def note_known(tx: Transaction, found: Collection[UUID]) -> None:
    """Note that the status of cards is known again."""
    if found:
        tx.execute(table.update().where(table.c.derivation_id.in_(list(found))).values(**_KNOWN))


def unknown_since(tx: Transaction, source: UUID, before: datetime, *, limit: int) -> list[UUID]:
    """Return derivations behind whose cards nobody has told a status since before a time."""
    mine = sa.and_(table.c.source_id == source, IS_UNKNOWN, table.c.unknown_since <= before)
    return list(tx.scalars(sa.select(table.c.derivation_id).where(mine).order_by(table.c.next_try_at).limit(limit)))


def count_unknown(tx: Transaction) -> int:
    """Return of how many cards the status is not known."""
    return tx.scalar(sa.select(sa.func.count()).where(IS_UNKNOWN)) or 0


def count(tx: Transaction, source: UUID, *, after: UUID | None) -> int:
    """Return how many links are watched at a source, or how many of them after a known one."""
    wanted = sa.select(sa.func.count()).select_from(table).where(table.c.source_id == source)
    if after is not None:
        wanted = wanted.where(table.c.derivation_id > after)
    return tx.scalar(wanted.where(table.c.state == CardLinkState.WATCHED.value)) or 0


def remove(tx: Transaction, gone: Collection[UUID]) -> None:
    """Forget the links of derivations that are over."""
    if gone:
        tx.execute(table.delete().where(table.c.derivation_id.in_(list(gone))))


def _watched(tx: Transaction, wanted: sa.Select[*tuple[Any, ...]]) -> list[Watched]:
    living = {state.value for state in OPEN}
    rows = tx.execute(wanted)
    return [Watched(derivation, int(serial, 16), state in living, tries) for derivation, serial, state, tries in rows]


def _found(tx: Transaction, which: sa.ColumnElement[bool]) -> list[CardLink]:
    rows = tx.execute(sa.select(*table.c).where(which).order_by(table.c.derivation_id))
    return [
        CardLink(
            row.derivation_id,
            row.person_id,
            ProvedCard(row.trust_entry, row.identifier),
            CardLinkState(row.state),
            row.source_id,
            row.certificate,
        )
        for row in rows
    ]
