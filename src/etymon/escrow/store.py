# SPDX-License-Identifier: Apache-2.0
"""Escrow's SQL."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from etymon.escrow.errors import key_destroyed, key_unknown, recovery_state, recovery_unknown
from etymon.escrow.model import (
    ALLOWED,
    RECOVERY_ALLOWED,
    EscrowedKey,
    EscrowState,
    GeneratedKey,
    Recovery,
    RecoveryState,
    WrappedKey,
)
from etymon.escrow.tables import NOT_DESTROYED, keys, recoveries, releases
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import load, spki, spki_sha256, to_der
from etymon.storage.database import Transaction

KEY_COLUMNS: Final = (
    keys.c.id,
    keys.c.person_id,
    keys.c.key_type,
    keys.c.public_key,
    keys.c.state,
    keys.c.deposited_at,
    keys.c.certificate,
)
RECOVERY_COLUMNS: Final = (
    recoveries.c.id,
    recoveries.c.key_id,
    recoveries.c.transport_key,
    recoveries.c.reason,
    recoveries.c.state,
    recoveries.c.requested_by,
    recoveries.c.requested_at,
    recoveries.c.expires_at,
    recoveries.c.decided_by,
)


def add(tx: Transaction, generated: GeneratedKey, now: datetime) -> None:
    """Keep a key."""
    tx.execute(
        keys.insert().values(
            id=generated.id,
            person_id=generated.person_id,
            key_type=generated.key_type.value,
            public_key=spki(generated.public_key),
            public_key_sha256=spki_sha256(generated.public_key),
            wrapped=generated.wrapped,
            wrapped_by=generated.wrapped_by,
            state=EscrowState.DEPOSITED.value,
            deposited_at=now,
            destroyed_at=None,
            certificate=None,
            keep_until=None,
        )
    )


def find(tx: Transaction, key_id: UUID) -> EscrowedKey | None:
    """Return a key, destroyed or not."""
    row = tx.execute(sa.select(*KEY_COLUMNS).where(keys.c.id == key_id)).one_or_none()
    return None if row is None else _key(row)


def of_person(tx: Transaction, person_id: UUID) -> list[EscrowedKey]:
    """Return a person's keys that are not destroyed, newest first: a few in a life."""
    wanted = sa.select(*KEY_COLUMNS).where(keys.c.person_id == person_id, keys.c.state != EscrowState.DESTROYED.value)
    return [_key(row) for row in tx.execute(wanted.order_by(keys.c.deposited_at.desc(), keys.c.id))]


def release(tx: Transaction, key_id: UUID) -> WrappedKey:
    """Move a key to released and return what is kept of it; `Conflict` when it is destroyed."""
    moved = (
        keys.update()
        .where(keys.c.id == key_id, keys.c.state.in_(_from(EscrowState.RELEASED)))
        .values(state=EscrowState.RELEASED.value)
        .returning(*KEY_COLUMNS, keys.c.wrapped, keys.c.wrapped_by)
    )
    row = tx.execute(moved).one_or_none()
    if row is None:
        raise key_destroyed()
    return WrappedKey(_key(row), row.wrapped, row.wrapped_by)


def add_release(
    tx: Transaction,
    release_id: UUID,
    *,
    key_id: UUID,
    released_at: datetime,
    transport_key: rsa.RSAPublicKey,
    reason: str,
    actor: str,
    recovery_id: UUID | None,
) -> None:
    """Put a release on record."""
    tx.execute(
        releases.insert().values(
            id=release_id,
            key_id=key_id,
            released_at=released_at,
            transport_key_sha256=spki_sha256(transport_key),
            reason=reason,
            actor=actor,
            recovery_id=recovery_id,
        )
    )


def certify(tx: Transaction, key_id: UUID, certificate: x509.Certificate, keep_until: datetime) -> bool:
    """Keep a key's certificate with it; False when the key has one already or is gone."""
    bare = keys.update().where(
        keys.c.id == key_id, keys.c.certificate.is_(None), keys.c.state != EscrowState.DESTROYED.value
    )
    return tx.execute(bare.values(certificate=to_der(certificate), keep_until=keep_until)).rowcount == 1


