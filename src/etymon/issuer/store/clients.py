# SPDX-License-Identifier: Apache-2.0
"""Clients of the management API, what they presented, and what they ended."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from etymon.issuer.model import EndReason
from etymon.issuer.tables import access_tokens, client_assertions, clients, invalidations
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken


@dataclass(frozen=True, slots=True)
class Client:
    """An endpoint manager that is registered. `device_trust_entries` are the device CAs whose devices it manages."""

    id: str
    name: str
    public_key: dict[str, str]
    device_trust_entries: frozenset[str]
    registered_at: datetime


@dataclass(frozen=True, slots=True)
class Invalidation:
    """What a client ended with one request."""

    client: str
    id: UUID
    request_digest: bytes
    reason: EndReason
    comment: str
    credentials: tuple[UUID, ...]
    done_at: datetime


def save(tx: Transaction, client: Client) -> None:
    """Register a client, or replace its name, key and device CAs."""
    values = {
        "name": client.name,
        "public_key": client.public_key,
        "device_trust_entries": sorted(client.device_trust_entries),
        "ended_at": None,
    }
    if not insert_unless_taken(tx, clients, id=client.id, registered_at=client.registered_at, **values):
        tx.execute(clients.update().where(clients.c.id == client.id).values(values))


def end(tx: Transaction, client: str, now: datetime) -> bool:
    """End a client and its tokens; False when there is none."""
    tx.execute(access_tokens.delete().where(access_tokens.c.client_id == client))
    done = tx.execute(clients.update().where(clients.c.id == client, clients.c.ended_at.is_(None)).values(ended_at=now))
    return done.rowcount == 1


def find(tx: Transaction, client: str) -> Client | None:
    """Return a client that is not ended."""
    row = tx.execute(sa.select(*clients.c).where(clients.c.id == client, clients.c.ended_at.is_(None))).one_or_none()
    return None if row is None else _client(row)


def use_assertion(tx: Transaction, digest: bytes, expires_at: datetime) -> bool:
    """Remember an assertion; False when it was presented before."""
    return insert_unless_taken(tx, client_assertions, digest=digest, expires_at=expires_at)


def add_token(tx: Transaction, digest: bytes, client: str, expires_at: datetime) -> None:
    """Keep an access token."""
    tx.execute(access_tokens.insert().values(digest=digest, client_id=client, expires_at=expires_at))


def by_token(tx: Transaction, digest: bytes, now: datetime) -> Client | None:
    """Return the client whose token this is and has not ended."""
    row = tx.execute(
        sa.select(*clients.c)
        .join(access_tokens, access_tokens.c.client_id == clients.c.id)
        .where(access_tokens.c.digest == digest, access_tokens.c.expires_at > now, clients.c.ended_at.is_(None))
    ).one_or_none()
    return None if row is None else _client(row)


def add_invalidation(tx: Transaction, invalidation: Invalidation) -> bool:
    """Keep an invalidation; False when the client has used its id before."""
    return insert_unless_taken(
        tx,
        invalidations,
        client_id=invalidation.client,
        id=invalidation.id,
        request_digest=invalidation.request_digest,
        reason=invalidation.reason.value,
        comment=invalidation.comment,
        credentials=[str(credential) for credential in invalidation.credentials],
        done_at=invalidation.done_at,
    )


def set_ended(tx: Transaction, invalidation: Invalidation, credentials: tuple[UUID, ...]) -> None:
    """Write down what an invalidation ended, in the transaction that added it."""
    tx.execute(
        invalidations.update()
        .where(invalidations.c.client_id == invalidation.client, invalidations.c.id == invalidation.id)
        .values(credentials=[str(credential) for credential in credentials])
    )


def find_invalidation(tx: Transaction, client: str, invalidation: UUID) -> Invalidation | None:
    """Return what a client ended under this id."""
    row = tx.execute(
        sa.select(*invalidations.c).where(invalidations.c.client_id == client, invalidations.c.id == invalidation)
    ).one_or_none()
    if row is None:
        return None
    return Invalidation(
        client=row.client_id,
        id=row.id,
        request_digest=row.request_digest,
        reason=EndReason(row.reason),
        comment=row.comment,
        credentials=tuple(UUID(credential) for credential in row.credentials),
        done_at=row.done_at,
    )


def remove_what_is_over(tx: Transaction, now: datetime) -> int:
    """Remove tokens and assertions whose time is over."""
    removed = tx.execute(access_tokens.delete().where(access_tokens.c.expires_at <= now)).rowcount
    return removed + tx.execute(client_assertions.delete().where(client_assertions.c.expires_at <= now)).rowcount


def _client(row: sa.Row[Any]) -> Client:
    return Client(row.id, row.name, row.public_key, frozenset(row.device_trust_entries), row.registered_at)
