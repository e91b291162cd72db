# SPDX-License-Identifier: Apache-2.0
"""Queries of SCEP connectors. A name has one connector in force at most; an id stays one connector's for ever."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from etymon.issuer.scep.model import ChallengeSource, Connector
from etymon.issuer.scep.tables import challenges, connectors, enrollments
from etymon.pki.algorithms import KeyType
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken


def save(
    tx: Transaction, connector: Connector, page_password_digest: bytes | None, *, fresh: UUID, former: UUID
) -> UUID:
    """Put a connector in force under its name, and return its id; the one in force there is changed and keeps its own.

    Another one gets the id `fresh`. What has no owner under the name stays with whoever had it, by the id `former`
    where that connector had none.
    """
    values = {
        "client_id": connector.client,
        "source": connector.source,
        "lifetime_seconds": int(connector.lifetime.total_seconds()),
        "key_types": sorted(kind.value for kind in connector.key_types),
        "legacy_algorithms": connector.legacy_algorithms,
        "page_password_digest": page_password_digest,
        "created_by": connector.created_by,
        "created_at": connector.created_at,
        "withdrawn_at": None,
    }
    if insert_unless_taken(tx, connectors, name=connector.name, id=fresh, **values):
        return fresh
    named = connectors.c.name == connector.name
    before = tx.execute(sa.select(connectors.c.id, connectors.c.withdrawn_at).where(named).with_for_update()).one()
    is_other = before.withdrawn_at is not None
    if is_other:
        for table in (challenges, enrollments):
            unowned = sa.and_(table.c.connector == connector.name, table.c.connector_id.is_(None))
            tx.execute(table.update().where(unowned).values(connector_id=before.id or former))
    kept: UUID = fresh if is_other else before.id or fresh
    tx.execute(connectors.update().where(named).values(id=kept, **values))
    return kept


def withdraw(tx: Transaction, name: str, now: datetime) -> bool:
    """End a connector that is in force; False when there is none."""
    ended = connectors.update().where(connectors.c.name == name, connectors.c.withdrawn_at.is_(None))
    return tx.execute(ended.values(withdrawn_at=now)).rowcount == 1


def in_force(tx: Transaction) -> tuple[Connector, ...]:
    """Return the connectors in force, by name."""
    rows = tx.execute(sa.select(*connectors.c).where(connectors.c.withdrawn_at.is_(None)).order_by(connectors.c.name))
    return tuple(_connector(row) for row in rows)


def find(tx: Transaction, name: str) -> tuple[Connector, bytes | None] | None:
    """Return a connector in force, and the digest of its page's password."""
    row = tx.execute(
        sa.select(*connectors.c).where(connectors.c.name == name, connectors.c.withdrawn_at.is_(None))
    ).one_or_none()
    return None if row is None else (_connector(row), row.page_password_digest)


def ever_was(tx: Transaction, name: str) -> bool:
    """Say whether there is or was a connector of a name."""
    return tx.scalar(sa.select(connectors.c.name).where(connectors.c.name == name)) is not None


def _connector(row: sa.Row[Any]) -> Connector:
    return Connector(
        name=row.name,
        source=ChallengeSource(row.source),
        lifetime=timedelta(seconds=row.lifetime_seconds),
        created_by=row.created_by,
        created_at=row.created_at,
        client=row.client_id,
        key_types=frozenset(KeyType(kind) for kind in row.key_types),
        legacy_algorithms=row.legacy_algorithms,
        id=row.id,
    )
