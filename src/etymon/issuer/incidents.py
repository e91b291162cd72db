# SPDX-License-Identifier: Apache-2.0
"""What an officer does about credentials of others: see them, end them, or all a suspect authorised (CP 4.9.1)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from etymon.ca import authorities
from etymon.issuer import approval, errors, invalidation, officers
from etymon.issuer.attestation import store as attestations
from etymon.issuer.attestation.model import KeyAttestation
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import Credential, Derivation, DerivationState
from etymon.issuer.officers import BATCH, Order
from etymon.issuer.scep import endings, managed_certificates
from etymon.issuer.scep.model import HIERARCHY
from etymon.issuer.store import credentials, derivations, requests, rules
from etymon.kernel.errors import Conflict, Malformed, NotFound
from etymon.storage.database import Transaction


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


def of_person(
    tx: Transaction, person: UUID
) -> tuple[tuple[Derivation, tuple[Credential, ...], tuple[KeyAttestation, ...]], ...]:
    """Return everything that was ever derived for a person, the newest first, with certificates and attestations."""
    found = derivations.of_person(tx, person, set(DerivationState))
    return tuple(
        (each, credentials.of_derivation(tx, each.id), attestations.of_derivation(tx, each.id)) for each in found
    )


def of_one(
    tx: Transaction, derivation_id: UUID
) -> tuple[Derivation, tuple[Credential, ...], tuple[KeyAttestation, ...]]:
    """Return one derivation with certificates and attestations; raises `derivation_unknown`."""
    found = derivations.find(tx, derivation_id)
    if found is None:
        raise errors.derivation_unknown()
    return found, credentials.of_derivation(tx, found.id), attestations.of_derivation(tx, found.id)


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

    Of an officer also what the officer's connectors enrolled, and of an authority what it certified by SCEP, after the
    derivations. Each ends in a transaction of its own: what was done stays done. Call again while anything remains.
    Raises `officer_required`, `reason_missing`, `Malformed`, `NotFound` for a rule or an authority that never was, and
    `Conflict` `authority_not_of_issuer` for one whose certificates are ended elsewhere.
    """
    comment = officers.reason_of(order.comment)
    if [bool(suspect.rule), suspect.officer is not None, bool(suspect.authority)].count(True) != 1:
        raise Malformed("malformed", "Name either a rule, an officer, or an authority.")
    officers.require_past(deps.clock, suspect.since)
    with deps.database.transaction() as tx:
        officers.require(tx, order.officer)
        if suspect.authority:
            _require_ours(tx, deps, suspect.authority)
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
    enrolled = _enrolled(suspect)
    managed = managed_certificates.end_batch(deps, enrolled, order, at_most - len(batch)) if enrolled else 0
    with deps.database.transaction() as tx:
        left = derivations.count_authorized(tx, scope) + (enrolled.remaining(tx) if enrolled else 0)
        progress = Progress(len(batch), approvals, ended, left, managed)
        officers.record_incident(
            tx,
            deps,
            order,
            comment,
            subject=suspect.subject,
            since=suspect.since.isoformat(),
            derivations=progress.derivations,
            approvals=progress.approvals,
            credentials=progress.credentials,
            managed=progress.managed,
            remaining=progress.remaining,
        )
    return progress


def _require_ours(tx: Transaction, deps: Dependencies, name: str) -> None:
    """Refuse an authority that certifies neither derived credentials nor managed endpoints."""
    issuing = authorities.load(tx, deps.authority).parent
    ours = [authority.name for authority in authorities.issuing(tx, HIERARCHY)]
    if authorities.load(tx, name).parent != issuing and name not in ours:
        raise Conflict(
            "authority_not_of_issuer",
            f"{name} certifies neither derived credentials nor managed endpoints, so there is nothing to end here.",
        )


def _enrolled(suspect: Suspect) -> managed_certificates.Enrolled | None:
    """Return what of a suspect's was enrolled by SCEP."""
    if suspect.rule:
        return None
    return managed_certificates.Enrolled(suspect.since, officer=suspect.officer, authority=suspect.authority or None)


def _end(tx: Transaction, deps: Dependencies, derivation: Derivation, order: Order) -> int:
    return len(invalidation.end_derivation(tx, deps, derivation, order.reason, actor=order.actor, source=order.source))
