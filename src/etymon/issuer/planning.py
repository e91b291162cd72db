# SPDX-License-Identifier: Apache-2.0
"""The first half of an issuance: the authorization is used in the transaction that stores what will be signed."""

import hashlib
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from etymon.audit import sealer
from etymon.ca import issuance
from etymon.ca.model import IssuanceRequest, PlannedCertificate, SubjectNames, Validity
from etymon.directory import bindings, people
from etymon.escrow import deposit
from etymon.escrow.model import GeneratedKey
from etymon.issuer import certified_names, completion, eligibility, errors
from etymon.issuer.attestation import judging
from etymon.issuer.attestation.judging import Judged
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.derived_identifier import identifier_of
from etymon.issuer.eligibility import Applicant
from etymon.issuer.model import Credential, CredentialState, Derivation, DerivationState, Purpose
from etymon.issuer.store import credentials, derivations
from etymon.kernel.entropy import random_id
from etymon.kernel.secret import Secret
from etymon.pki import csr
from etymon.pki.algorithms import key_type
from etymon.pki.csr import CertifiableKey, ProvenCSR
from etymon.storage.database import Transaction

PROFILES: Final = {
    Purpose.AUTHENTICATION: "derived-piv-authentication",
    Purpose.SIGNATURE: "derived-digital-signature",
    Purpose.ENCRYPTION: "derived-key-management",
}


@dataclass(frozen=True, slots=True)
class EnrollmentRequest:
    """What a phone sends for one purpose. `body` is the bytes as sent, `proof` the link key's signature over them."""

    purpose: Purpose
    authorization: Secret[str]
    proof: bytes
    body: bytes

    @property
    def digest(self) -> bytes:
        """What tells the same request from another one."""
        return hashlib.sha256(self.body).digest()


def use_authorization(
    tx: Transaction,
    deps: Dependencies,
    derivation: Derivation,
    request: EnrollmentRequest,
    key: ProvenCSR | GeneratedKey | None,
    judged: Judged,
    *,
    source: str,
) -> Credential:
    """Use the authorization of a locked, live derivation and plan the certificate it is good for.

    `key` is the phone's, or the one escrow made; None where the authorization was seen used. What
    this very request planned before is returned again; another request is `authorization_used`.
    """
    if not derivations.use_authorization(tx, derivation.id, request.purpose, request.digest, deps.clock.now()):
        return _planned_before(tx, derivation, request)
    sealer.require_live(tx, deps.clock)
    people.keep_active(tx, derivation.person)  # nothing is planned once the account has ended
    applicant = eligibility.still_applicant(tx, derivation)
    if derivation.state is DerivationState.CONFIRMED:
        derivations.move(tx, derivation, DerivationState.ISSUING)
        derivation = replace(derivation, state=DerivationState.ISSUING)
    if key is None:
        raise errors.issuance_unfinished()
    request_key = f"derivation:{derivation.id}:{request.purpose.value}"
    credential = plan(tx, deps, derivation, applicant, request.purpose, key, judged, request_key=request_key)
    record(
        tx,
        deps,
        "credential:authorized",
        actor=f"person:{derivation.person}",
        subject=credential.id,
        source=source,
        purpose=request.purpose.value,
        derivation=str(derivation.id),
        rule=str(applicant.rule.id),
        officer=str(applicant.rule.created_by),
    )
    return credential


def plan(
    tx: Transaction,
    deps: Dependencies,
    derivation: Derivation,
    applicant: Applicant,
    purpose: Purpose,
    key: ProvenCSR | GeneratedKey,
    judged: Judged,
    *,
    request_key: str,
    replaces: UUID | None = None,
    request_digest: bytes | None = None,
) -> Credential:
    """Store what will be signed, with today's names, as a credential of a locked derivation that a worker may finish.

    `request_key` is the authority's name for the authorization, `judged` what was found of the request's own key.
    Raises `key_type_not_allowed`, what `judging.accept` refuses, `Conflict` for a key that was ever certified, and
    what the authority refuses.
    """
    judging.accept(tx, deps, judged, applicant.rule, derivation.id, actor=f"person:{derivation.person}")
    planned = _plan(tx, deps, applicant, purpose, key=_certifiable(tx, deps, applicant, key), request_key=request_key)
    device = derivation.link.device if derivation.link else None
    credential = Credential(
        id=random_id(deps.entropy),
        derivation=derivation.id,
        purpose=purpose,
        person=derivation.person,
        device_trust_entry=device.trust_entry if device else None,
        device_thumbprint=device.thumbprint if device else None,
        certificate=planned.id,
        escrowed_key=key.id if isinstance(key, GeneratedKey) else None,
        state=CredentialState.PLANNED,
        planned_at=deps.clock.now(),
        replaces=replaces,
        request_digest=request_digest,
        rule=applicant.rule.id,
    )
    credentials.add(tx, credential)
    completion.enqueue_finish(tx, deps, credential)
    return credential


def _planned_before(tx: Transaction, derivation: Derivation, request: EnrollmentRequest) -> Credential:
    if derivations.request_digest(tx, derivation.id, request.purpose) != request.digest:
        raise errors.authorization_used()
    planned = credentials.by_purpose(tx, derivation.id, request.purpose)
    if planned is None or planned.state is CredentialState.ENDED:
        raise errors.credential_ended()
    return planned


def _certifiable(
    tx: Transaction, deps: Dependencies, applicant: Applicant, key: ProvenCSR | GeneratedKey
) -> CertifiableKey:
    """Return the key as one that may be certified; one that escrow made is kept first (Common Policy 4.12.1)."""
    if isinstance(key, GeneratedKey):
        return csr.hold(deposit.deposit(tx, deps.escrow, key).public_key)
    if key_type(key.public_key) not in applicant.rule.key_types:
        raise errors.key_type_not_allowed()
    return key


def _plan(
    tx: Transaction,
    deps: Dependencies,
    applicant: Applicant,
    purpose: Purpose,
    *,
    key: CertifiableKey,
    request_key: str,
) -> PlannedCertificate:
    person = applicant.person
    common_name, alternative = certified_names.names(person, purpose)
    planned = issuance.plan(
        tx,
        deps.ca,
        IssuanceRequest(
            ca=deps.authority,
            profile=PROFILES[purpose],
            request_key=request_key,
            key=key,
            # the person's random id keeps two people of one name apart (RFC 5280 §4.1.2.6)
            subject=SubjectNames(
                common_name=common_name,
                organization=deps.subject_organization,
                serial_number=str(person.id),
            ),
            alternative=alternative,
            not_after=Validity.starting(deps.clock.now(), applicant.rule.lifetime).not_after,
            authorized_by=f"rule:{applicant.rule.id}",
        ),
    )
    if purpose is Purpose.AUTHENTICATION:
        bindings.bind(
            tx,
            deps,
            trust_entry=deps.trust_entry,
            identifier=identifier_of(tx, planned.id),
            person_id=person.id,
            actor=f"rule:{applicant.rule.id}",
        )
    return planned
