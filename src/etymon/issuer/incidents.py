# SPDX-License-Identifier: Apache-2.0
"""What an officer does about credentials of others: see them, end them, or all a suspect authorised (CP 4.9.1)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.audit.model import Fact, Outcome
from etymon.ca import authorities
from etymon.issuer import approval, errors, invalidation, officers
from etymon.issuer.attestation import store as attestations
from etymon.issuer.attestation.model import KeyAttestation
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import Credential, Derivation, DerivationState, EndReason
from etymon.issuer.scep import completion
from etymon.issuer.scep import store as scep_store
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
    """What stands behind certificates since a time: rules of a name, an officer's rules and approvals, or an authority.

    Of an authority that is all that it certified, also what devices of other endpoint managers were given.
    """

    since: datetime
    rule: str = ""
    officer: UUID | None = None
    authority: str = ""

    @property
    def subject(self) -> str:
        """The trail's name for it."""
        if self.authority:
            return f"authority:{self.authority}"
        return f"rule:{self.rule}" if self.rule else f"person:{self.officer}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How many derivations, unused approvals and certificates a call ended, and how much is left to be ended."""

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
    Raises `officer_required`, `reason_missing`, `Malformed`, `NotFound` for a rule or an authority that never was.
    """
    comment = officers.reason_of(order.comment)
    if [bool(suspect.rule), suspect.officer is not None, bool(suspect.authority)].count(True) != 1:
        raise Malformed("malformed", "Name either a rule, an officer, or an authority.")
    if suspect.since > deps.clock.now():
        raise Malformed("malformed", "The time since when lies in the future.")
    with deps.database.transaction() as tx:
        officers.require(tx, order.officer)
        if suspect.authority:
            authorities.load(tx, suspect.authority)
        suspects = rules.authorized_by(tx, name=suspect.rule, officer=suspect.officer)
        if suspect.rule and not suspects:
            raise NotFound("issuance_rule_unknown", f"There never was an issuance rule called {suspect.rule}.")
        given = requests.approved_since(tx, suspect.since, rules=suspects, officer=suspect.officer)
        approvals = sum(approval.end(tx, deps, request, actor=order.actor) for request in given)
    scope = derivations.Authorized(frozenset(suspects), suspect.officer, suspect.since, suspect.authority)
    with deps.database.snapshot() as tx:
        batch = derivations.authorized(tx, scope, at_most)
    ended = 0
    for derivation_id in batch:
        with deps.database.transaction() as tx:
            derivation = derivations.lock(tx, derivation_id)
            ended += 0 if derivation is None else _end(tx, deps, derivation, order)
    enrolled, remaining = _end_enrollments(deps, suspect, order, at_most) if suspect.authority else (0, 0)
    with deps.database.transaction() as tx:
        remaining += derivations.count_authorized(tx, scope)
        progress = Progress(len(batch), approvals, ended + enrolled, remaining)
        _record(
            tx,
            deps,
            order,
            comment,
            subject=suspect.subject,
            since=suspect.since.isoformat(),
            derivations=progress.derivations,
            approvals=progress.approvals,
            credentials=progress.credentials,
            remaining=progress.remaining,
        )
    return progress


def _end_enrollments(deps: Dependencies, suspect: Suspect, order: Order, at_most: int) -> tuple[int, int]:
    """End the next batch of what an authority certified by SCEP; return how many it were, and how many are left."""
    with deps.database.snapshot() as tx:
        batch, count = scep_store.enrollments_by_authority(tx, suspect.authority, suspect.since, at_most)
    ended = 0
    for enrollment in batch:
        with deps.database.transaction() as tx:
            ended += completion.end_one(tx, deps, enrollment, order.reason, actor=order.actor, source=order.source)
    return ended, count - len(batch)


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