def destroy(tx: Transaction, key_id: UUID, now: datetime) -> bool:
    """Destroy what is kept of a key; False when it must still be kept, or is gone."""
    due = keys.update().where(
        keys.c.id == key_id,
        keys.c.state.in_(_from(EscrowState.DESTROYED)),
        sa.or_(keys.c.keep_until.is_(None), keys.c.keep_until <= now),
    )
    gone = due.values(state=EscrowState.DESTROYED.value, wrapped=None, destroyed_at=now)
    return tx.execute(gone).rowcount == 1


def kept_until(tx: Transaction, moment: datetime, *, limit: int) -> list[UUID]:
    """Return keys that had to be kept until a moment and are not destroyed, the oldest first; locked till the end."""
    over = sa.select(keys.c.id).where(NOT_DESTROYED, keys.c.keep_until <= moment)
    return list(tx.scalars(over.order_by(keys.c.keep_until, keys.c.id).limit(limit).with_for_update(skip_locked=True)))


def add_recovery(tx: Transaction, recovery: Recovery) -> None:
    """Keep a request for somebody else's key."""
    tx.execute(
        recoveries.insert().values(
            id=recovery.id,
            key_id=recovery.key_id,
            transport_key=spki(recovery.transport_key),
            reason=recovery.reason,
            state=recovery.state.value,
            requested_by=recovery.requested_by,
            requested_at=recovery.requested_at,
            expires_at=recovery.expires_at,
            decided_by=recovery.decided_by,
        )
    )


def recovery(tx: Transaction, recovery_id: UUID) -> Recovery:
    """Return a recovery; `NotFound` when there is none."""
    row = tx.execute(sa.select(*RECOVERY_COLUMNS).where(recoveries.c.id == recovery_id)).one_or_none()
    if row is None:
        raise recovery_unknown()
    return _recovery(row)


def move_recovery(tx: Transaction, known: Recovery, to: RecoveryState, **values: object) -> None:
    """Move a recovery from the state it was read in; `Conflict` when it has moved or may not."""
    if to not in RECOVERY_ALLOWED[known.state]:
        raise recovery_state()
    moved = recoveries.update().where(recoveries.c.id == known.id, recoveries.c.state == known.state.value)
    if tx.execute(moved.values(state=to.value, **values)).rowcount != 1:
        raise recovery_state()


def open_recoveries(tx: Transaction, *, after: UUID | None, limit: int) -> list[Recovery]:
    """Return recoveries that wait for a second officer, oldest first, those after a known one."""
    wanted = sa.select(*RECOVERY_COLUMNS).where(recoveries.c.state == RecoveryState.REQUESTED.value)
    if after is not None:
        known = recovery(tx, after)
        wanted = wanted.where(
            sa.or_(
                recoveries.c.requested_at > known.requested_at,
                sa.and_(recoveries.c.requested_at == known.requested_at, recoveries.c.id > known.id),
            )
        )
    ordered = wanted.order_by(recoveries.c.requested_at, recoveries.c.id).limit(limit)
    return [_recovery(row) for row in tx.execute(ordered)]


def known_key(tx: Transaction, key_id: UUID) -> EscrowedKey:
    """Return a key; `NotFound` when there is none."""
    key = find(tx, key_id)
    if key is None:
        raise key_unknown()
    return key


def _from(state: EscrowState) -> list[str]:
    return [before.value for before, after in ALLOWED.items() if state in after]


def _key(row: sa.Row[*tuple[Any, ...]]) -> EscrowedKey:
    return EscrowedKey(
        id=row.id,
        person_id=row.person_id,
        key_type=KeyType(row.key_type),
        public_key=_rsa(row.public_key),
        state=EscrowState(row.state),
        deposited_at=row.deposited_at,
        certificate=None if row.certificate is None else load(row.certificate),
    )


def _recovery(row: sa.Row[*tuple[Any, ...]]) -> Recovery:
    return Recovery(
        id=row.id,
        key_id=row.key_id,
        transport_key=_rsa(row.transport_key),
        reason=row.reason,
        state=RecoveryState(row.state),
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        decided_by=row.decided_by,
    )


def _rsa(public_key: bytes) -> rsa.RSAPublicKey:
    loaded = load_der_public_key(public_key)
    if not isinstance(loaded, rsa.RSAPublicKey):
        message = "an escrow table holds a key that is not RSA"
        raise TypeError(message)
    return loaded
