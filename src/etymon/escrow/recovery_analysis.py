# SPDX-License-Identifier: Apache-2.0
"""Why recoveries were not successful: each is found until somebody has said what the cause was (KRP 5.4)."""

from uuid import UUID

from etymon.directory.model import Role
from etymon.escrow import recovery_participants as participants
from etymon.escrow import recovery_store as recoveries
from etymon.escrow.dependencies import Dependencies, record
from etymon.escrow.model import check_line
from etymon.escrow.recovery_model import Cause, Recovery


def explain(deps: Dependencies, recovery_id: UUID, cause: str, *, by: UUID, source: str = "") -> Recovery:
    """Record what an analysis found of a recovery that was refused, expired or failed, once.

    Raises `role_missing`, `own_key`, `recovery_unknown`, `recovery_state`.
    """
    check_line(cause, "cause")
    with deps.database.transaction() as tx:
        recovery = recoveries.lock(tx, recovery_id)
        allowed = (Role.KEY_RECOVERY_AGENT, Role.KEY_RECOVERY_OFFICIAL, Role.OFFICER)
        participants.require(tx, by, *allowed, owner=recovery.order.person)
        recoveries.explain(tx, recovery, Cause(cause, by, deps.clock.now()))
        record(
            tx,
            deps,
            "recovery:analyzed",
            actor=f"person:{by}",
            subject=f"recovery:{recovery_id}",
            facts={"cause": cause, "was": recovery.state.value},
            source=source,
        )
        return recoveries.find(tx, recovery_id)
