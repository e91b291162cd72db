# SPDX-License-Identifier: Apache-2.0
"""Holds: what a phone has is suspended for a while, and restored or ended (Common Policy 4.9.13 to 4.9.16).

The cardholder holds a phone that is mislaid and restores it with the card, presented anew. What an officer holds, an
officer restores, on evidence of who the cardholder is: whoever is suspect does not drop the suspicion. What nobody
restores in time ends for good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from etymon.ca import holds
from etymon.directory import bindings, people
from etymon.issuer import (
    changed_data,
    eligibility,
    errors,
    invalidation,
    notices,
    officers,
    phones_told,
    revoked_authorities,
)
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.derived_identifier import end_binding, identifier_of
from etymon.issuer.model import (
    OPEN,
    PROOF_LIFETIME,
    CardSession,
    Credential,
    CredentialState,
    Derivation,
    DerivationState,
    EndReason,
    Purpose,
)
from etymon.issuer.store import credentials, derivations, restorations
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import Conflict, EtymonError, Expired, NotPermitted
from etymon.storage.database import Transaction

log = structlog.get_logger("etymon.issuer")

ENDED_AT_A_TIME: Final = 100
OVERDUE: Final = "they were on hold for as long as they may be, and nobody restored them"


@dataclass(frozen=True, slots=True)
class Order:
    """Which officer holds or restores, and in words: why, or how the cardholder's identity was established anew."""

    officer: UUID
    comment: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """How the cardholder's identity was established anew: the proof of a card, or what an officer says."""

    proof: UUID | None = None
    words: str = ""


def hold_own(deps: Dependencies, session: CardSession, derivation_id: UUID, *, source: str) -> datetime:
    """Put what the person at a card session has on one phone on hold; return until when it may be restored.

    Raises `derivation_unknown`, and `Conflict` for what is not in force, being set up, or held already.
    """
    with deps.database.transaction() as tx:
        derivation = _own(tx, session, derivation_id)
        return _hold(tx, deps, derivation, by=session.person, reason="", source=source)


def hold(deps: Dependencies, derivation_id: UUID, order: Order) -> datetime:
    """Put what another person has on one phone on hold, as an officer; return until when it may be restored.

    What that person has on hold already becomes the officer's, until the same time: nobody who is suspect forestalls
    it. Raises `officer_required`, `derivation_unknown`, `own_credentials`, `reason_missing`, `Conflict` as `hold_own`.
    """
    reason = officers.reason_of(order.comment)
    with deps.database.transaction() as tx:
        derivation = _of_another(tx, order, derivation_id)
        return _hold(tx, deps, derivation, by=order.officer, reason=reason, source=order.source)


def restore_own(deps: Dependencies, session: CardSession, derivation_id: UUID, *, source: str) -> int:
    """Put what the person held in force again, by a card that was proved shortly before; return how many certificates.

    Raises `derivation_unknown`, `card_proof_old`, `card_not_bound`, `held_by_officer`, `Conflict` for what is not held
    and for what a revoked authority certified (`authority_revoked`), and `Expired` `hold_over`.
    """
    with deps.database.transaction() as tx:
        derivation = _own(tx, session, derivation_id)
        if deps.clock.now() >= session.proved_at + PROOF_LIFETIME:
            raise errors.card_proof_old()
        eligibility.require_bound(tx, session.proof, session.person)
        held = _held(tx, deps, derivation)
        if any(credential.held_by != session.person for credential in held):
            raise NotPermitted(
                "held_by_officer", "An officer has these credentials on hold, and an officer restores them. Ask there."
            )
        evidence = _Evidence(proof=session.proof)
        return _restore(tx, deps, derivation, held, evidence, by=session.person, source=source)


def restore(deps: Dependencies, derivation_id: UUID, order: Order) -> int:
    """Put what another person has on hold in force again, as an officer who has established anew who that person is.

    `order.comment` says how. Returns how many certificates. Raises `officer_required`, `derivation_unknown`,
    `own_credentials`, `reason_missing`, `not_eligible` once the account has ended, `Conflict` as `restore_own`, and
    `Expired` `hold_over`.
    """
    evidence = _Evidence(words=officers.reason_of(order.comment))
    with deps.database.transaction() as tx:
        derivation = _of_another(tx, order, derivation_id)
        held = _held(tx, deps, derivation)
        return _restore(tx, deps, derivation, held, evidence, by=order.officer, source=order.source)


