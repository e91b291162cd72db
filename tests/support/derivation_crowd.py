# SPDX-License-Identifier: Apache-2.0
"""Many phones' credentials, written into the database as copies of those of one that was set up the long way."""

import uuid
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from etymon.ca.tables import certificates
from etymon.issuer.tables import credentials, derivations
from etymon.storage.database import Database

ROWS = 2000


def add(database: Database, pattern: UUID, count: int) -> None:
    """Copy a derivation with its credentials and the authority's records of them, so many times."""
    with database.snapshot() as tx:
        derivation = tx.execute(sa.select(*derivations.c).where(derivations.c.id == pattern)).one()._asdict()
        mine = [
            row._asdict() for row in tx.execute(sa.select(*credentials.c).where(credentials.c.derivation_id == pattern))
        ]
        named = [row["certificate_id"] for row in mine]
        made = {
            row.id: row._asdict() for row in tx.execute(sa.select(*certificates.c).where(certificates.c.id.in_(named)))
        }
    for start in range(0, count, ROWS):
        rows: dict[sa.Table, list[dict[str, Any]]] = {derivations: [], certificates: [], credentials: []}
        for _ in range(min(ROWS, count - start)):
            id_ = uuid.uuid4()
            rows[derivations].append(
                {**derivation, "id": id_, "undo_id": uuid.uuid4(), "authorization_digest": id_.bytes}
            )
            for credential in mine:
                own, certificate = uuid.uuid4(), uuid.uuid4()
                kept = {"serial": certificate.hex, "request_key": f"crowd:{certificate}"}
                digests = dict.fromkeys(("spki_sha256", "thumbprint"), certificate.bytes * 2)
                rows[certificates].append({**made[credential["certificate_id"]], "id": certificate, **kept, **digests})
                theirs = {"derivation_id": id_, "certificate_id": certificate, "thumbprint": certificate.bytes * 2}
                rows[credentials].append({**credential, "id": own, **theirs})
        with database.transaction() as tx:
            for table, values in rows.items():
                tx.execute(table.insert(), values)
