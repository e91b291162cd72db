# SPDX-License-Identifier: Apache-2.0
"""Approval by a second person, where an issuance rule wants one (Common Policy 4.1, SP 800-157 §2).

The applicant proves the card and asks; an officer other than the applicant approves or refuses; the applicant comes
back and proves the card anew. An approval is good for one phone, and for ninety days from the first proof.
"""

from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from etymon.directory import people
from etymon.issuer import eligibility, errors, officers, request_notices
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import Approval, CardSession, Derivation, IssuanceRule
from etymon.issuer.request import IDENTITY_LIFETIME, WAITING, DerivationRequest, RequestState
from etymon.issuer.store import requests, rules
from etymon.kernel.entropy import random_id
from etymon.storage.database import Transaction

SHOWN_AT_A_TIME: Final = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a person needs an approval, and the request that tells how far it is."""

    is_needed: bool
    request: DerivationRequest | None = None


def ask(deps: Dependencies, session: CardSession, *, source: str) -> DerivationRequest:
    """Ask for approval at a card session; one that is not over is returned as it stands.

    Raises `approval_not_needed`, `card_not_bound` and what eligibility refuses.
    """
    now = deps.clock.now()
    with deps.database.transaction() as tx:
        applicant = eligibility.applicant(tx, session.person)
        rule = applicant.rule
        eligibility.require_bound(tx, session.proof, session.person)
        if rule.approval is not Approval.SECOND_PERSON:
            raise errors.approval_not_needed()
        before = requests.latest(tx, session.person, rule.id)
        if before is not None and before.state in WAITING and not _expire(tx, deps, before):
            return before
        request = DerivationRequest(
            id=random_id(deps.entropy),
            state=RequestState.REQUESTED,
            person=session.person,
            rule=rule.id,
            proof=session.proof,
            requested_at=now,
            requested_from=source,
            expires_at=session.proved_at + IDENTITY_LIFETIME,
        )
        if not requests.add(tx, request):  # another window of the person was faster
            raise errors.approval_required()
        record(
            tx,
            deps,
            "request:made",
            actor=f"person:{session.person}",
            subject=request.id,
            source=source,
            rule=str(rule.id),
            card_proof=str(session.proof),
        )
        request_notices.made(tx, deps, applicant.person, request)
    return request


def approve(deps: Dependencies, request_id: UUID, *, officer: UUID, source: str = "") -> DerivationRequest:
    """Approve a request as an officer who is not the applicant; the applicant is told by mail.

    Raises `officer_required`, `request_unknown`, `own_request`, `request_decided`, `request_expired`, and what
    eligibility refuses: a rule that was withdrawn, a person or card that does not hold any more.
    """
    with deps.database.transaction() as tx:
        request = _undecided(tx, deps, request_id, officer)
        found = rules.find(tx, request.rule)
        if found is None or found[1] is not None:
            raise errors.rule_withdrawn()
        person = eligibility.covered(tx, request.person, found[0])
        eligibility.require_bound(tx, request.proof, request.person)
        decided = _decide(tx, deps, request, RequestState.APPROVED, "", officer=officer, source=source)
        request_notices.approved(tx, deps, person, decided.expires_at)
    return decided


def refuse(deps: Dependencies, request_id: UUID, reason: str, *, officer: UUID, source: str = "") -> DerivationRequest:
    """Refuse a request for a reason that the applicant is told; raises as `approve` does, and `reason_missing`."""
    reason = officers.reason_of(reason)
    with deps.database.transaction() as tx:
        request = _undecided(tx, deps, request_id, officer)
        decided = _decide(tx, deps, request, RequestState.REFUSED, reason, officer=officer, source=source)
        person = people.find(tx, request.person)
        if person is not None:
            request_notices.refused(tx, deps, person, reason)
    return decided


def undecided(tx: Transaction, deps: Dependencies) -> tuple[DerivationRequest, ...]:
    """Return the requests that wait for an officer, the oldest first, `SHOWN_AT_A_TIME` at most."""
    return requests.undecided(tx, deps.clock.now(), SHOWN_AT_A_TIME)


def standing(deps: Dependencies, person: UUID) -> Standing:
    """Return whether a person who may have credentials needs an approval, and the last request unless it is over."""
    with deps.database.snapshot() as tx:
        rule = eligibility.applicant(tx, person).rule
        if rule.approval is not Approval.SECOND_PERSON:
            return Standing(is_needed=False)
        request = requests.latest(tx, person, rule.id)
    is_over = request is not None and request.state in WAITING and request.expires_at <= deps.clock.now()
    return Standing(is_needed=True, request=None if is_over else request)


def required(tx: Transaction, deps: Dependencies, person: UUID, rule: IssuanceRule) -> UUID | None:
    """Return the approved request under which a derivation may begin, None where the rule wants none.

    Raises `approval_required`.
    """
    if rule.approval is not Approval.SECOND_PERSON:
        return None
    request = requests.latest(tx, person, rule.id)
    if request is None or request.state is not RequestState.APPROVED or request.expires_at <= deps.clock.now():
        raise errors.approval_required()
    return request.id


def use(tx: Transaction, deps: Dependencies, derivation: Derivation) -> None:
    """Use the approval that a derivation began under, once, in the transaction that confirms its phone.

    Raises `approval_required` when it was used, ended or is over meanwhile.
    """
    if derivation.request is None:
        return
    request = requests.lock(tx, derivation.request)
    if request is None or request.expires_at <= deps.clock.now() or not requests.move(tx, request, RequestState.USED):
        raise errors.approval_required()


def end(tx: Transaction, deps: Dependencies, request: DerivationRequest, *, actor: str) -> bool:
    """End a request or an unused approval; False when it was over or used already."""
    if not requests.move(tx, request, RequestState.ENDED):
        return False
    record(tx, deps, "request:ended", actor=actor, subject=request.id, was=request.state.value)
    _tell_over(tx, deps, request, expired=False)
    return True


def end_late(deps: Dependencies, limit: int) -> int:
    """Let what nobody decided or used in ninety days expire; return how many."""
    with deps.database.snapshot() as tx:
        late = requests.over_at(tx, deps.clock.now(), limit)
    done = 0
    for request_id in late:
        with deps.database.transaction() as tx:
            request = requests.lock(tx, request_id)
            done += request is not None and _expire(tx, deps, request)
    return done


def _expire(tx: Transaction, deps: Dependencies, request: DerivationRequest) -> bool:
    if request.expires_at > deps.clock.now() or not requests.move(tx, request, RequestState.EXPIRED):
        return False
    record(tx, deps, "request:expired", actor="worker", subject=request.id, was=request.state.value)
    _tell_over(tx, deps, request, expired=True)
    return True


def _tell_over(tx: Transaction, deps: Dependencies, request: DerivationRequest, *, expired: bool) -> None:
    person = people.find(tx, request.person)
    if person is not None:
        request_notices.over(tx, deps, person, expired=expired)


def _undecided(tx: Transaction, deps: Dependencies, request_id: UUID, officer: UUID) -> DerivationRequest:
    officers.require(tx, officer)
    request = requests.lock(tx, request_id)
    if request is None:
        raise errors.request_unknown()
    if request.person == officer:
        raise errors.own_request()
    if request.state is not RequestState.REQUESTED:
        raise errors.request_decided(request.state.value)
    if request.expires_at <= deps.clock.now():
        raise errors.request_expired()
    return request


def _decide(
    tx: Transaction,
    deps: Dependencies,
    request: DerivationRequest,
    to: RequestState,
    reason: str,
    *,
    officer: UUID,
    source: str,
) -> DerivationRequest:
    now = deps.clock.now()
    values = {"decided_by": officer, "decided_at": now, "decision_reason": reason}
    if not requests.move(tx, request, to, **values):
        raise errors.request_decided("decided")
    record(
        tx,
        deps,
        f"request:{to.value}",
        actor=f"person:{officer}",
        subject=request.id,
        source=source,
        applicant=str(request.person),
        rule=str(request.rule),
        reason=reason or None,
    )
    return replace(request, state=to, decided_by=officer, decided_at=now, decision_reason=reason)
