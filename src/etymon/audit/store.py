# SPDX-License-Identifier: Apache-2.0
"""The trail's SQL."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from etymon.audit.chain import START, canonical
from etymon.audit.errors import NotRecorded
from etymon.audit.model import AuditEvent, ChainHead, Checkpoint, Fact, Outcome, RecordedEvent, SealedEvent
from etymon.audit.tables import checkpoints, events, pending, seals
from etymon.storage.database import Transaction

EVENT_COLUMNS = (
    events.c.id,
    events.c.recorded_at,
    events.c.name,
    events.c.actor,
    events.c.subject,
    events.c.source,
    events.c.outcome,
    events.c.facts,
)
CHECKPOINT_COLUMNS = (
    checkpoints.c.number,
    checkpoints.c.id,
    checkpoints.c.sequence,
    checkpoints.c.digest,
    checkpoints.c.previous,
    checkpoints.c.signed_at,
    checkpoints.c.key_id,
    checkpoints.c.signature,
)

_ADD_EVENT: Final = events.insert()
_ADD_PENDING: Final = pending.insert()
_OLDEST_PENDING: Final = sa.select(pending.c.recorded_at).order_by(pending.c.recorded_at).limit(1)
"""Statements of every change; built once."""


def add_event(tx: Transaction, recorded: RecordedEvent) -> None:
    """Save an event and queue it for the sealer; `NotRecorded` where the database refuses it."""
    event = recorded.event
    row = {
        "id": recorded.id,
        "recorded_at": recorded.recorded_at,
        "name": event.name,
        "actor": event.actor,
        "subject": event.subject,
        "source": event.source,
        "outcome": event.outcome.value,
        "facts": canonical(event.facts),
    }
    try:
        tx.execute(_ADD_EVENT, row)
        tx.execute(_ADD_PENDING, {"event_id": recorded.id, "recorded_at": recorded.recorded_at})
    except sa.exc.OperationalError:
        raise  # the database is gone or full; the transaction tells of that
    except sa.exc.DatabaseError as exc:
        raise NotRecorded(
            detail="The audit trail could not be written, so nothing was done. See what the database says of it.",
            reason=type(exc.orig).__name__,
        ) from exc


def oldest_pending(tx: Transaction) -> datetime | None:
    """Return when the oldest event that no checkpoint covers was recorded."""
    return tx.scalar(_OLDEST_PENDING)


def newest(tx: Transaction) -> datetime | None:
    """Return when the newest event was recorded."""
    return tx.scalar(sa.select(events.c.recorded_at).order_by(events.c.recorded_at.desc()).limit(1))


def unchained(tx: Transaction, *, limit: int) -> list[RecordedEvent]:
    """Return queued events that are not in the chain yet, in the order of their times."""
    rows = tx.execute(
        sa.select(*EVENT_COLUMNS)
        .join(pending, pending.c.event_id == events.c.id)
        .outerjoin(seals, seals.c.event_id == pending.c.event_id)
        .where(seals.c.sequence.is_(None))
        .order_by(pending.c.recorded_at, pending.c.event_id)
        .limit(limit)
    )
    return [_recorded(row) for row in rows]


def head(tx: Transaction) -> ChainHead:
    """Return the end of the chain."""
    row = tx.execute(
        sa.select(seals.c.sequence, seals.c.digest).order_by(seals.c.sequence.desc()).limit(1)
    ).one_or_none()
    return START if row is None else ChainHead(row.sequence, row.digest)


def digest_at(tx: Transaction, sequence: int) -> bytes | None:
    """Return the digest at a place of the chain."""
    if sequence == START.sequence:
        return START.digest
    return tx.scalar(sa.select(seals.c.digest).where(seals.c.sequence == sequence))


def add_seals(tx: Transaction, added: Sequence[tuple[int, UUID, bytes]]) -> None:
    """Append (sequence, event, digest) to the chain; `IntegrityError` if another sealer was there first."""
    tx.execute(
        seals.insert(),
        [{"sequence": sequence, "event_id": event, "digest": digest} for sequence, event, digest in added],
    )


def last_checkpoint(tx: Transaction) -> Checkpoint | None:
    """Return the newest checkpoint."""
    row = tx.execute(sa.select(*CHECKPOINT_COLUMNS).order_by(checkpoints.c.number.desc()).limit(1)).one_or_none()
    return None if row is None else Checkpoint(*row)


def add_checkpoint(tx: Transaction, checkpoint: Checkpoint, *, after: int) -> None:
    """Save a checkpoint and take the events it covers, those after sequence `after`, out of the queue."""
    tx.execute(
        checkpoints.insert().values({column.name: getattr(checkpoint, column.name) for column in CHECKPOINT_COLUMNS})
    )
    covered = sa.select(seals.c.event_id).where(seals.c.sequence > after, seals.c.sequence <= checkpoint.sequence)
    tx.execute(pending.delete().where(pending.c.event_id.in_(covered)))


def sequences_after(tx: Transaction, sequence: int, *, limit: int) -> list[int]:
    """Return which places of the chain follow `sequence`, in order."""
    following = sa.select(seals.c.sequence).where(seals.c.sequence > sequence)
    return list(tx.scalars(following.order_by(seals.c.sequence).limit(limit)))


def sealed(tx: Transaction, first: int, last: int) -> list[SealedEvent]:
    """Return a stretch of the chain, in order, with the events as they are now.

    `ValueError` or `TypeError` when a row holds what was never written there.
    """
    rows = tx.execute(
        sa.select(seals.c.sequence, seals.c.digest, seals.c.event_id, *EVENT_COLUMNS)
        .outerjoin(events, events.c.id == seals.c.event_id)
        .where(seals.c.sequence.between(first, last))
        .order_by(seals.c.sequence)
    )
    return [SealedEvent(row.sequence, row.digest, None if row.id is None else _recorded(row)) for row in rows]


def checkpoints_after(tx: Transaction, sequence: int, *, limit: int) -> list[Checkpoint]:
    """Return the checkpoints over a longer chain than `sequence`, in order."""
    rows = tx.execute(
        sa.select(*CHECKPOINT_COLUMNS)
        .where(checkpoints.c.sequence > sequence)
        .order_by(checkpoints.c.sequence)
        .limit(limit)
    )
    return [Checkpoint(*row) for row in rows]


def adrift(tx: Transaction, *, limit: int) -> list[UUID]:
    """Return events that are neither in the chain nor queued for it, and queued ones that are gone."""
    lost = (
        sa.select(events.c.id)
        .outerjoin(seals, seals.c.event_id == events.c.id)
        .outerjoin(pending, pending.c.event_id == events.c.id)
        .where(seals.c.sequence.is_(None), pending.c.event_id.is_(None))
    )
    gone = (
        sa.select(pending.c.event_id).outerjoin(events, events.c.id == pending.c.event_id).where(events.c.id.is_(None))
    )
    return list(tx.scalars(lost.union_all(gone).limit(limit)))


def page(
    tx: Transaction,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
    wanted: Mapping[str, str | None],
    since: datetime | None,
    until: datetime | None,
    but: Collection[str] = (),
) -> list[RecordedEvent]:
    """Return events newest first, from before a known one on; `wanted` has what columns hold, None for anything.

    Events called one of `but` are left out.
    """
    query = sa.select(*EVENT_COLUMNS)
    for column, value in wanted.items():
        if value is not None:
            query = query.where(events.c[column] == value)
    if but:
        query = query.where(events.c.name.not_in(but))
    if since is not None:
        query = query.where(events.c.recorded_at >= since)
    if until is not None:
        query = query.where(events.c.recorded_at < until)
    if before is not None:
        moment, id_ = before
        query = query.where(
            sa.or_(events.c.recorded_at < moment, sa.and_(events.c.recorded_at == moment, events.c.id < id_))
        )
    rows = tx.execute(query.order_by(events.c.recorded_at.desc(), events.c.id.desc()).limit(limit))
    return [_recorded(row) for row in rows]


def has(tx: Transaction, column: str, value: str) -> bool:
    """Say whether a column holds this in any event."""
    return tx.execute(sa.select(events.c.id).where(events.c[column] == value).limit(1)).first() is not None


def find(tx: Transaction, id_: UUID) -> RecordedEvent | None:
    """Return an event."""
    row = tx.execute(sa.select(*EVENT_COLUMNS).where(events.c.id == id_)).one_or_none()
    return None if row is None else _recorded(row)


def sequences_of(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the places of events in the chain, of those that have one."""
    rows = tx.execute(sa.select(seals.c.event_id, seals.c.sequence).where(seals.c.event_id.in_(ids)))
    return {row.event_id: row.sequence for row in rows}


def _facts(text: str) -> dict[str, Fact]:
    facts = json.loads(text)
    if not isinstance(facts, dict):
        message = "facts are an object"
        raise TypeError(message)
    return facts


def _recorded(row: sa.Row[*tuple[Any, ...]]) -> RecordedEvent:
    event = AuditEvent(
        name=row.name,
        actor=row.actor,
        subject=row.subject,
        outcome=Outcome(row.outcome),
        facts=_facts(row.facts),
        source=row.source,
    )
    return RecordedEvent(row.id, row.recorded_at, event)
