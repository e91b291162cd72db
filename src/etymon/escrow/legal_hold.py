# SPDX-License-Identifier: Apache-2.0
"""Legal holds: while one is on a person, none of the person's escrowed keys is destroyed, later ones neither."""

from typing import Final
from uuid import UUID

from etymon.audit.model import Fact
from etymon.directory import people
from etymon.directory.errors import person_unknown
from etymon.directory.model import Role
from etymon.escrow import recovery_participants as participants
from etymon.escrow import recovery_store as recoveries
from etymon.escrow.dependencies import Dependencies, record
from etymon.escrow.model import check_reason
from etymon.escrow.recovery_model import LegalHold
from etymon.kernel.entropy import random_id
from etymon.storage.database import Transaction

MAY: Final = (Role.OFFICER, Role.KEY_RECOVERY_OFFICIAL)
"""Who places and lifts holds, on the keys of others."""


def place(
    deps: Dependencies, person: UUID, *, reference: str, reason: str, by: UUID, source: str = ""
) -> tuple[LegalHold, int]:
    """Put a person's keys under hold, also one's whose account has ended; return the hold, and how many keys are kept.

    A person may be under several holds. Raises `role_missing`, `own_key`, `NotFound` `person_unknown`, `Malformed`.
    """
    hold = LegalHold(random_id(deps.entropy), person, reference, reason, by, deps.clock.now())
    with deps.database.transaction() as tx:
        participants.require(tx, by, *MAY, owner=person)
        if people.find(tx, person) is None:
            raise person_unknown()
        number = recoveries.place_hold(tx, hold)
        _record(tx, deps, "placed", hold, by=by, source=source, reason=reason, keys=number)
    return hold, number


def lift(deps: Dependencies, hold_id: UUID, reason: str, *, by: UUID, source: str = "") -> LegalHold:
    """Lift a hold, once; keys whose time is over are destroyed then. Raises as `place` does, `legal_hold_lifted`."""
    check_reason(reason)
    with deps.database.transaction() as tx:
        participants.require(tx, by, *MAY, owner=recoveries.find_hold(tx, hold_id).person)
        hold = recoveries.lift_hold(tx, hold_id, by=by, at=deps.clock.now(), reason=reason)
        _record(tx, deps, "lifted", hold, by=by, source=source, reason=reason)
    return hold


def _record(
    tx: Transaction, deps: Dependencies, verb: str, hold: LegalHold, *, by: UUID, source: str, **more: Fact
) -> None:
    facts: dict[str, Fact] = {"hold": str(hold.id), "reference": hold.reference, **more}
    actor, subject = f"person:{by}", f"person:{hold.person}"
    record(tx, deps, f"legal_hold:{verb}", actor=actor, subject=subject, facts=facts, source=source)
