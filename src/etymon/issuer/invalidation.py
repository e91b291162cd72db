# SPDX-License-Identifier: Apache-2.0
"""The end of credentials: one, those of a device, or everything when the person's account ends (FIPS 201-3 §2.10.2).

The derivation is locked first, always, so that an issuance under way either is seen here or sees the end.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from etymon.ca import revocation
from etymon.ca.model import RevocationReason
from etymon.directory import people
from etymon.directory.model import TerminationReason
from etymon.issuer import approval, notices, phones_told, terminations
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.derived_identifier import end_binding, identifier_of
from etymon.issuer.errors import derivation_unknown
from etymon.issuer.model import (
    OPEN,
    Credential,
    CredentialState,
    Derivation,
    DerivationState,
    EndReason,
    Purpose,
)
from etymon.issuer.store import card_sessions, credentials, derivations, requests
from etymon.storage.database import Transaction

REVOCATION: Final = {
    EndReason.KEY_COMPROMISE: RevocationReason.KEY_COMPROMISE,
    EndReason.AFFILIATION_CHANGED: RevocationReason.AFFILIATION_CHANGED,
    EndReason.SUPERSEDED: RevocationReason.SUPERSEDED,
    EndReason.CESSATION_OF_OPERATION: RevocationReason.CESSATION_OF_OPERATION,
    EndReason.PRIVILEGE_WITHDRAWN: RevocationReason.PRIVILEGE_WITHDRAWN,
    EndReason.UNSPECIFIED: RevocationReason.UNSPECIFIED,
}


def end_own(deps: Dependencies, person: UUID, derivation_id: UUID, reason: EndReason, *, source: str) -> None:
    """End what the person at a card session has on one device (SP 800-63B-4: one factor is enough to report a loss)."""
    with deps.database.transaction() as tx:
        derivation = derivations.lock(tx, derivation_id)
        if derivation is None or derivation.person != person:
            raise derivation_unknown()
        end_derivation(tx, deps, derivation, reason, actor=f"person:{person}", source=source)


def undo(deps: Dependencies, undo_id: UUID, *, source: str) -> None:
    """End what a notice told of; whoever has the notice may, and twice does no harm."""
    with deps.database.transaction() as tx:
        found = derivations.by_undo(tx, undo_id)
        derivation = derivations.lock(tx, found.id) if found else None
        if derivation is None:
            raise derivation_unknown()
        end_derivation(tx, deps, derivation, EndReason.KEY_COMPROMISE, actor="notice", source=source)


TERMINATION: Final = {TerminationReason.FRAUD: EndReason.PRIVILEGE_WITHDRAWN}
"""Why credentials end with an account; `affiliationChanged` where nothing else is said."""


def account_ended(
    deps: Dependencies, person_id: UUID, reason: TerminationReason = TerminationReason.UNSPECIFIED
) -> None:
    """End every credential, link and session of a person whose account has ended (FIPS 201-3 §2.9.4)."""
    because = TERMINATION.get(reason, EndReason.AFFILIATION_CHANGED)
    with deps.database.transaction() as tx:
        card_sessions.kept(tx).end_of_person(person_id)
        for request in requests.waiting_of(tx, person_id):
            approval.end(tx, deps, request, actor="directory")
        for derivation in derivations.lock_all_of(tx, person_id):
            end_derivation(tx, deps, derivation, because, actor="directory", source="worker")
        terminations.watch(tx, deps, person_id)


def end_derivation(
    tx: Transaction,
    deps: Dependencies,
    derivation: Derivation,
    reason: EndReason,
    *,
    actor: str,
    source: str,
    because: str = "",
) -> tuple[Credential, ...]:
    """End a locked derivation with all its certificates and tell the person; return what was ended.

    One that is over already stays as it was. `because` tells the person more than the reason does.
    """
    found = credentials.of_derivation(tx, derivation.id)
    ended = end_credentials(tx, deps, found, reason, actor=actor, source=source)
    if ended:
        # what was replaced before went from the phone with its rekey
        replaced = {each.replaces for each in found} - {each.id for each in ended}
        phones_told.tell_ended(tx, deps, [each for each in found if each.id not in replaced])
    if derivation.state in OPEN:
        values = derivations.ended_values(reason, deps.clock.now())
        derivations.move(tx, derivation, DerivationState.ENDED, values)
        record(tx, deps, "derivation:ended", actor=actor, subject=derivation.id, source=source, reason=reason.value)
    if ended:
        tell(tx, deps, derivation, reason, because=because)
    elif derivation.state is DerivationState.CONFIRMED:
        _tell_link_ended(tx, deps, derivation, because or notices.REASON_TEXTS[reason])
    return ended


def end_credentials(
    tx: Transaction,
    deps: Dependencies,
    found: Iterable[Credential],
    reason: EndReason,
    *,
    actor: str,
    source: str,
) -> tuple[Credential, ...]:
    """End credentials whose derivations are locked: nobody gets what is planned, and what was issued is revoked."""
    ended: list[Credential] = []
    values = {"ended_at": deps.clock.now(), "end_reason": reason.value, "held_until": None, "held_by": None}
    for credential in found:
        if not credentials.move(tx, credential, CredentialState.ENDED, values):
            continue
        if credential.purpose is Purpose.AUTHENTICATION:
            identifier = identifier_of(tx, credential.certificate)
            end_binding(tx, deps, credential.person, identifier, reason=reason.value, actor=actor)
        revocation.revoke(tx, deps.ca, credential.certificate, REVOCATION[reason], actor=actor)
        record(
            tx,
            deps,
            "credential:ended",
            actor=actor,
            subject=credential.id,
            source=source,
            reason=reason.value,
            purpose=credential.purpose.value,
            derivation=str(credential.derivation),
        )
        ended.append(credential)
    return tuple(ended)


def tell(tx: Transaction, deps: Dependencies, derivation: Derivation, reason: EndReason, *, because: str = "") -> None:
    """Tell the person that credentials of a derivation were ended."""
    person = people.find(tx, derivation.person)
    if person is not None:
        notices.credentials_ended(tx, deps, person, derivation, because or notices.REASON_TEXTS[reason])


def link_expired(tx: Transaction, deps: Dependencies, derivation: Derivation) -> None:
    """Tell the person of a confirmed link that its time was over before the phone got anything."""
    _tell_link_ended(tx, deps, derivation, "the phone did not fetch them in time")


def _tell_link_ended(tx: Transaction, deps: Dependencies, derivation: Derivation, because: str) -> None:
    person = people.find(tx, derivation.person)
    if person is not None:
        notices.link_ended(tx, deps, person, derivation, because)
