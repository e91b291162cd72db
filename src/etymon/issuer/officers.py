# SPDX-License-Identifier: Apache-2.0
"""What every act of an officer asks for: the role, now, and a reason in words; and what the trail says of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.audit.model import Fact, Outcome
from etymon.directory import roles
from etymon.directory.model import Role
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.errors import officer_required
from etymon.issuer.model import EndReason
from etymon.kernel.clock import Clock
from etymon.kernel.errors import Malformed
from etymon.storage.database import Transaction

LONGEST_REASON: Final = 500
BATCH: Final = 50
"""What one call ends at most, unless it is told otherwise; whoever calls goes on until nothing remains."""


@dataclass(frozen=True, slots=True)
class Order:
    """Which officer ends credentials, for which reason on the list, and in words."""

    officer: UUID
    reason: EndReason
    comment: str
    source: str = ""

    @property
    def actor(self) -> str:
        """The trail's name for the officer."""
        return f"person:{self.officer}"


def require(tx: Transaction, person: UUID) -> None:
    """Refuse whoever is no officer now."""
    if Role.OFFICER not in roles.counting(tx, person):
        raise officer_required()


def reason_of(text: str) -> str:
    """Return a reason in words; raises `reason_missing`."""
    reason = " ".join(text.split())
    if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise Malformed("reason_missing", f"Give a reason in words, {LONGEST_REASON} characters at most.")
    return reason


def require_past(clock: Clock, since: datetime) -> None:
    """Refuse a time since when that has not come."""
    if since > clock.now():
        raise Malformed("malformed", "The time since when lies in the future.")


def record_incident(
    tx: Transaction, deps: Dependencies, order: Order, comment: str, *, subject: object, **facts: Fact
) -> None:
    """Write into the trail what an order has ended."""
    record(
        tx,
        deps,
        "incident:handled",
        actor=order.actor,
        subject=subject,
        source=order.source,
        outcome=Outcome.SUCCESS,
        reason=order.reason.value,
        comment=comment,
        **facts,
    )
