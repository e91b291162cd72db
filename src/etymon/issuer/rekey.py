# SPDX-License-Identifier: Apache-2.0
"""Rekey (SP 800-157 §2.3, Common Policy 3.3.1 and 4.7): a new key and certificate in place of one that is in force.

The derived authentication credential speaks for its derivation, over mutual TLS: for itself, and for the signature and
encryption beside it. A certificate is replaced once; which request did that is kept with what replaced it.
"""

import hashlib
from dataclasses import dataclass

from etymon.audit import sealer
from etymon.ca import certificates
from etymon.ca.model import CertificateState
from etymon.escrow.model import GeneratedKey
from etymon.issuer import (
    card_recheck,
    coming_ends,
    completion,
    derived_credential,
    eligibility,
    errors,
    escrowed_key,
    planning,
    superseding,
)
from etymon.issuer.attestation import challenges, judging
from etymon.issuer.attestation.judging import Judged
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.initial_issuance import Enrolled
from etymon.issuer.model import Credential, CredentialState, Derivation, Purpose
from etymon.issuer.store import credentials, derivations
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import NotPermitted
from etymon.pki import csr
from etymon.pki.csr import ProvenCSR
from etymon.storage.database import Transaction
from etymon.web.peer_certificate import PeerCertificate
from etymon.wire import est


@dataclass(frozen=True, slots=True)
class RekeyRequest:
    """What a phone sends for one purpose. `body` is the bytes as sent."""

    purpose: Purpose
    body: bytes

    @property
    def digest(self) -> bytes:
        """What tells the same request from another one."""
        return hashlib.sha256(self.body).digest()


def rekey(deps: Dependencies, request: RekeyRequest, peer: PeerCertificate | None, *, source: str) -> Enrolled:
    """Return the certificate that replaces the one in force for a purpose; the same for the same request.

    Raises what `derived_credential.judge` refuses, `already_rekeyed` for another request or an old certificate,
    `rekey_not_due`, what eligibility and the card refuse, `Conflict` `key_already_certified` for a key that is not
    new, and `Unavailable` when issuing is stopped, the card's status is not told, or the certificate is not made yet.
    """
    asking = derived_credential.judge(deps, peer, source=source)
    with deps.refusals.noted(
        derived_credential.REFUSED_EVENT,
        actor=f"person:{asking.person}",
        subject=str(asking.id),
        source=source,
        purpose=request.purpose.value,
    ):
        try:
            return _rekey(deps, asking, request, source=source)
        except NotPermitted as refusal:  # of all others the phone makes sense by itself, and of this one
            if refusal.code != "rekey_not_due":
                coming_ends.rekey_refused(deps, asking)
            raise


def _rekey(deps: Dependencies, asking: Credential, request: RekeyRequest, *, source: str) -> Enrolled:
    proven = csr.verify_proof_of_possession(est.decode_body(request.body))
    transport = escrowed_key.transport_key(proven) if request.purpose is Purpose.ENCRYPTION else None
    with deps.database.snapshot() as tx:
        derivation = derivations.find(tx, asking.derivation)
        planned = _planned_before(tx, asking, request)
        replaced = None if planned else _replaceable(tx, deps, asking, request.purpose)
        rule = eligibility.applicant(tx, asking.person).rule if replaced and transport else None
    if planned is None and derivation is not None and replaced is not None:
        key: ProvenCSR | GeneratedKey = proven
        if transport is not None and rule is not None:
            key = escrowed_key.generate(deps, derivation, transport, rule.encryption_key_type)
        judged = judging.judge(
            deps,
            request.purpose,
            proven.public_key,
            est.attestation(proven.der),
            challenges=challenges.taken(deps, asking, request.purpose),
        )
        card = card_recheck.require_good(deps, asking.person)
        planned = _plan(deps, asking, request, key, judged, card=card, source=source)
    if planned is None:
        raise errors.credential_unknown()
    issued = completion.finish_now(deps, planned.id)
    enveloped = None
    if transport is not None:
        enveloped = escrowed_key.enveloped(deps, planned, transport, reason="rekey", source=source)
    return Enrolled(issued.certificate, issued.chain, enveloped)


def _plan(
    deps: Dependencies,
    asking: Credential,
    request: RekeyRequest,
    key: ProvenCSR | GeneratedKey,
    judged: Judged,
    *,
    card: str,
    source: str,
) -> Credential:
    """Replace the certificate in force, once, in the transaction that stores what will be signed."""
    with deps.database.transaction() as tx:
        derivation = _locked(tx, asking)
        planned = _planned_before(tx, asking, request)
        if planned is not None:
            return planned
        replaced = _replaceable(tx, deps, asking, request.purpose)
        sealer.require_live(tx, deps.clock)
        applicant = eligibility.of_rekey(tx, deps.clock, derivation, request.purpose)
        credential = planning.plan(
            tx,
            deps,
            derivation,
            applicant,
            request.purpose,
            key,
            judged,
            request_key=f"rekey:{replaced.id}:{random_id(deps.entropy)}",  # which may be used once, the credentials say
            replaces=replaced.id,
            request_digest=request.digest,
        )
        superseding.used(tx, deps, asking, source=source)
        record(
            tx,
            deps,
            "credential:rekey_authorized",
            actor=f"person:{asking.person}",
            subject=credential.id,
            source=source,
            purpose=request.purpose.value,
            derivation=str(derivation.id),
            replaces=str(replaced.id),
            authenticated_by=str(asking.id),
            rule=str(applicant.rule.id),
            officer=str(applicant.rule.created_by),
            card=card,
        )
        return credential


def _planned_before(tx: Transaction, asking: Credential, request: RekeyRequest) -> Credential | None:
    """Return what this very request led to before; None for a new one."""
    for credential in credentials.chain(tx, asking.derivation, request.purpose):
        if credential.replaces is not None and credential.request_digest == request.digest:
            if request.purpose is Purpose.AUTHENTICATION and credential.replaces != asking.id:
                raise errors.already_rekeyed()
            if credential.state is CredentialState.ENDED:
                raise errors.credential_ended()
            return credential
    return None


def _replaceable(tx: Transaction, deps: Dependencies, asking: Credential, purpose: Purpose) -> Credential:
    """Return the credential in force for a purpose, if nothing replaced it or the one that asks, and its time came."""
    present = derived_credential.in_force(tx, asking.thumbprint or b"")
    if credentials.replacement_of(tx, present.id) is not None:
        raise errors.already_rekeyed()
    chain = credentials.chain(tx, asking.derivation, purpose)
    newest, now = chain[-1] if chain else None, deps.clock.now()
    if newest is not None and newest.state is CredentialState.PLANNED:
        raise errors.already_rekeyed()
    if newest is None or newest.state is not CredentialState.ACTIVE or newest.not_after is None:
        raise errors.credential_unknown()
    if now > newest.not_after:
        raise errors.credential_over()
    kept = certificates.find(tx, newest.certificate)
    if kept is None or kept.state is not CertificateState.ISSUED:  # held, if it is not about to end
        raise errors.credential_unknown()
    if newest.rekey_from is not None and now < newest.rekey_from:
        raise errors.rekey_not_due(newest.rekey_from)
    return newest


def _locked(tx: Transaction, asking: Credential) -> Derivation:
    derivation = derivations.lock(tx, asking.derivation)
    if derivation is None:
        raise errors.credential_unknown()
    return derivation
