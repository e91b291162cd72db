# SPDX-License-Identifier: Apache-2.0
"""Requests for approval. Every move is one UPDATE that names the state it expects."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from etymon.issuer.request import REQUEST_MOVES, WAITING, DerivationRequest, RequestState
from etymon.issuer.tables import UNDECIDED_OR_UNUSED
from etymon.issuer.tables import requests as table
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken

_WAITING: Final = sa.text(f"({UNDECIDED_OR_UNUSED.text})")


def add(tx: Transaction, request: DerivationRequest) -> bool:
    """Keep a request; False when the person has one under the rule that is not over."""
    return insert_unless_taken(
        tx,
        table,
        id=request.id,
        state=request.state.value,
        person_id=request.person,
        rule_id=request.rule,
        proof_id=request.proof,
        requested_at=request.requested_at,
        requested_from=request.requested_from,
        expires_at=request.expires_at,
        decision_reason="",
    )


def lock(tx: Transaction, request: UUID) -> DerivationRequest | None:
    """Return a request and let nobody else move it before this transaction ends."""
    row = tx.execute(sa.select(*table.c).where(table.c.id == request).with_for_update()).one_or_none()
    return None if row is None else _request(row)


def latest(tx: Transaction, person: UUID, rule: UUID) -> DerivationRequest | None:
    """Return the newest request of a person under a rule; one that is not over comes before those that are."""
    row = tx.execute(
        sa.select(*table.c)
        .where(table.c.person_id == person, table.c.rule_id == rule)
        .order_by(table.c.state.in_([state.value for state in WAITING]).desc(), table.c.requested_at.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _request(row)


def undecided(tx: Transaction, now: datetime, limit: int) -> tuple[DerivationRequest, ...]:
    """Return the requests that wait for an officer, the oldest first."""
    rows = tx.execute(
        sa.select(*table.c)
        .where(table.c.state == RequestState.REQUESTED.value, table.c.expires_at > now)
        .order_by(table.c.requested_at, table.c.id)
        .limit(limit)
    )
    return tuple(map(_request, rows))


def is_another_undecided(tx: Transaction, request: UUID, *, since: datetime, but: Collection[UUID]) -> bool:
    """Say whether another request made since a time waits for an officer, of whomever but some people."""
    undecided = sa.and_(table.c.state == RequestState.REQUESTED.value, table.c.requested_at >= since)
    others = sa.and_(table.c.id != request, table.c.person_id.not_in(but))
    return bool(tx.scalar(sa.select(sa.exists().where(undecided, others))))


def waiting_of(tx: Transaction, person: UUID) -> tuple[DerivationRequest, ...]:
    """Return what a person has asked for and may still lead to a credential."""
    return _all(tx, sa.and_(_WAITING, table.c.person_id == person))


def approved_since(
    tx: Transaction, since: datetime, *, rules: Collection[UUID], officer: UUID | None
) -> tuple[DerivationRequest, ...]:
    """Return unused approvals under one of the rules or by the officer, given since a time."""
    given: sa.ColumnElement[bool] = table.c.rule_id.in_(rules)
    if officer is not None:
        given = sa.or_(given, table.c.decided_by == officer)
    return _all(tx, sa.and_(table.c.state == RequestState.APPROVED.value, table.c.decided_at >= since, given))


def over_at(tx: Transaction, now: datetime, limit: int) -> tuple[UUID, ...]:
    """Return requests whose time is over and which nobody has ended."""
    found = sa.select(table.c.id).where(_WAITING, table.c.expires_at <= now).order_by(table.c.expires_at)
    return tuple(tx.scalars(found.limit(limit)))


def move(tx: Transaction, request: DerivationRequest, to: RequestState, **values: object) -> bool:
    """Move a request from the state it was read in; False when the model does not allow it or it moved meanwhile."""
    if to not in REQUEST_MOVES[request.state]:
        return False
    done = tx.execute(
        table.update()
        .where(table.c.id == request.id, table.c.state == request.state.value)
        .values(state=to.value, **values)
    )
    return done.rowcount == 1


def _all(tx: Transaction, condition: sa.ColumnElement[bool]) -> tuple[DerivationRequest, ...]:
    return tuple(map(_request, tx.execute(sa.select(*table.c).where(condition).order_by(table.c.id))))


def _request(row: sa.Row[Any]) -> DerivationRequest:
    return DerivationRequest(
        id=row.id,
        state=RequestState(row.state),
        person=row.person_id,
        rule=row.rule_id,
        proof=row.proof_id,
        requested_at=row.requested_at,
        requested_from=row.requested_from,
        expires_at=row.expires_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        decision_reason=row.decision_reason,
    )
