# SPDX-License-Identifier: Apache-2.0
"""What an officer does about credentials of others: see them, end them, or all a suspect authorised (CP 4.9.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from etymon.ca.model import Authority
from etymon.issuer import approval, errors, invalidation, officers, revoked_authorities
from etymon.issuer.attestation import store as attestations
from etymon.issuer.attestation.model import KeyAttestation
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import Credential, Derivation, DerivationState
from etymon.issuer.officers import BATCH, Order
from etymon.issuer.scep import endings, managed_certificates
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
class Place:
    """How far a pass over what a suspect authorised has come: this derivation, or all and this managed certificate."""

    derivation: UUID | None = None
    managed: UUID | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How many derivations, unused approvals and certificates a call ended, those of managed endpoints apart.

    `remaining` is how many derivations and certificates of managed endpoints are left, counted at the beginning of a
    pass and at its end; None between, when who calls subtracts. `following` is where the next call goes on, None at the
    end of a pass: if anything is left then, such as what came meanwhile, another pass begins.
    """

    derivations: int
    approvals: int
    credentials: int
    remaining: int | None
    managed: int = 0
    following: Place | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    derivations: tuple[UUID, ...]
    managed: tuple[UUID, ...]
    following: Place | None


@dataclass(frozen=True, slots=True)
class Derived:
    """A derivation with its certificates and what was found of its keys.

    `revoked` has those of its certificates that are worthless, since their authority was revoked, and maybe others.
    """

    derivation: Derivation
    certificates: tuple[Credential, ...]
    attestations: tuple[KeyAttestation, ...]
    revoked: Mapping[UUID, Authority]


@dataclass(frozen=True, slots=True)
class Ended:
    """How many certificates of a person ended: what was derived, and what endpoint managers had enrolled."""

    credentials: int
    managed: int


def of_person(tx: Transaction, person: UUID) -> list[Derived]:
    """Return everything that was ever derived for a person, the newest first."""
    return _derived(tx, derivations.of_person(tx, person, set(DerivationState)))


def of_one(tx: Transaction, derivation_id: UUID) -> Derived:
    """Return one derivation; raises `derivation_unknown`."""
    found = derivations.find(tx, derivation_id)
    if found is None:
        raise errors.derivation_unknown()
    return _derived(tx, [found])[0]


def _derived(tx: Transaction, found: Sequence[Derivation]) -> list[Derived]:
    certified = [credentials.of_derivation(tx, each.id) for each in found]
    revoked = revoked_authorities.of_credentials(tx, [one for each in certified for one in each])
    return [
        Derived(each, theirs, attestations.of_derivation(tx, each.id), revoked)
        for each, theirs in zip(found, certified, strict=True)
    ]


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


def end_authorized(
    deps: Dependencies, suspect: Suspect, order: Order, *, at_most: int = BATCH, after: Place | None = None
) -> Progress:
    """End the next batch of what a suspect authorised since a time: approvals, derivations, certificates.

    Of an officer also what the officer's connectors enrolled, and of an authority what it certified by SCEP, after the
    derivations. Each ends in a transaction of its own: what was done stays done. Call again from `following` while
    there is one, and from the beginning while anything remains; without `after` a pass begins, and all is counted.
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
    enrolled = _enrolled(suspect)
    batch = _next(deps, scope, enrolled, after or Place(), at_most)
    ended = sum(_end_found(deps, derivation, order) for derivation in batch.derivations)
    managed = managed_certificates.end_batch(deps, batch.managed, order)
    is_counted = after is None or batch.following is None  # a million rows are not counted at each of the batches
    left = _count(deps, scope, enrolled) if is_counted else None
    following = None if left == 0 else batch.following
    progress = Progress(len(batch.derivations), approvals, ended, left, managed, following)
    with deps.database.transaction() as tx:
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


def _next(
    deps: Dependencies,
    scope: derivations.Authorized,
    enrolled: managed_certificates.Enrolled | None,
    after: Place,
    at_most: int,
) -> _Batch:
    """Return what comes after a place, derivations first, and where the next batch goes on."""
    with deps.database.snapshot() as tx:
        mine = () if after.managed else derivations.authorized(tx, scope, at_most, after=after.derivation)
        room = at_most - len(mine)
        managed = enrolled.next(tx, room, after=after.managed) if enrolled and room else ()
    if not room:
        return _Batch(mine, (), Place(derivation=mine[-1]))
    return _Batch(mine, managed, Place(managed=managed[-1]) if len(managed) == room else None)


def _count(deps: Dependencies, scope: derivations.Authorized, enrolled: managed_certificates.Enrolled | None) -> int:
    with deps.database.snapshot() as tx:
        return derivations.count_authorized(tx, scope) + (enrolled.remaining(tx) if enrolled else 0)


def _end_found(deps: Dependencies, derivation_id: UUID, order: Order) -> int:
    with deps.database.transaction() as tx:
        derivation = derivations.lock(tx, derivation_id)
        return 0 if derivation is None else _end(tx, deps, derivation, order)


def _require_ours(tx: Transaction, deps: Dependencies, name: str) -> None:
    """Refuse an authority that certifies neither derived credentials nor managed endpoints."""
    if not revoked_authorities.is_ours(tx, deps, name):
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
