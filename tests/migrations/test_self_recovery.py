# SPDX-License-Identifier: Apache-2.0
"""0030 goes up on a filled database: releases stay, an old replica writes them as before, none is to nobody."""

from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from etymon.directory.tables import people
from etymon.escrow.tables import keys, releases
from etymon.storage import migrations
from etymon.storage.database import Database
from etymon.storage.schema import UTCDateTime
from support.clock import TurnedClock

BEFORE = "0025_key_attestation"
BEFORE_RELEASES = sa.table(
    "escrow_releases",
    *(sa.column(name, sa.Uuid) for name in ("id", "key_id")),
    sa.column("released_at", UTCDateTime),
    sa.column("transport_key_sha256", sa.LargeBinary),
    sa.column("reason", sa.String),
    sa.column("actor", sa.String),
)


def release(database: Database, key: UUID, table: Any = BEFORE_RELEASES, **to: object) -> UUID:
    release_id = uuid4()
    row = {"id": release_id, "key_id": key, "released_at": TurnedClock().now(), "reason": "new phone", "actor": "test"}
    with database.transaction() as tx:
        tx.execute(sa.insert(table).values(row | to))
    return release_id


def test_releases_from_before_and_of_an_old_replica_stay(empty_database: Database) -> None:
    migrations.upgrade(empty_database, to=BEFORE)
    key, person = uuid4(), uuid4()
    with empty_database.transaction() as tx:
        now = TurnedClock().now()
        named = {"user_principal_name": "a", "principal_key": "a", "display_name": "a"}
        dated = {"created_at": now, "updated_at": now}
        tx.execute(sa.insert(people).values(id=person, **named, **dated))
        kept = {"public_key": b"k", "public_key_sha256": bytes(32), "wrapped": b"w", "wrapped_by": "x"}
        state = {"key_type": "rsa2048", "state": "released", "deposited_at": now}
        tx.execute(sa.insert(keys).values(id=key, person_id=person, **kept, **state))
    written = [release(empty_database, key, transport_key_sha256=bytes(32))]
    migrations.upgrade(empty_database)
    written.append(release(empty_database, key, transport_key_sha256=bytes(32)))
    proof = uuid4()
    written.append(release(empty_database, key, releases, card_proof=proof))
    with empty_database.snapshot() as tx:
        found = {row.id: row.card_proof for row in tx.execute(sa.select(releases.c.id, releases.c.card_proof))}
    assert found == dict(zip(written, [None, None, proof], strict=True))
    with pytest.raises(sa.exc.IntegrityError):
        release(empty_database, key, releases)
