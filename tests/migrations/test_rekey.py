# SPDX-License-Identifier: Apache-2.0
"""0011 goes up on a filled database: what was issued before is due when its window opens; old replicas write on."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from etymon.issuer.store import credentials
from etymon.issuer.tables import credentials as credentials_table
from etymon.storage import migrations
from etymon.storage.database import Database
from support.old_replica import OldReplica

BEFORE = "0009_link_password"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def issued(old: OldReplica, *, days: int) -> UUID:
    """Let the version before issue a credential."""
    _, derivation = old.begin()
    values: dict[str, Any] = {
        "derivation_id": derivation,
        "purpose": "authentication",
        "person_id": uuid4(),
        "certificate_id": uuid4(),
        "state": "active",
        "planned_at": NOON,
        "serial_number": "1f",
        "thumbprint": uuid4().bytes * 2,
        "not_before": NOON,
        "not_after": NOON + timedelta(days=days),
        "issued_at": NOON,
    }
    return old.write("credentials", **values)


def test_the_windows_of_what_was_issued_before_are_filled_in(empty_database: Database) -> None:
    migrations.upgrade(empty_database, to=BEFORE)
    old = OldReplica(empty_database)
    long, short = issued(old, days=365), issued(old, days=3)
    migrations.upgrade(empty_database)
    later = issued(old, days=365)
    with empty_database.snapshot() as tx:
        due = {id_: credentials.find(tx, id_) for id_ in (long, short, later)}
        count = tx.scalar(sa.select(sa.func.count()).select_from(credentials_table))
    windows = {id_: found.rekey_from for id_, found in due.items() if found}
    assert windows == {long: NOON + timedelta(days=335), short: NOON + timedelta(days=2), later: None}
    assert count == 3
