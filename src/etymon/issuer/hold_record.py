# SPDX-License-Identifier: Apache-2.0
"""Who put on hold what a phone has, since when, why and until when: the hold in force, as the audit trail tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.audit import trail
from etymon.audit.model import RecordedEvent
from etymon.issuer.model import Credential, Derivation
from etymon.storage.database import Transaction

PLACED: Final = "issuer:derivation:held"


@dataclass(frozen=True, slots=True)
class HoldInForce:
    """A hold that lasts. Whoever took it over from the cardholder holds since then; a cardholder gives no reason."""

    by: UUID
    until: datetime
    since: datetime | None
    reason: str


def in_force(tx: Transaction, derivation: Derivation, certificates: Sequence[Credential]) -> HoldInForce | None:
    """Return the hold of a derivation, or None where nothing of it is held."""
    held = [(each.held_until, each.held_by) for each in certificates if each.held_until and each.held_by]
    if not held:
        return None
    until, by = min(held)  # from then on not all of it comes back
    placed = _placed(tx, derivation)
    reason = placed.event.facts.get("reason") if placed else None
    return HoldInForce(by, until, placed.recorded_at if placed else None, str(reason or ""))


def _placed(tx: Transaction, derivation: Derivation) -> RecordedEvent | None:
    """Return the newest event that placed it, found among the derivation's own, which are few."""
    before: tuple[datetime, UUID] | None = None
    while page := trail.page(tx, before=before, limit=trail.PAGE_LIMIT, subject=str(derivation.id)):
        for each in page:
            if each.event.name == PLACED:
                return each
        before = (page[-1].recorded_at, page[-1].id)
    return None