def end_overdue(deps: Dependencies) -> int:
    """End what was held for as long as it may be, and tell its person; return of how many phones.

    Safe to run anywhere and at any time; a worker does it every few seconds.
    """
    with deps.database.snapshot() as tx:
        late = credentials.holds_over(tx, deps.clock.now(), ENDED_AT_A_TIME)
    done = 0
    for derivation_id in late:
        try:
            with deps.database.transaction() as tx:
                done += _end_overdue(tx, deps, derivation_id)
        except EtymonError as error:
            log.warning("hold_not_ended", derivation=str(derivation_id), code=error.code)
    return done


def _hold(
    tx: Transaction, deps: Dependencies, derivation: Derivation, *, by: UUID, reason: str, source: str
) -> datetime:
    found = credentials.of_derivation(tx, derivation.id)
    theirs = [one for one in found if one.held_by == derivation.person != by]
    own = [one for one in theirs if one.held_until and one.held_until > deps.clock.now()]
    ends = [_take_over(tx, one, by) for one in own] or _hold_in_force(tx, deps, derivation, found, by, source)
    until = min(ends)  # from then on not all of it comes back
    record(
        tx,
        deps,
        "derivation:held",
        actor=f"person:{by}",
        subject=derivation.id,
        source=source,
        reason=reason or None,
        until=until.isoformat(),
        credentials=len(ends),
        taken_over=bool(own),
    )
    person = people.find(tx, derivation.person)
    if person is not None:
        notices.credentials_held(tx, deps, person, derivation, until, is_own=by == derivation.person)
    return until


def _take_over(tx: Transaction, held: Credential, by: UUID) -> datetime:
    """Let what the cardholder has on hold be an officer's hold; for the authority it stays the same."""
    if held.held_until is None or not credentials.take_over_hold(tx, held, by):
        raise _held_already()
    return held.held_until


def _hold_in_force(
    tx: Transaction, deps: Dependencies, derivation: Derivation, found: Sequence[Credential], by: UUID, source: str
) -> list[datetime]:
    actor, in_force = f"person:{by}", _holdable(tx, deps, derivation, found)
    ends: list[datetime] = []
    # what a rekey has planned is given up: the phone asks anew when it may again
    planned = [credential for credential in found if credential.state is CredentialState.PLANNED]
    invalidation.end_credentials(tx, deps, planned, EndReason.UNSPECIFIED, actor=actor, source=source)
    for credential in in_force:
        done = holds.hold(tx, deps.ca, credential.certificate, requested_by=actor, actor=actor)
        if not credentials.move(tx, credential, CredentialState.HELD, {"held_until": done.until, "held_by": by}):
            raise _held_already()
        if credential.purpose is Purpose.AUTHENTICATION:  # nothing that it has signed in is refreshed
            identifier = identifier_of(tx, credential.certificate)
            end_binding(tx, deps, derivation.person, identifier, reason="held", actor=actor)
        ends.append(done.until)
    phones_told.tell(tx, deps, in_force)
    return ends


def _holdable(
    tx: Transaction, deps: Dependencies, derivation: Derivation, found: Sequence[Credential]
) -> list[Credential]:
    """Return what can be held of a locked derivation; raises `Conflict` where that is nothing."""
    if derivation.state in OPEN - {DerivationState.COMPLETED}:
        raise Conflict("set_up_under_way", "This phone is being set up. End it, or wait until that is over.")
    if any(credential.state is CredentialState.HELD for credential in found):
        raise _held_already()
    now = deps.clock.now()
    active = [one for one in found if one.state is CredentialState.ACTIVE and one.not_after and one.not_after > now]
    worthless = revoked_authorities.of_credentials(tx, active)  # nothing is suspended that never comes back
    in_force = [one for one in active if one.id not in worthless]
    if not in_force:
        raise Conflict("credentials_not_in_force", "Nothing on this phone is in force, so nothing can be held.")
    return in_force


