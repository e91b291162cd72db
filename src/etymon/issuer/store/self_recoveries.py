# SPDX-License-Identifier: Apache-2.0
"""When people asked for their own encryption keys, and by which card proof; what is written here stays."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from etymon.issuer.tables import self_recoveries as table
from etymon.storage.database import Transaction


def add(tx: Transaction, recovery: UUID, person: UUID, *, proof: UUID, now: datetime) -> None:
    """Keep that a person asked."""
    tx.execute(table.insert().values(id=recovery, person_id=person, proof_id=proof, asked_at=now))


def asked_since(tx: Transaction, person: UUID, moment: datetime) -> tuple[datetime, ...]:
    """Return when a person asked after a moment, the earliest first. Whoever acts on it has locked the account."""
    wanted = sa.select(table.c.asked_at).where(table.c.person_id == person, table.c.asked_at > moment)
    return tuple(tx.scalars(wanted.order_by(table.c.asked_at)))
