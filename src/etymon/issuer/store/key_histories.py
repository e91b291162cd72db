# SPDX-License-Identifier: Apache-2.0
"""For which request an authentication credential was given its key history."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from etymon.issuer.tables import key_histories as table
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken


def is_taken(tx: Transaction, credential: UUID) -> bool:
    """Say whether a credential's one request was used."""
    wanted = sa.select(table.c.credential_id).where(table.c.credential_id == credential)
    return tx.scalar(wanted) is not None


def take(tx: Transaction, credential: UUID, request_digest: bytes, now: datetime) -> bool:
    """Use a credential's one request; False when it was used for another one, by whoever was faster."""
    values = {"credential_id": credential, "request_digest": request_digest, "asked_at": now}
    if insert_unless_taken(tx, table, **values):
        return True
    return tx.scalar(sa.select(table.c.request_digest).where(table.c.credential_id == credential)) == request_digest
