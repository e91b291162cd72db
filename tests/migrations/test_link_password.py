# SPDX-License-Identifier: Apache-2.0
"""0009 goes up on a filled database, and what knows only the schema before goes on writing there."""

from etymon.issuer.store import derivations, rules
from etymon.storage import migrations
from etymon.storage.database import Database
from support.old_replica import OldReplica

BEFORE = "0008_issuer"


def test_what_was_there_before_and_what_an_old_replica_writes_asks_for_no_password(empty_database: Database) -> None:
    migrations.upgrade(empty_database, to=BEFORE)
    old = OldReplica(empty_database)
    written = [old.begin()]
    migrations.upgrade(empty_database)
    written.append(old.begin())
    with empty_database.snapshot() as tx:
        for rule, derivation in written:
            kept, begun = rules.find(tx, rule), derivations.find(tx, derivation)
            assert kept is not None
            assert begun is not None
            assert not kept[0].link_password
            assert not begun.asks_password
