# SPDX-License-Identifier: Apache-2.0
"""Device authorizations. Every move is one guarded UPDATE; who gets no row was not the one."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from etymon.idp.model import DEVICE_MOVES, DeviceAuthorization, DeviceState, EnrollingDevice, SignIn
from etymon.idp.store.rows import scopes_of, scopes_text, sign_in_of, sign_in_values
from etymon.idp.tables import device_authorizations as table
from etymon.storage.database import Transaction


def add(
    tx: Transaction, authorization: DeviceAuthorization, *, device_code_digest: bytes, user_code_digest: bytes
) -> bool:
    """Keep a device authorization that starts; False when its code is taken or its enrollment session has another."""
    device = authorization.device
    session = device.enrollment_session if device else None
    insert = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(table)
    added = tx.execute(
        insert.values(
            id=authorization.id,
            device_code_digest=device_code_digest,
            user_code_digest=user_code_digest,
            client_id=authorization.client_id,
            scopes=scopes_text(authorization.scopes),
            state=authorization.state.value,
            started_at=authorization.started_at,
            expires_at=authorization.expires_at,
            interval_seconds=int(authorization.interval.total_seconds()),
            next_poll_at=authorization.started_at,
            enrollment_session=session,
            live_enrollment_session=session,
            device=asdict(device) if device else None,
            undo_id=authorization.undo_id,
        )
        .on_conflict_do_nothing()
        .returning(table.c.id)
    )
    return added.one_or_none() is not None


def supersede(tx: Transaction, enrollment_session: str) -> list[UUID]:
    """End what an enrollment session has started before, unless its token was handed out; return what was ended."""
    ended = tx.execute(
        table.update()
        .where(
            table.c.live_enrollment_session == enrollment_session,
            table.c.state.in_([DeviceState.PENDING.value, DeviceState.APPROVED.value]),
        )
        .values(state=DeviceState.SUPERSEDED.value, live_enrollment_session=None)
        .returning(table.c.id)
    )
    return [row.id for row in ended]


def find(tx: Transaction, authorization_id: UUID) -> DeviceAuthorization | None:
    """Return the device authorization of this id."""
    return _one(tx, table.c.id == authorization_id)


def by_device_code(tx: Transaction, digest: bytes) -> DeviceAuthorization | None:
    """Return the device authorization of this device code."""
    return _one(tx, table.c.device_code_digest == digest)


def by_undo_id(tx: Transaction, undo_id: UUID) -> DeviceAuthorization | None:
    """Return the device authorization of an undo link."""
    return _one(tx, table.c.undo_id == undo_id)


def enter(tx: Transaction, user_code_digest: bytes, *, browser: str, now: datetime) -> DeviceAuthorization | None:
    """Tie a pending, timely authorization to the browser its code was typed in; None when there is none."""
    row = tx.execute(
        table.update()
        .where(
            table.c.user_code_digest == user_code_digest,
            table.c.state == DeviceState.PENDING.value,
            table.c.expires_at > now,
        )
        .values(entered_by=browser)
        .returning(*table.c)
    ).one_or_none()
    return None if row is None else _authorization(row)


def decide(
    tx: Transaction,
    authorization_id: UUID,
    to: DeviceState,
    sign_in: SignIn,
    *,
    browser: str,
    now: datetime,
) -> bool:
    """Move pending → approved or denied, by the browser the code was typed in, in time."""
    values: dict[str, Any] = {"state": to.value, "decided_at": now, **sign_in_values(sign_in)}
    if to is DeviceState.DENIED:
        values["live_enrollment_session"] = None
    moved = tx.execute(
        table.update()
        .where(
            table.c.id == authorization_id,
            table.c.state == DeviceState.PENDING.value,
            table.c.expires_at > now,
            table.c.entered_by == browser,
        )
        .values(**values)
    )
    return moved.rowcount == 1


def use(tx: Transaction, authorization_id: UUID, *, now: datetime) -> bool:
    """Move approved → used, in time: whoever gets True hands out the one token."""
    moved = tx.execute(
        table.update()
        .where(table.c.id == authorization_id, table.c.state == DeviceState.APPROVED.value, table.c.expires_at > now)
        .values(state=DeviceState.USED.value, live_enrollment_session=None)
    )
    return moved.rowcount == 1


def end(tx: Transaction, authorization_id: UUID) -> bool:
    """Move approved or used → ended; False when there was nothing to end."""
    before = [state.value for state, after in DEVICE_MOVES.items() if DeviceState.ENDED in after]
    moved = tx.execute(
        table.update()
        .where(table.c.id == authorization_id, table.c.state.in_(before))
        .values(state=DeviceState.ENDED.value, live_enrollment_session=None)
    )
    return moved.rowcount == 1


def end_of_person(tx: Transaction, person: UUID) -> None:
    """End everything a person has approved."""
    tx.execute(
        table.update()
        .where(
            table.c.person_id == person,
            table.c.state.in_([DeviceState.APPROVED.value, DeviceState.USED.value]),
        )
        .values(state=DeviceState.ENDED.value, live_enrollment_session=None)
    )


def poll(tx: Transaction, authorization: DeviceAuthorization, *, now: datetime) -> bool:
    """Note a poll that is not too early; False when it is."""
    noted = tx.execute(
        table.update()
        .where(table.c.id == authorization.id, table.c.next_poll_at <= now)
        .values(next_poll_at=now + authorization.interval)
    )
    return noted.rowcount == 1


def slow_down(tx: Transaction, authorization: DeviceAuthorization, *, by: timedelta, now: datetime) -> None:
    """Make the interval longer, from now on."""
    tx.execute(
        table.update()
        .where(table.c.id == authorization.id)
        .values(
            interval_seconds=table.c.interval_seconds + int(by.total_seconds()),
            next_poll_at=now + authorization.interval + by,
        )
    )


def _one(tx: Transaction, condition: sa.ColumnElement[bool]) -> DeviceAuthorization | None:
    row = tx.execute(sa.select(table).where(condition)).one_or_none()
    return None if row is None else _authorization(row)


def _authorization(row: sa.Row[Any]) -> DeviceAuthorization:
    return DeviceAuthorization(
        id=row.id,
        client_id=row.client_id,
        scopes=scopes_of(row.scopes),
        state=DeviceState(row.state),
        started_at=row.started_at,
        expires_at=row.expires_at,
        interval=timedelta(seconds=row.interval_seconds),
        device=EnrollingDevice(**row.device) if row.device else None,
        entered_by=row.entered_by,
        undo_id=row.undo_id,
        sign_in=sign_in_of(row) if row.proof_id else None,
    )
