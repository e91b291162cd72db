# SPDX-License-Identifier: Apache-2.0
"""The second half of an issuance: sign what was planned, activate it, tell the person. Anybody may repeat it."""

from typing import Final
from uuid import UUID

from etymon.ca import issuance
from etymon.ca.model import IssuedCertificate
from etymon.directory import people
from etymon.escrow import deposit
from etymon.issuer import notices
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.errors import credential_ended
from etymon.issuer.model import Credential, CredentialState, Derivation, DerivationState, EndReason
from etymon.issuer.store import credentials, derivations
from etymon.kernel.errors import Conflict
from etymon.pki.certificate import thumbprint
from etymon.storage import jobs
from etymon.storage.database import Transaction

FINISH: Final = "issuer.finish"
"""Kind of the job that finishes what a killed process left behind; its payload has `credential`."""


def finish(deps: Dependencies, credential_id: UUID) -> IssuedCertificate:
    """Return the certificate of a planned or active credential, signing it if nobody has.

    The same certificate however often and by however many it is asked for; audit event and notice are written once.
    Raises `credential_ended` when it was ended meanwhile, and `Unavailable` while the authority cannot sign.
    """
    with deps.database.snapshot() as tx:
        credential = credentials.find(tx, credential_id)
        person = people.find(tx, credential.person) if credential else None
    if credential is None or credential.state is CredentialState.ENDED or person is None or not person.active:
        raise credential_ended()
    try:
        issued = issuance.complete(deps.ca, credential.certificate)
    except Conflict as exc:  # revoked or given up: nobody gets it
        _lost(deps, credential)
        raise credential_ended() from exc
    if credential.state is CredentialState.PLANNED:
        _activate(deps, credential, issued)
    return issued


def _activate(deps: Dependencies, planned: Credential, issued: IssuedCertificate) -> None:
    certificate = issued.certificate
    serial = f"{certificate.serial_number:x}"
    with deps.database.transaction() as tx:
        derivation, credential = _locked(tx, planned)
        if credential.state is CredentialState.ENDED:
            raise credential_ended()
        person = people.keep_active(tx, derivation.person)
        if person is None:  # the account ended meanwhile: whoever ends its credentials revokes this one
            raise credential_ended()
        values = {
            "serial_number": serial,
            "thumbprint": thumbprint(certificate),
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
            "issued_at": deps.clock.now(),
        }
        if not credentials.move(tx, credential, CredentialState.ACTIVE, values):
            return  # somebody was faster, with the same certificate
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
        )
        notices.certificate_issued(tx, deps, person, derivation, purpose=credential.purpose, serial=serial)
        _complete(tx, deps, derivation)


def _complete(tx: Transaction, deps: Dependencies, derivation: Derivation) -> None:
    issued = {
        credential.purpose
        for credential in credentials.of_derivation(tx, derivation.id)
        if credential.state is not CredentialState.PLANNED
    }
    if derivation.state is DerivationState.ISSUING and issued == set(derivation.purposes):
        derivations.move(tx, derivation, DerivationState.COMPLETED)
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
