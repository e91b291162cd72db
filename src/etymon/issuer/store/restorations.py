# SPDX-License-Identifier: Apache-2.0
"""By which evidence of identity holds were lifted; what is written here stays."""

from datetime import datetime
from uuid import UUID

from etymon.issuer.tables import restorations as table
from etymon.storage.database import Transaction


def add(
    tx: Transaction, restoration: UUID, derivation: UUID, *, by: UUID, now: datetime, proof: UUID | None, evidence: str
) -> None:
    """Keep how an identity was established anew: by a card's proof, or as an officer tells it."""
    tx.execute(
        table.insert().values(
            id=restoration,
            derivation_id=derivation,
            restored_by=by,
            restored_at=now,
            proof_id=proof,
            evidence=evidence,
        )
    )
