# SPDX-License-Identifier: Apache-2.0
"""0016 goes up on a filled database, and what knows only the schema before goes on writing there."""

from etymon.issuer.model import Attestation
from etymon.issuer.store import rules
from etymon.storage import migrations
from etymon.storage.database import Database
from support.old_replica import OldReplica

BEFORE = "0011_rekey"


def test_rules_from_before_and_of_an_old_replica_give_the_history_and_record_attestations(
    empty_database: Database,
) -> None:
    migrations.upgrade(empty_database, to=BEFORE)
    old = OldReplica(empty_database)
    written = [old.begin()[0]]
    migrations.upgrade(empty_database)
    written.append(old.begin()[0])
    with empty_database.snapshot() as tx:
        for rule in written:
            kept = rules.find(tx, rule)
            assert kept is not None
            assert kept[0].key_history
            assert kept[0].attestation is Attestation.RECORDED
