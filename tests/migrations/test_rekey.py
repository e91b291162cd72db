# SPDX-License-Identifier: Apache-2.0
"""0011 goes up on a filled database: what was issued before is due when its window opens; old replicas write on."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

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
    return old.issue(old.begin()[1], days=days)


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
