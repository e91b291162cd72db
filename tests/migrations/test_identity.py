# SPDX-License-Identifier: Apache-2.0
"""0012 goes up on a filled database: what was derived before is linked to its cards by a worker."""

import sqlalchemy as sa

from etymon.issuer.card_status_monitor import LINK
from etymon.storage import migrations
from etymon.storage.database import Database
from etymon.storage.jobs import jobs
from support.old_replica import OldReplica

BEFORE = "0009_link_password"


def waiting(database: Database) -> list[str]:
    with database.snapshot() as tx:
        return list(tx.scalars(sa.select(jobs.c.kind)))


def test_an_empty_database_has_nothing_to_link(empty_database: Database) -> None:
    migrations.upgrade(empty_database)
    assert waiting(empty_database) == []


def test_derivations_that_are_there_are_linked_by_a_worker(empty_database: Database) -> None:
    migrations.upgrade(empty_database, to=BEFORE)
    OldReplica(empty_database).begin()
    migrations.upgrade(empty_database)
    assert waiting(empty_database) == [LINK]
