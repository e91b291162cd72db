# SPDX-License-Identifier: Apache-2.0
"""A replica of an earlier version, which knows the schema that it found."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from etymon.issuer.tables import derivations as derivations_table
from etymon.storage.database import Database

TABLES = ["issuer_issuance_rules", "issuer_card_proofs", "issuer_derivations", "issuer_credentials"]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class OldReplica:
    """Writes as the version before did: it names the columns it found, and no others."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tables = sa.MetaData()
        self.tables.reflect(database.engine, only=TABLES)

    def write(self, table: str, **values: Any) -> UUID:
        key = uuid4()
        declared = derivations_table.metadata.tables[f"issuer_{table}"]
        old = self.tables.tables[f"issuer_{table}"]
        columns = [declared.c[column.name] for column in old.c]  # with the types of ours: reflection knows no UUIDs
        with self.database.transaction() as tx:
            tx.execute(
                sa.table(declared.name, *[sa.column(c.name, c.type) for c in columns]).insert(), [{"id": key, **values}]
            )
        return key

    def issue(self, derivation: UUID, *, days: int = 30, **values: Any) -> UUID:
        """Write a credential of a derivation that was issued for some days."""
        issued = {
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
        return self.write("credentials", derivation_id=derivation, **{**issued, **values})

    def begin(self) -> tuple[UUID, UUID]:
        """Write a rule, a card proof, and a derivation that began."""
        person = uuid4()
        rule = self.write(
            "issuance_rules",
            name=f"rule {uuid4()}",
            group_ids=[str(uuid4())],
            managed_devices_only=True,
            purposes=["authentication"],
            lifetime_seconds=86400 * 30,
            key_types=["p256"],
            encryption_key_type="rsa2048",
            most_derivations=1,
            instructions_url="",
            created_by=person,
            created_at=NOON,
        )
        proof = self.write(
            "card_proofs",
            person_id=person,
            trust_entry="cards",
            identifier="alice@agency.example",
            certificates=[],
            policies=[],
            proved_at=NOON,
        )
        derivation = self.write(
            "derivations",
            state="begun",
            person_id=person,
            rule_id=rule,
            proof_id=proof,
            session_id=uuid4(),
            purposes=["authentication"],
            duties_version="1",
            begun_at=NOON,
            begun_from="192.0.2.1",
            expires_at=NOON + timedelta(minutes=10),
            undo_id=uuid4(),
            secret_digest=bytes(32),
            wrong_secrets=0,
        )
        return rule, derivation
