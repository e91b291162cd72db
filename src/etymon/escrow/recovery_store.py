# SPDX-License-Identifier: Apache-2.0
"""The SQL of recoveries and legal holds."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from etymon.escrow.errors import hold_lifted, hold_unknown, recovery_state, recovery_unknown
from etymon.escrow.recovery_model import (
    RECOVERY_ALLOWED,
    UNSUCCESSFUL,
    Approval,
    Authority,
    Cause,
    End,
    LegalHold,
    Notice,
    Order,
    Recovery,
    RecoveryState,
)
from etymon.escrow.tables import WAITING, keys, legal_holds, recoveries, recovery_keys
from etymon.storage.database import Transaction

COLUMNS: Final = tuple(recoveries.c)
HOLD_COLUMNS: Final = tuple(legal_holds.c)


def add(tx: Transaction, wanted: Recovery) -> None:
    """Keep a request with the keys it names."""
    order = wanted.order
    tx.execute(
        recoveries.insert().values(
            id=wanted.id,
            person_id=order.person,
            requestor=order.requestor,
            authority=order.authority.value,
            reference=order.reference,
            document_sha256=order.document_sha256,
            reason=order.reason,
            notice=order.notice.value,
            state=wanted.state.value,
            requested_by=wanted.requested_by,
            requested_at=wanted.requested_at,
            expires_at=wanted.expires_at,
        )
    )
    tx.execute(recovery_keys.insert(), [{"recovery_id": wanted.id, "key_id": key_id} for key_id in wanted.key_ids])


def find(tx: Transaction, recovery_id: UUID) -> Recovery:
    """Return a recovery; `NotFound` when there is none."""
    return _one(tx, sa.select(*COLUMNS).where(recoveries.c.id == recovery_id))


def lock(tx: Transaction, recovery_id: UUID) -> Recovery:
    """Return a recovery that nobody else changes before this transaction ends; `NotFound` when there is none."""
    return _one(tx, sa.select(*COLUMNS).where(recoveries.c.id == recovery_id).with_for_update())


def move(tx: Transaction, known: Recovery, to: RecoveryState, **values: object) -> None:
    """Move a recovery from the state it was read in; `Conflict` when it has moved or may not."""
    if to not in RECOVERY_ALLOWED[known.state]:
        raise recovery_state(known.state.value)
    moved = recoveries.update().where(recoveries.c.id == known.id, recoveries.c.state == known.state.value)
    if tx.execute(moved.values(state=to.value, **values)).rowcount != 1:
        raise recovery_state("decided meanwhile")


def approve(tx: Transaction, known: Recovery, given: Approval) -> Recovery:
    """Keep the first or the second approval; `Conflict` as for `move`, and the database takes no agent twice."""
    is_first = known.first is None
    which = "first" if is_first else "second"
    values = {
        f"{which}_agent": given.agent,
        f"{which}_approved_at": given.approved_at,
        f"{which}_half_digest": given.half_digest,
    }
    to = RecoveryState.HALF_APPROVED if is_first else RecoveryState.APPROVED
    move(tx, known, to, **values)
    return replace(known, state=to, first=given) if is_first else replace(known, state=to, second=given)


def explain(tx: Transaction, known: Recovery, cause: Cause) -> None:
    """Keep what an analysis found, once; `Conflict` for a recovery that has a cause or was not unsuccessful."""
    open_ = recoveries.update().where(
        recoveries.c.id == known.id,
        recoveries.c.state.in_([state.value for state in UNSUCCESSFUL]),
        recoveries.c.cause.is_(None),
    )
    if tx.execute(open_.values(cause=cause.text, cause_by=cause.by, cause_at=cause.at)).rowcount != 1:
        raise recovery_state(f"{known.state.value} and explained" if known.cause else known.state.value)


def page(
    tx: Transaction,
    *,
    hidden_from: UUID,
    after: UUID | None,
    limit: int,
    states: Collection[RecoveryState] | None = None,
    unexplained: bool = False,
) -> list[Recovery]:
    """Return recoveries, the oldest first, those after a known one, but none of keys of `hidden_from`.

    Those in one of `states` alone where it is given, and those without a cause where they are `unexplained`.
    """
    wanted = sa.select(*COLUMNS).where(recoveries.c.person_id != hidden_from)
    if states is not None:
        wanted = wanted.where(recoveries.c.state.in_([state.value for state in states]))
    if unexplained:
        wanted = wanted.where(recoveries.c.cause.is_(None))
    if after is not None:
        known = find(tx, after)
        wanted = wanted.where(_later(recoveries.c.requested_at, recoveries.c.id, known.requested_at, known.id))
    ordered = wanted.order_by(recoveries.c.requested_at, recoveries.c.id).limit(limit)
    return _recoveries(tx, tx.execute(ordered).all())


def over_at(tx: Transaction, now: datetime, limit: int) -> list[UUID]:
    """Return recoveries that wait and whose time is over, the oldest first."""
    late = sa.select(recoveries.c.id).where(WAITING, recoveries.c.expires_at <= now)
    return list(tx.scalars(late.order_by(recoveries.c.expires_at).limit(limit)))


def place_hold(tx: Transaction, hold: LegalHold) -> int:
    """Keep a hold; return how many keys it keeps. A worker that is destroying some of them is waited for."""
    held = sa.select(keys.c.id).where(keys.c.person_id == hold.person, keys.c.state != "destroyed")
    number = len(tx.execute(held.order_by(keys.c.id).with_for_update()).all())
    tx.execute(
        legal_holds.insert().values(
            id=hold.id,
            person_id=hold.person,
            reference=hold.reference,
            reason=hold.reason,
            placed_by=hold.placed_by,
            placed_at=hold.placed_at,
        )
    )
    return number


def lift_hold(tx: Transaction, hold_id: UUID, *, by: UUID, at: datetime, reason: str) -> LegalHold:
    """Lift a hold once and return it; `NotFound`, or `Conflict` when it was lifted before."""
    live = legal_holds.update().where(legal_holds.c.id == hold_id, legal_holds.c.lifted_at.is_(None))
    lifted = live.values(lifted_by=by, lifted_at=at, lift_reason=reason).returning(*HOLD_COLUMNS)
    row = tx.execute(lifted).one_or_none()
    if row is None:
        find_hold(tx, hold_id)
        raise hold_lifted()
    return _hold(row)


def find_hold(tx: Transaction, hold_id: UUID) -> LegalHold:
    """Return a hold; `NotFound` when there is none."""
    row = tx.execute(sa.select(*HOLD_COLUMNS).where(legal_holds.c.id == hold_id)).one_or_none()
    if row is None:
        raise hold_unknown()
    return _hold(row)


def holds(tx: Transaction, *, hidden_from: UUID, after: UUID | None, limit: int) -> list[LegalHold]:
    """Return holds, lifted ones too, the oldest first, those after a known one, but none on keys of `hidden_from`."""
    wanted = sa.select(*HOLD_COLUMNS).where(legal_holds.c.person_id != hidden_from)
    if after is not None:
        known = find_hold(tx, after)
        wanted = wanted.where(_later(legal_holds.c.placed_at, legal_holds.c.id, known.placed_at, known.id))
    ordered = wanted.order_by(legal_holds.c.placed_at, legal_holds.c.id).limit(limit)
    return [_hold(row) for row in tx.execute(ordered)]


def _later(at: "sa.Column[Any]", id_: "sa.Column[Any]", moment: datetime, last: UUID) -> sa.ColumnElement[bool]:
    return sa.or_(at > moment, sa.and_(at == moment, id_ > last))


def _one(tx: Transaction, wanted: sa.Select[Any]) -> Recovery:
    row = tx.execute(wanted).one_or_none()
    if row is None:
        raise recovery_unknown()
    return _recoveries(tx, [row])[0]


def _recoveries(tx: Transaction, rows: Sequence[sa.Row[*tuple[Any, ...]]]) -> list[Recovery]:
    """Read recoveries, and the keys of all of them at once."""
    named = sa.select(*recovery_keys.c).where(recovery_keys.c.recovery_id.in_([row.id for row in rows]))
    key_ids: dict[UUID, list[UUID]] = {row.id: [] for row in rows}
    for each in tx.execute(named.order_by(recovery_keys.c.key_id)):
        key_ids[each.recovery_id].append(each.key_id)
    return [_recovery(row, key_ids[row.id]) for row in rows]


def _recovery(row: sa.Row[*tuple[Any, ...]], key_ids: Sequence[UUID]) -> Recovery:
    return Recovery(
        id=row.id,
        order=Order(
            person=row.person_id,
            requestor=row.requestor,
            authority=Authority(row.authority),
            reference=row.reference,
            reason=row.reason,
            document_sha256=row.document_sha256,
            notice=Notice(row.notice),
        ),
        key_ids=tuple(key_ids),
        state=RecoveryState(row.state),
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        first=Approval(row.first_agent, row.first_approved_at, row.first_half_digest) if row.first_agent else None,
        second=Approval(row.second_agent, row.second_approved_at, row.second_half_digest) if row.second_agent else None,
        end=End(row.ended_at, row.ended_by, row.end_reason or "") if row.ended_at else None,
        cause=Cause(row.cause, row.cause_by, row.cause_at) if row.cause else None,
    )


def _hold(row: sa.Row[*tuple[Any, ...]]) -> LegalHold:
    return LegalHold(
        id=row.id,
        person=row.person_id,
        reference=row.reference,
        reason=row.reason,
        placed_by=row.placed_by,
        placed_at=row.placed_at,
        lifted_by=row.lifted_by,
        lifted_at=row.lifted_at,
        lift_reason=row.lift_reason or "",
    )
