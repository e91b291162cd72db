# SPDX-License-Identifier: Apache-2.0
"""0013 goes up on a filled database: every certificate is as it was, and what knows only the schema before goes on."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from etymon.ca import status_store, store
from etymon.ca.model import CertificateState
from etymon.ca.tables import authorities, certificates
from etymon.storage import migrations
from etymon.storage.database import Database

BEFORE = "0009_link_password"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NEW = "held_until"


def write(database: Database, state: str, **values: Any) -> UUID:
    """Write a certificate as the version before did: it names the columns it found, and no others."""
    key = uuid4()
    row = {
        "id": key,
        "ca": "derived",
        "serial": f"{key.int >> 1:x}",
        "profile": "derived-piv-authentication",
        "state": state,
        "request_key": str(key),
        "spki_sha256": key.bytes * 2,
        "not_before": NOON,
        "not_after": NOON + timedelta(days=30),
        "authorized_by": "officer",
        "planned_at": NOON,
        **values,
    }
    old = sa.table(certificates.name, *(sa.column(c.name, c.type) for c in certificates.c if c.name != NEW))
    with database.transaction() as tx:
        tx.execute(old.insert(), [row])
    return key


def issued(database: Database, state: str = "issued", **values: Any) -> UUID:
    return write(database, state, der=b"body", thumbprint=uuid4().bytes * 2, issued_at=NOON, **values)


def kept(database: Database) -> list[dict[str, Any]]:
    columns = [column for column in certificates.c if column.name != NEW]
    with database.snapshot() as tx:
        return [dict(row) for row in tx.execute(sa.select(*columns).order_by(certificates.c.id)).mappings()]


def test_what_was_there_is_as_it_was_and_may_be_held(empty_database: Database) -> None:
    database = empty_database
    migrations.upgrade(database, to=BEFORE)
    with database.transaction() as tx:
        values: dict[str, Any] = {
            "parent": None,
            "certificate": b"c",
            "spki_sha256": bytes(32),
            "profiles": [],
            "policies": [],
        }
        tx.execute(authorities.insert().values(name="derived", revocations=1, created_at=NOON, **values))
    good, ended = issued(database), issued(database, "revoked", revoked_at=NOON, reason=0)
    write(database, "planned", tbs=b"body")
    write(database, "abandoned", tbs=b"body")
    before = kept(database)
    migrations.upgrade(database)
    assert kept(database) == before
    later = issued(database)  # by a replica of the version before
    with database.transaction() as tx:
        for key in (good, later):
            assert store.move(tx, key, CertificateState.ISSUED, CertificateState.HELD, revoked_at=NOON, held_until=NOON)
        assert {code for _, _, code in status_store.listed(tx, "derived", None)} == {0, 6}
    with pytest.raises(sa.exc.IntegrityError):
        issued(database, "held", revoked_at=NOON)  # without an end
    with pytest.raises(sa.exc.IntegrityError), database.transaction() as tx:
        tx.execute(certificates.update().where(certificates.c.id == ended).values(reason=None))