def _restore(
    tx: Transaction,
    deps: Dependencies,
    derivation: Derivation,
    held: Sequence[Credential],
    evidence: _Evidence,
    *,
    by: UUID,
    source: str,
) -> int:
    now, actor, restoration = deps.clock.now(), f"person:{by}", random_id(deps.entropy)
    person = people.keep_active(tx, derivation.person)
    if person is None:  # whoever ends what is left of the account ends this
        raise errors.not_eligible("The account has ended, so nothing comes back.")
    restorations.add(tx, restoration, derivation.id, by=by, now=now, proof=evidence.proof, evidence=evidence.words)
    for credential in held:
        named = f"restoration:{restoration}"
        holds.restore(tx, deps.ca, credential.certificate, requested_by=actor, actor=actor, identity_evidence=named)
        # what became due meanwhile is due from now on: who asks by time what is due would not hear of it
        due = None if credential.rekey_from is None else max(credential.rekey_from, now)
        values = {"held_until": None, "held_by": None, "rekey_from": due}
        if not credentials.move(tx, credential, CredentialState.ACTIVE, values):
            raise _not_held()
        if credential.purpose is Purpose.AUTHENTICATION:
            bindings.bind(
                tx,
                deps,
                trust_entry=deps.trust_entry,
                identifier=identifier_of(tx, credential.certificate),
                person_id=derivation.person,
                actor=actor,
            )
    changed_data.make_due(tx, deps, derivation.person)  # nothing was made due while it was held
    record(
        tx,
        deps,
        "derivation:restored",
        actor=actor,
        subject=derivation.id,
        source=source,
        restoration=str(restoration),
        card_proof=None if evidence.proof is None else str(evidence.proof),
        evidence=evidence.words or None,
        credentials=len(held),
    )
    phones_told.tell(tx, deps, held)
    notices.credentials_restored(tx, deps, person, derivation)
    return len(held)


def _held(tx: Transaction, deps: Dependencies, derivation: Derivation) -> list[Credential]:
    """Return what may be restored of a locked derivation; certificates that ended meanwhile are left to the worker."""
    found = credentials.of_derivation(tx, derivation.id)
    held = [credential for credential in found if credential.held_until is not None]
    if not held:
        raise _not_held()
    now = deps.clock.now()
    fresh = [credential for credential in held if credential.held_until and credential.held_until > now]
    if not fresh:
        raise Expired("hold_over", "The hold has lasted as long as it may. Set the phone up with the card.")
    return fresh


def _end_overdue(tx: Transaction, deps: Dependencies, derivation_id: UUID) -> int:
    derivation = derivations.lock(tx, derivation_id)
    if derivation is None:
        return 0
    now, found = deps.clock.now(), credentials.of_derivation(tx, derivation_id)
    over = [one for one in found if one.held_until is not None and one.held_until <= now]
    living = [one for one in found if one not in over and one.state is not CredentialState.ENDED]
    if any(one.not_after is None or one.not_after > now for one in living):  # only these have come to their own end
        ended = invalidation.end_credentials(tx, deps, over, EndReason.UNSPECIFIED, actor="worker", source="worker")
        phones_told.tell_ended(tx, deps, ended)
        return 0
    invalidation.end_derivation(
        tx, deps, derivation, EndReason.UNSPECIFIED, actor="worker", source="worker", because=OVERDUE
    )
    return 1


def _own(tx: Transaction, session: CardSession, derivation_id: UUID) -> Derivation:
    derivation = derivations.lock(tx, derivation_id)
    if derivation is None or derivation.person != session.person:
        raise errors.derivation_unknown()
    return derivation


def _of_another(tx: Transaction, order: Order, derivation_id: UUID) -> Derivation:
    officers.require(tx, order.officer)
    derivation = derivations.lock(tx, derivation_id)
    if derivation is None:
        raise errors.derivation_unknown()
    if derivation.person == order.officer:
        raise NotPermitted(
            "own_credentials", "Nobody decides about their own credentials as an officer. Use the self-service page."
        )
    return derivation


def _held_already() -> Conflict:
    return Conflict("credentials_held", "These credentials are on hold already.")


def _not_held() -> Conflict:
    return Conflict("credentials_not_held", "These credentials are not on hold, so there is nothing to restore.")
