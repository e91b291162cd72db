# SPDX-License-Identifier: Apache-2.0
"""The second half of an issuance: sign what was planned, activate it, tell the person. Anybody may repeat it."""

from typing import Final
from uuid import UUID

from etymon.ca import issuance
from etymon.ca.model import IssuedCertificate
from etymon.directory import people
from etymon.directory.model import Person
from etymon.escrow import deposit
from etymon.issuer import certified_names, changed_data, coming_ends, notices, phones_told, rekey_window
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.errors import credential_ended, credential_held, issuance_unfinished
from etymon.issuer.model import Credential, CredentialState, Derivation, DerivationState, EndReason, Purpose
from etymon.issuer.store import credentials, derivations
from etymon.kernel.errors import Conflict, Unavailable
from etymon.pki.certificate import thumbprint
from etymon.storage import jobs
from etymon.storage.database import Transaction

FINISH: Final = "issuer.finish"
"""Kind of the job that finishes what a killed process left behind; its payload has `credential`."""

SUPERSEDE: Final = "issuer.supersede"
"""Kind of the job that ends what a credential replaced, if nobody did; its payload has `credential`, the new one."""


def finish(deps: Dependencies, credential_id: UUID) -> IssuedCertificate:
    """Return the certificate of a planned or active credential, signing it if nobody has.

    The same certificate however often and by however many it is asked for; audit event and notice are written once.
    Raises `credential_ended` when it was ended meanwhile, `credential_held` while it is on hold, and `Unavailable`
    while the authority cannot sign.
    """
    with deps.database.snapshot() as tx:
        credential = credentials.find(tx, credential_id)
        person = people.find(tx, credential.person) if credential else None
    if credential is None or credential.state is CredentialState.ENDED or person is None or not person.active:
        raise credential_ended()
    if credential.state is CredentialState.HELD:
        raise credential_held()
    try:
        issued = issuance.complete(deps.ca, credential.certificate)
    except Conflict as exc:  # revoked or given up: nobody gets it
        if exc.code == "certificate_held":
            raise  # nobody gets it now
        _lost(deps, credential)
        raise credential_ended() from exc
    if credential.state is CredentialState.PLANNED:
        _activate(deps, credential, issued)
    return issued


def finish_now(deps: Dependencies, credential_id: UUID) -> IssuedCertificate:
    """Finish for a phone that waits: what cannot be signed now is pending, and the same request gets it later."""
    try:
        return finish(deps, credential_id)
    except Unavailable as exc:
        raise issuance_unfinished() from exc


def _activate(deps: Dependencies, planned: Credential, issued: IssuedCertificate) -> None:
    certificate = issued.certificate
    serial = f"{certificate.serial_number:x}"
    with deps.database.transaction() as tx:
        derivation, credential = _locked(tx, planned)
        if credential.state is CredentialState.ENDED:
            raise credential_ended()
        if credential.state is CredentialState.HELD:  # somebody was faster, and then it was put on hold
            raise credential_held()
        if credential.state is not CredentialState.PLANNED:
            return  # somebody was faster, with the same certificate
        person = people.keep_active(tx, derivation.person)
        if person is None:  # the account ended meanwhile: whoever ends its credentials revokes this one
            raise credential_ended()
        values = {
            "serial_number": serial,
            "thumbprint": thumbprint(certificate),
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
            "issued_at": deps.clock.now(),
            "rekey_from": rekey_window.opens_at(certificate, deps.rekey_window),
        }
        if not credentials.move(tx, credential, CredentialState.ACTIVE, values):
            return  # as above, where nothing is locked
        if credential.escrowed_key is not None:
            deposit.certify(tx, deps.escrow, credential.escrowed_key, certificate)
        record(
            tx,
            deps,
            "credential:issued",
            actor=f"person:{derivation.person}",
            subject=credential.id,
            purpose=credential.purpose.value,
            derivation=str(derivation.id),
            serial=serial,
            replaces=str(credential.replaces or ""),
        )
        _tell(tx, deps, person, derivation, credential, serial)
        if credential.purpose is Purpose.AUTHENTICATION:  # the others go with it
            coming_ends.watch(
                tx, deps, credential.id, certificate.not_valid_before_utc, certificate.not_valid_after_utc
            )
        if credential.replaces is not None:
            enqueue_supersede(tx, deps, credential)
        if not certified_names.is_true_of(certificate, person, credential.purpose):
            changed_data.make_due(tx, deps, person.id)  # the names changed between plan and signature
        _complete(tx, deps, derivation)


def _tell(
    tx: Transaction, deps: Dependencies, person: Person, derivation: Derivation, credential: Credential, serial: str
) -> None:
    before = credentials.find(tx, credential.replaces) if credential.replaces else None
    if before is None:
        notices.certificate_issued(tx, deps, person, derivation, purpose=credential.purpose, serial=serial)
    else:
        replaced = before.serial_number or ""
        notices.certificate_replaced(
            tx, deps, person, derivation, purpose=credential.purpose, serial=serial, replaced=replaced
        )


def _complete(tx: Transaction, deps: Dependencies, derivation: Derivation) -> None:
    found = credentials.of_derivation(tx, derivation.id)
    issued = {credential.purpose for credential in found if credential.state is not CredentialState.PLANNED}
    if derivation.state is DerivationState.ISSUING and issued == set(derivation.purposes):
        derivations.move(tx, derivation, DerivationState.COMPLETED)
        phones_told.tell(tx, deps, found)
        record(tx, deps, "derivation:completed", actor=f"person:{derivation.person}", subject=derivation.id)


def _lost(deps: Dependencies, lost: Credential) -> None:
    with deps.database.transaction() as tx:
        derivation, credential = _locked(tx, lost)
        values = {"ended_at": deps.clock.now(), "end_reason": EndReason.UNSPECIFIED.value}
        if credentials.move(tx, credential, CredentialState.ENDED, values):
            record(tx, deps, "credential:lost", actor="ca", subject=credential.id, derivation=str(derivation.id))


def _locked(tx: Transaction, credential: Credential) -> tuple[Derivation, Credential]:
    derivation = derivations.lock(tx, credential.derivation)
    found = credentials.find(tx, credential.id)
    if derivation is None or found is None:
        raise credential_ended()
    return derivation, found


def enqueue_finish(tx: Transaction, deps: Dependencies, credential: Credential) -> None:
    """Have a worker finish the credential if whoever planned it does not."""
    due = deps.clock.now() + issuance.LEFT_BEHIND_AFTER
    payload: dict[str, jobs.JSONValue] = {"credential": str(credential.id)}
    jobs.enqueue(tx, deps.clock, deps.entropy, FINISH, payload, due=due, key=f"{FINISH}:{credential.id}")


def enqueue_supersede(tx: Transaction, deps: Dependencies, credential: Credential) -> None:
    """Have the certificate that this one replaced end when its grace is over, whether or not the phone confirms."""
    payload: dict[str, jobs.JSONValue] = {"credential": str(credential.id)}
    due = deps.clock.now() + deps.rekey_grace
    jobs.enqueue(tx, deps.clock, deps.entropy, SUPERSEDE, payload, due=due, key=f"{SUPERSEDE}:{credential.id}")
