# SPDX-License-Identifier: Apache-2.0
"""The end of escrowed keys: a worker destroys those whose certificates ended longer ago than they are kept.

A legal hold comes before: what is under one stays until it is lifted.
"""

from datetime import timedelta
from typing import Final

from etymon.escrow import deposit, store
from etymon.escrow.dependencies import Dependencies
from etymon.escrow.errors import under_legal_hold
from etymon.escrow.model import RETENTION
from etymon.kernel.errors import Conflict

BATCH: Final = 100
"""Keys destroyed in one transaction."""


def destroy_over(deps: Dependencies, keep: timedelta | None, *, batch: int = BATCH) -> int:
    """Destroy the keys whose certificates ended more than `keep` ago, in batches, and return how many; None keeps all.

    Each destruction is on record. `ValueError` for less than a year (KRP 4.1).
    """
    if keep is None:
        return 0
    if keep < RETENTION:
        message = "escrowed keys are kept for at least a year after their certificates"
        raise ValueError(message)
    destroyed = 0
    while number := _destroy_batch(deps, keep, batch):
        destroyed += number
    return destroyed


def _destroy_batch(deps: Dependencies, keep: timedelta, batch: int) -> int:
    with deps.database.transaction() as tx:
        over = store.kept_until(tx, deps.clock.now() - (keep - RETENTION), limit=batch)
        for key_id in over:
            try:
                deposit.destroy(tx, deps, key_id, reason="retention over", actor="worker")
            except Conflict as refusal:  # a hold was placed since the keys were looked up; they are found no more
                if refusal.code != under_legal_hold().code:
                    raise
        return len(over)
