# SPDX-License-Identifier: Apache-2.0
"""What an officer does about credentials of others: see them, end them, or all a suspect authorised (CP 4.9.1)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.audit.model import Fact, Outcome
from etymon.issuer import approval, errors, invalidation, officers
from etymon.issuer.attestation import store as attestations
from etymon.issuer.attestation.model import KeyAttestation
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import Credential, Derivation, DerivationState, EndReason
from etymon.issuer.store import credentials, derivations, requests, rules
from etymon.kernel.errors import Malformed, NotFound
from etymon.storage.database import Transaction

BATCH: Final = 50
"""Derivations that one call ends at most, unless it is told otherwise; whoever calls goes on until nothing remains."""


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


@dataclass(frozen=True, slots=True)
class Suspect:
    """What authorised issuances since a time: the rules of a name, or an officer's rules and approvals."""

    since: datetime
    rule: str = ""
    officer: UUID | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How many derivations, unused approvals and certificates a call ended, and how many derivations are left."""

    derivations: int
    approvals: int
    credentials: int
    remaining: int


def of_person(
    tx: Transaction, person: UUID
) -> tuple[tuple[Derivation, tuple[Credential, ...], tuple[KeyAttestation, ...]], ...]:
    """Return everything that was ever derived for a person, the newest first, with certificates and attestations."""
    found = derivations.of_person(tx, person, set(DerivationState))
    return tuple(
        (each, credentials.of_derivation(tx, each.id), attestations.of_derivation(tx, each.id)) for each in found
    )


def end_one(deps: Dependencies, derivation_id: UUID, order: Order) -> int:
    """End what a person has on one device; return how many certificates. Twice does no harm.

    Raises `officer_required`, `derivation_unknown`, `reason_missing`.
    """
    comment = officers.reason_of(order.comment)
    with deps.database.transaction() as tx:
        officers.require(tx, order.officer)
        derivation = derivations.lock(tx, derivation_id)
        if derivation is None:
            raise errors.derivation_unknown()
        ended = _end(tx, deps, derivation, order)
        _record(tx, deps, order, comment, subject=derivation_id, derivations=1, credentials=ended)
    return ended


def end_all(deps: Dependencies, person: UUID, order: Order) -> int:
    """End everything a person has or has asked for; return how many certificates. Raises as `end_one` does."""
    comment = officers.reason_of(order.comment)
    with deps.database.transaction() as tx:
        officers.require(tx, order.officer)
        found = derivations.lock_all_of(tx, person)
        ended = sum(_end(tx, deps, derivation, order) for derivation in found)
        for request in requests.waiting_of(tx, person):
            approval.end(tx, deps, request, actor=order.actor)
        _record(tx, deps, order, comment, subject=f"person:{person}", derivations=len(found), credentials=ended)
    return ended


def end_authorized(deps: Dependencies, suspect: Suspect, order: Order, *, at_most: int = BATCH) -> Progress:
    """End the next batch of what a suspect authorised since a time: approvals, derivations, certificates.

    Each derivation ends in a transaction of its own: what was done stays done. Call again while anything remains.
    Raises `officer_required`, `reason_missing`, `Malformed`, `NotFound` for a rule that never was.
    """
    comment = officers.reason_of(order.comment)
    if bool(suspect.rule) == (suspect.officer is not None):
        raise Malformed("malformed", "Name either a rule or an officer.")
    if suspect.since > deps.clock.now():
        raise Malformed("malformed", "The time since when lies in the future.")
    with deps.database.transaction() as tx:
        officers.require(tx, order.officer)
        suspects = rules.authorized_by(tx, name=suspect.rule, officer=suspect.officer)
        if suspect.rule and not suspects:
            raise NotFound("issuance_rule_unknown", f"There never was an issuance rule called {suspect.rule}.")
        given = requests.approved_since(tx, suspect.since, rules=suspects, officer=suspect.officer)
        approvals = sum(approval.end(tx, deps, request, actor=order.actor) for request in given)
    scope = derivations.Authorized(frozenset(suspects), suspect.officer, suspect.since)
    with deps.database.snapshot() as tx:
        batch = derivations.authorized(tx, scope, at_most)
    ended = 0
    for derivation_id in batch:
        with deps.database.transaction() as tx:
            derivation = derivations.lock(tx, derivation_id)
            ended += 0 if derivation is None else _end(tx, deps, derivation, order)
    with deps.database.transaction() as tx:
        progress = Progress(len(batch), approvals, ended, derivations.count_authorized(tx, scope))
        _record(
            tx,
            deps,
            order,
            comment,
            subject=f"rule:{suspect.rule}" if suspect.rule else f"person:{suspect.officer}",
            since=suspect.since.isoformat(),
            derivations=progress.derivations,
            approvals=progress.approvals,
            credentials=progress.credentials,
            remaining=progress.remaining,
        )
    return progress


def _end(tx: Transaction, deps: Dependencies, derivation: Derivation, order: Order) -> int:
    return len(invalidation.end_derivation(tx, deps, derivation, order.reason, actor=order.actor, source=order.source))


def _record(tx: Transaction, deps: Dependencies, order: Order, comment: str, *, subject: object, **facts: Fact) -> None:
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
