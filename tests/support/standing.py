# SPDX-License-Identifier: Apache-2.0
"""Lets a person's cards and mail addresses be as they are for as long as old keys ask for."""

from datetime import datetime, timedelta
from uuid import UUID

from etymon.directory.tables import address_changes, bindings
from etymon.issuer import recovery_wait
from etymon.storage.database import Database


def let_stand(database: Database, person: UUID, now: datetime) -> None:
    """Have the cards be bound, and the addresses changed, longer ago than the wait is."""
    before = now - recovery_wait.WAIT - timedelta(seconds=1)
    with database.transaction() as tx:
        tx.execute(bindings.update().where(bindings.c.person_id == person).values(bound_at=before))
        tx.execute(address_changes.update().where(address_changes.c.person_id == person).values(changed_at=before))
