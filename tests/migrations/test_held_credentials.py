# SPDX-License-Identifier: Apache-2.0
"""0019 goes up on a filled database: credentials, what replaced them and their key histories are as they were."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from etymon.issuer.store import credentials, key_histories, restorations
from etymon.issuer.tables import credentials as credentials_table
from etymon.storage import migrations
from etymon.storage.database import Database
from support.old_replica import OldReplica

BEFORE = "0018_key_history"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NEW = {"held_until", "held_by"}


def kept(database: Database) -> list[dict[str, Any]]:
    columns = [column for column in credentials_table.c if column.name not in NEW]
    with database.snapshot() as tx:
        return [dict(row) for row in tx.execute(sa.select(*columns).order_by(credentials_table.c.id)).mappings()]


def test_what_was_there_is_as_it_was_and_may_be_held(empty_database: Database) -> None:
    database = empty_database
    migrations.upgrade(database, to=BEFORE)
    old = OldReplica(database)
    _, derivation = old.begin()
    ended: dict[str, Any] = {"state": "ended", "ended_at": NOON, "end_reason": "superseded"}
    first = old.issue(derivation, **ended)
    second = old.issue(derivation, replaces_id=first, request_digest=bytes(32))
    third = old.issue(derivation, replaces_id=second, request_digest=bytes(32))  # a chain, as rekeys leave it
    with database.transaction() as tx:
        assert key_histories.take(tx, second, b"asked", NOON)
    before = kept(database)
    migrations.upgrade(database)
    assert kept(database) == before
    old.issue(old.begin()[1])  # a replica of the version before goes on
    with database.transaction() as tx:
        assert not key_histories.take(tx, second, b"another", NOON)
        found = credentials.find(tx, third)
        assert found is not None
        assert (found.replaces, found.held_until, found.held_by) == (second, None, None)
    hold = {"state": "held", "held_until": NOON, "held_by": uuid4()}
    with database.transaction() as tx:
        tx.execute(credentials_table.update().where(credentials_table.c.id == third).values(**hold))
        assert credentials.holds_over(tx, NOON, 9) == (derivation,)
        assert credentials.holds_over(tx, NOON - timedelta(seconds=1), 9) == ()
    for wrong in ({"state": "active"}, {"held_until": None}, {"held_by": None}, {"serial_number": None}):
        with pytest.raises(sa.exc.IntegrityError), database.transaction() as tx:
            tx.execute(credentials_table.update().where(credentials_table.c.id == third).values(**wrong))
    with pytest.raises(sa.exc.IntegrityError), database.transaction() as tx:
        tx.execute(credentials_table.delete().where(credentials_table.c.id == second))
    with pytest.raises(sa.exc.IntegrityError), database.transaction() as tx:
        restorations.add(tx, uuid4(), derivation, by=uuid4(), now=NOON, proof=None, evidence="")
