# SPDX-License-Identifier: Apache-2.0
"""What an officer sees and ends of what connectors gave out: one, or all that a connector enrolled (CP 4.9.1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from etymon.issuer import officers
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.officers import BATCH, Order
from etymon.issuer.scep import completion, connector_store, errors, store
from etymon.issuer.scep.model import Enrollment
from etymon.storage.database import Transaction
from etymon.wire.odata import Expression


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What was enrolled since a time: by connectors of a name, in force or not, by an officer's, or by an authority."""

    since: datetime
    connector: str | None = None
    officer: UUID | None = None
    authority: str | None = None

    def remaining(self, tx: Transaction) -> int:
        """Count what has not ended of it."""
        return store.count_enrolled(tx, self.since, **self._whose)

    def next(self, tx: Transaction, limit: int, *, after: UUID | None = None) -> tuple[UUID, ...]:
        """Return what has not ended of it, the oldest first, those after a known one."""
        return store.enrolled(tx, self.since, limit, after=after, **self._whose)

    @property
    def _whose(self) -> dict[str, object]:
        whose = {"connector": self.connector, "officer_id": self.officer, "authority": self.authority}
        return {name: value for name, value in whose.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Progress:
    """How many certificates and unused challenges a call ended, and how many certificates are left.

    `remaining` is counted at the beginning of a pass and at its end, and `following` leads from call to call, as those
    of `incidents.Progress` do.
    """

    certificates: int
    challenges: int
    remaining: int | None
    following: UUID | None = None


def page(
    tx: Transaction, *, narrowed: Expression | None = None, after: UUID | None = None, limit: int
) -> tuple[Enrollment, ...]:
    """Return what connectors gave out in the order of ids, ended or not.

    `narrowed` may leave out what does not fulfil it, where an index helps; the caller judges what is returned.
    """
    return store.page(tx, narrowed=narrowed, after=after, limit=limit)


def load(tx: Transaction, enrollment: UUID) -> Enrollment:
    """Return what a connector gave out; raises `managed_certificate_unknown`."""
    found = store.find_enrollment(tx, enrollment)
    if found is None:
        raise errors.managed_certificate_unknown()
    return found


def end_one(deps: Dependencies, enrollment: UUID, order: Order) -> int:
    """End a certificate, signed already or not; return 1, or 0 if it has ended before: twice does no harm.

    Raises `officer_required`, `managed_certificate_unknown`, `reason_missing`.
    """
    comment = officers.reason_of(order.comment)
    with deps.database.transaction() as tx:
        officers.require(tx, order.officer)
        found = load(tx, enrollment)
        ended = completion.end_one(tx, deps, found.id, order.reason, actor=order.actor, source=order.source)
        officers.record_incident(tx, deps, order, comment, subject=found.id, managed=ended)
    return ended


def end_enrolled(
    deps: Dependencies,
    connector: str,
    since: datetime,
    order: Order,
    *,
    at_most: int = BATCH,
    after: UUID | None = None,
) -> Progress:
    """End the next batch of what connectors of a name enrolled since a time, and the challenges that wait there.

    Each certificate ends in a transaction of its own: what was done stays done. Call again from `following` while there
    is one, and from the beginning while anything remains.
    Raises `officer_required`, `reason_missing`, `Malformed`, `scep_connector_unknown` for a name that never was.
    """
    comment = officers.reason_of(order.comment)
    officers.require_past(deps.clock, since)
    scope = Enrolled(since, connector=connector)
    with deps.database.transaction() as tx:
        officers.require(tx, order.officer)
        if not connector_store.ever_was(tx, connector):
            raise errors.connector_unknown()
        challenges = store.end_waiting_challenges(tx, deps.clock.now(), connector=connector)
    with deps.database.snapshot() as tx:
        batch = scope.next(tx, at_most, after=after)
    ended = end_batch(deps, batch, order)
    following = batch[-1] if len(batch) == at_most else None
    left = None
    if after is None or following is None:
        with deps.database.snapshot() as tx:
            left = scope.remaining(tx)
    progress = Progress(ended, challenges, left, None if left == 0 else following)
    with deps.database.transaction() as tx:
        officers.record_incident(
            tx,
            deps,
            order,
            comment,
            subject=f"scep_connector:{connector}",
            since=since.isoformat(),
            managed=progress.certificates,
            challenges=progress.challenges,
            remaining=progress.remaining,
        )
    return progress


def end_batch(deps: Dependencies, batch: Iterable[UUID], order: Order) -> int:
    """End certificates, one a transaction, for an officer who was looked at; return how many."""
    ended = 0
    for enrollment in batch:
        with deps.database.transaction() as tx:
            ended += completion.end_one(tx, deps, enrollment, order.reason, actor=order.actor, source=order.source)
    return ended
