# SPDX-License-Identifier: Apache-2.0
"""Escrow's SQL."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from etymon.escrow.errors import key_destroyed, key_unknown
from etymon.escrow.model import ALLOWED, EscrowedKey, EscrowState, GeneratedKey, WrappedKey
from etymon.escrow.tables import NOT_DESTROYED, keys, legal_holds, releases
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
_FREE: Final = ~sa.exists().where(legal_holds.c.person_id == keys.c.person_id, legal_holds.c.lifted_at.is_(None))
"""No legal hold is on the key."""


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


def ever_of_person(tx: Transaction, person_id: UUID) -> list[EscrowedKey]:
    """Return a person's keys that have or had certificates, destroyed ones too, newest first."""
    wanted = sa.select(*KEY_COLUMNS).where(keys.c.person_id == person_id, keys.c.certificate.is_not(None))
    return [_key(row) for row in tx.execute(wanted.order_by(keys.c.deposited_at.desc(), keys.c.id))]


def wrapped(tx: Transaction, key_id: UUID) -> WrappedKey:
    """Return what is kept of a key; `Conflict` when it is destroyed."""
    kept = sa.select(*KEY_COLUMNS, keys.c.wrapped, keys.c.wrapped_by)
    row = tx.execute(kept.where(keys.c.id == key_id, keys.c.wrapped.is_not(None))).one_or_none()
    if row is None:
        raise key_destroyed()
    return WrappedKey(_key(row), row.wrapped, row.wrapped_by)


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
    transport_key: rsa.RSAPublicKey | None,
    reason: str,
    actor: str,
    recovery_id: UUID | None,
    card_proof: UUID | None,
) -> None:
    """Put a release on record: to a transport key, by a recovery, or to whoever proved a card."""
    tx.execute(
        releases.insert().values(
            id=release_id,
            key_id=key_id,
            released_at=released_at,
            transport_key_sha256=None if transport_key is None else spki_sha256(transport_key),
            reason=reason,
            actor=actor,
            recovery_id=recovery_id,
            card_proof=card_proof,
        )
    )


def certify(tx: Transaction, key_id: UUID, certificate: x509.Certificate, keep_until: datetime) -> bool:
    """Keep a key's certificate with it; False when the key has one already or is gone."""
    bare = keys.update().where(
        keys.c.id == key_id, keys.c.certificate.is_(None), keys.c.state != EscrowState.DESTROYED.value
    )
    return tx.execute(bare.values(certificate=to_der(certificate), keep_until=keep_until)).rowcount == 1


def destroy(tx: Transaction, key_id: UUID, now: datetime) -> bool:
    """Destroy what is kept of a key; False when it must still be kept, is under a legal hold, or is gone."""
    tx.execute(sa.select(keys.c.id).where(keys.c.id == key_id).with_for_update())  # a hold being placed comes first
    due = keys.update().where(
        keys.c.id == key_id,
        keys.c.state.in_(_from(EscrowState.DESTROYED)),
        sa.or_(keys.c.keep_until.is_(None), keys.c.keep_until <= now),
        _FREE,
    )
    gone = due.values(state=EscrowState.DESTROYED.value, wrapped=None, destroyed_at=now)
    return tx.execute(gone).rowcount == 1


def is_held(tx: Transaction, person_id: UUID) -> bool:
    """Say whether a legal hold is on a person's keys."""
    live = sa.select(legal_holds.c.id).where(legal_holds.c.person_id == person_id, legal_holds.c.lifted_at.is_(None))
    return tx.execute(live.limit(1)).first() is not None


def kept_until(tx: Transaction, moment: datetime, *, limit: int) -> list[UUID]:
    """Return keys that had to be kept until a moment, the oldest first; locked till the end.

    Those that are destroyed or under a legal hold are not among them.
    """
    over = sa.select(keys.c.id).where(NOT_DESTROYED, keys.c.keep_until <= moment, _FREE)
    return list(tx.scalars(over.order_by(keys.c.keep_until, keys.c.id).limit(limit).with_for_update(skip_locked=True)))


def known_keys(tx: Transaction, key_ids: Iterable[UUID]) -> dict[UUID, EscrowedKey]:
    """Return keys by id, destroyed or not."""
    wanted = sa.select(*KEY_COLUMNS).where(keys.c.id.in_(list(key_ids)))
    return {row.id: _key(row) for row in tx.execute(wanted)}


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


def _rsa(public_key: bytes) -> rsa.RSAPublicKey:
    loaded = load_der_public_key(public_key)
    if not isinstance(loaded, rsa.RSAPublicKey):
        message = "an escrow table holds a key that is not RSA"
        raise TypeError(message)
    return loaded
