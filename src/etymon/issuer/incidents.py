# SPDX-License-Identifier: Apache-2.0
"""What an officer does about credentials of others: see them, end them, or all a suspect authorised (CP 4.9.1)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from etymon.issuer import approval, errors, invalidation, officers
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import Credential, Derivation, DerivationState
from etymon.issuer.officers import BATCH, Order
from etymon.issuer.scep import endings, managed_certificates
from etymon.issuer.store import credentials, derivations, requests, rules
from etymon.kernel.errors import Malformed, NotFound
from etymon.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Suspect:
    """What authorised issuances since a time: the rules of a name, or an officer's rules and approvals."""

    since: datetime
    rule: str = ""
    officer: UUID | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How many derivations, unused approvals and certificates a call ended, those of managed endpoints apart.

    `remaining` is how many derivations and certificates of managed endpoints are left.
    """

    derivations: int
    approvals: int
    credentials: int
    remaining: int
    managed: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """How many certificates of a person ended: what was derived, and what endpoint managers had enrolled."""

    credentials: int
    managed: int


def of_person(tx: Transaction, person: UUID) -> tuple[tuple[Derivation, tuple[Credential, ...]], ...]:
    """Return everything that was ever derived for a person, the newest first, with its certificates."""
    found = derivations.of_person(tx, person, set(DerivationState))
    return tuple((derivation, credentials.of_derivation(tx, derivation.id)) for derivation in found)


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
        officers.record_incident(tx, deps, order, comment, subject=derivation_id, derivations=1, credentials=ended)
    return ended


def end_all(deps: Dependencies, person: UUID, order: Order) -> Ended:
    """End everything a person has or has asked for, here and by SCEP. Raises as `end_one` does."""
    comment = officers.reason_of(order.comment)
    with deps.database.transaction() as tx:
        officers.require(tx, order.officer)
        found = derivations.lock_all_of(tx, person)
        ended = sum(_end(tx, deps, derivation, order) for derivation in found)
        for request in requests.waiting_of(tx, person):
            approval.end(tx, deps, request, actor=order.actor)
        managed = endings.end_of_person(tx, deps, person, order.reason, actor=order.actor, source=order.source)
        officers.record_incident(
            tx,
            deps,
            order,
            comment,
            subject=f"person:{person}",
            derivations=len(found),
            credentials=ended,
            managed=managed,
        )
    return Ended(ended, managed)


def end_authorized(deps: Dependencies, suspect: Suspect, order: Order, *, at_most: int = BATCH) -> Progress:
    """End the next batch of what a suspect authorised since a time: approvals, derivations, certificates.

    For an officer also what connectors enrolled that the officer made, after the derivations. Each ends in a
    transaction of its own: what was done stays done. Call again while anything remains.
    Raises `officer_required`, `reason_missing`, `Malformed`, `NotFound` for a rule that never was.
    """
    comment = officers.reason_of(order.comment)
    if bool(suspect.rule) == (suspect.officer is not None):
        raise Malformed("malformed", "Name either a rule or an officer.")
    officers.require_past(deps.clock, suspect.since)
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
    enrolled = managed_certificates.Enrolled(suspect.since, officer=suspect.officer) if suspect.officer else None
    managed = managed_certificates.end_batch(deps, enrolled, order, at_most - len(batch)) if enrolled else 0
    with deps.database.transaction() as tx:
        left = derivations.count_authorized(tx, scope) + (enrolled.remaining(tx) if enrolled else 0)
        progress = Progress(len(batch), approvals, ended, left, managed)
        officers.record_incident(
            tx,
            deps,
            order,
            comment,
            subject=f"rule:{suspect.rule}" if suspect.rule else f"person:{suspect.officer}",
            since=suspect.since.isoformat(),
            derivations=progress.derivations,
            approvals=progress.approvals,
            credentials=progress.credentials,
            managed=progress.managed,
            remaining=progress.remaining,
        )
    return progress


def _end(tx: Transaction, deps: Dependencies, derivation: Derivation, order: Order) -> int:
    return len(invalidation.end_derivation(tx, deps, derivation, order.reason, actor=order.actor, source=order.source))
