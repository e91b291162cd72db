# SPDX-License-Identifier: Apache-2.0
"""0028 goes up on a filled database: what was found of keys was, and of an old replica is, of keys for certificates."""

from uuid import UUID, uuid4

import sqlalchemy as sa

from etymon.issuer.attestation import store
from etymon.issuer.attestation.model import KeyUse
from etymon.issuer.attestation.tables import key_attestations
from etymon.storage import migrations
from etymon.storage.database import Database
from support.old_replica import NOON, OldReplica

BEFORE = "0025_key_attestation"


def found(database: Database, derivation: UUID) -> None:
    """Write evidence as the version before did: it names the columns it knew, and no others."""
    values = {
        "id": uuid4(),
        "derivation_id": derivation,
        "purpose": "encryption",
        "key_sha256": uuid4().bytes * 2,
        "verdict": "attested",
        "authority": "maker",
        "security_level": "strong_box",
        "manufacturer": "",
        "model": "",
        "status_list": False,
        "chain": [],
        "judged_at": NOON,
    }
    old = sa.table(key_attestations.name, *(sa.column(name, key_attestations.c[name].type) for name in values))
    with database.transaction() as tx:
        tx.execute(old.insert(), [values])


def test_evidence_from_before_and_of_an_old_replica_is_of_keys_for_certificates(empty_database: Database) -> None:
    migrations.upgrade(empty_database, to=BEFORE)
    derivation = OldReplica(empty_database).begin()[1]
    found(empty_database, derivation)
    migrations.upgrade(empty_database)
    found(empty_database, derivation)
    with empty_database.snapshot() as tx:
        assert [each.use for each in store.of_derivation(tx, derivation)] == [KeyUse.CERTIFICATE] * 2
