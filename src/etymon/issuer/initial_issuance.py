# SPDX-License-Identifier: Apache-2.0
"""Initial issuance (SP 800-157 §2.2): begun by a card session, redeemed by the phone, one certificate a purpose.

The order is: prove, authorize, plan in the transaction that uses the authorization, sign outside it.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cryptography import x509

from etymon.audit.refusals import is_refusal
from etymon.escrow.model import GeneratedKey
from etymon.issuer import (
    approval,
    completion,
    device_identity,
    duties,
    eligibility,
    errors,
    escrowed_key,
    link_key,
    link_secret,
    linking,
    planning,
    revoked_authorities,
)
from etymon.issuer.attestation import judging
from etymon.issuer.attestation.judging import Judged
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import (
    AUTHORIZING,
    LINK_LIFETIME,
    PROOF_LIFETIME,
    PROOF_LIFETIME_AT_START,
    CardSession,
    Credential,
    Derivation,
    DerivationState,
    DeviceIdentity,
    EndReason,
    Purpose,
)
from etymon.issuer.planning import EnrollmentRequest
from etymon.issuer.store import derivations
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import Secret
from etymon.pki import csr
from etymon.pki.certificate import spki
from etymon.pki.csr import ProvenCSR
from etymon.storage.database import Transaction
from etymon.wire import est, link_qr
from etymon.wire.link_qr import LinkQR


@dataclass(frozen=True, slots=True)
class Begun:
    """A link that waits for its phone. `qr`, the text of the QR code, and `password` are shown once and not kept."""

    derivation: Derivation
    qr: Secret[str]
    password: Secret[str] | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A certificate for the phone; for encryption with its key, enveloped to the phone's transport key."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    enveloped_key: bytes | None


def begin(deps: Dependencies, session: CardSession, *, duties_version: str, source: str) -> Begun:
    """Begin a derivation for the person at a card session who has accepted these duties; older codes end.

    Raises `duties_not_accepted`, `card_proof_old`, `too_many_derivations`, `approval_required`, `authority_revoked` and
    what eligibility refuses.
    """
    if duties_version != duties.VERSION:
        raise errors.duties_not_accepted()
    now = deps.clock.now()
    if now >= session.proved_at + PROOF_LIFETIME_AT_START:
        raise errors.card_proof_old()
    secret = link_secret.new_secret(deps.entropy)
    with deps.database.transaction() as tx:
        derivations.lock_all_of(tx, session.person)
        in_use = eligibility.devices_in_use(tx, deps.clock, session.person)
        applicant = eligibility.applicant(tx, session.person)
        eligibility.require_bound(tx, session.proof, session.person)
        if in_use >= applicant.rule.most_derivations:
            raise errors.too_many_derivations(applicant.rule.most_derivations)
        revoked_authorities.require_in_force(tx, deps)
        request = approval.required(tx, deps, session.person, applicant.rule)
        password = link_secret.new_password(deps.entropy) if applicant.rule.link_password else None
        derivation = Derivation(
            id=random_id(deps.entropy),
            state=DerivationState.BEGUN,
            person=session.person,
            rule=applicant.rule.id,
            proof=session.proof,
            session=session.id,
            purposes=applicant.rule.purposes,
            duties_version=duties_version,
            begun_at=now,
            begun_from=source,
            expires_at=min(now + LINK_LIFETIME, session.proved_at + PROOF_LIFETIME),
            undo=random_id(deps.entropy),
            asks_password=password is not None,
            request=request,
        )
        _supersede(tx, deps, session.person)
        derivations.add(tx, derivation, link_secret.digest(deps, secret, password))
        record(
            tx,
            deps,
            "derivation:begun",
            actor=f"person:{session.person}",
            subject=derivation.id,
            source=source,
            rule=str(applicant.rule.id),
            officer=str(applicant.rule.created_by),
            card_proof=str(session.proof),
            duties=duties_version,
            request=str(request or ""),
        )
    digits = len(password.reveal()) if password else 0
    qr = LinkQR(deps.issuer_url, derivation.id, secret, link_qr.pin_octets(deps.tls_pin), digits)
    return Begun(derivation, link_qr.encode(qr), password)


def redeem(deps: Dependencies, request: EnrollmentRequest, device: DeviceIdentity | None, *, source: str) -> Enrolled:
    """Return the certificate an authorization is good for; the same for the same body while it lives.

    Raises `authorization_unknown`, `other_device`, `link_proof_wrong`, `purpose_not_authorized`, `key_not_linked`,
    `key_type_not_allowed`, `authorization_used` for another body, `credential_ended`, and `Unavailable` when
    issuing is stopped.
    """
    try:
        return _redeem(deps, request, device, source=source)
    except EtymonError as refusal:
        if is_refusal(refusal):
            deps.refusals.record(
                "issuer:credential:refused",
                actor=linking.actor_of(device),
                subject=_named(deps, request),
                source=source,
                purpose=request.purpose.value,
                code=refusal.code,
            )
        refusal.is_noted = True
        raise


def _redeem(deps: Dependencies, request: EnrollmentRequest, device: DeviceIdentity | None, *, source: str) -> Enrolled:
    derivation = _authorized(deps, request, device)
    proven = csr.verify_proof_of_possession(est.decode_body(request.body))
    judged = judging.judge(
        deps,
        request.purpose,
        proven.public_key,
        est.attestation(proven.der),
        challenges=(link_qr.request_attestation_challenge(request.authorization, request.purpose.value),),
    )
    if request.purpose is Purpose.ENCRYPTION:
        return _redeem_with_escrow(deps, derivation, request, proven, judged, source=source)
    if request.purpose is Purpose.AUTHENTICATION and derivation.link and spki(proven.public_key) != derivation.link.key:
        raise errors.key_not_linked()
    credential = _plan(deps, derivation, request, proven, judged, source=source)
    issued = completion.finish_now(deps, credential.id)
    return Enrolled(issued.certificate, issued.chain, None)


def _redeem_with_escrow(
    deps: Dependencies,
    derivation: Derivation,
    request: EnrollmentRequest,
    proven: ProvenCSR,
    judged: Judged,
    *,
    source: str,
) -> Enrolled:
    """Have escrow make and keep the key before it is certified, and envelope it to the request's own key."""
    transport = escrowed_key.transport_key(proven)
    with deps.database.snapshot() as tx:
        is_used = derivations.request_digest(tx, derivation.id, request.purpose) is not None
        key_type = eligibility.still_applicant(tx, derivation).rule.encryption_key_type
    generated = None if is_used else escrowed_key.generate(deps, derivation, transport, key_type)
    credential = _plan(deps, derivation, request, generated, judged, source=source)
    issued = completion.finish_now(deps, credential.id)
    enveloped = escrowed_key.enveloped(deps, credential, transport, reason="initial issuance", source=source)
    return Enrolled(issued.certificate, issued.chain, enveloped)


def _plan(
    deps: Dependencies,
    derivation: Derivation,
    request: EnrollmentRequest,
    key: ProvenCSR | GeneratedKey | None,
    judged: Judged,
    *,
    source: str,
) -> Credential:
    with deps.database.transaction() as tx:
        locked = _live(derivations.lock(tx, derivation.id), deps.clock.now())
        return planning.use_authorization(tx, deps, locked, request, key, judged, source=source)


def _named(deps: Dependencies, request: EnrollmentRequest) -> str:
    """Return which derivation an authorization is of, for the trail, whether it lives or not."""
    with deps.database.snapshot() as tx:
        derivation = derivations.by_authorization(tx, linking.authorization_digest(deps, request.authorization))
    return str(derivation.id) if derivation else "derivation"


def _supersede(tx: Transaction, deps: Dependencies, person: UUID) -> None:
    """End links of the person that no PC has confirmed: a new code ends the old ones."""
    for older in derivations.of_person(tx, person, {DerivationState.BEGUN, DerivationState.REDEEMED}):
        values = derivations.ended_values(EndReason.SUPERSEDED, deps.clock.now())
        derivations.move(tx, older, DerivationState.ENDED, values)
        record(tx, deps, "derivation:ended", actor=f"person:{person}", subject=older.id, reason="superseded")


def _authorized(deps: Dependencies, request: EnrollmentRequest, device: DeviceIdentity | None) -> Derivation:
    with deps.database.snapshot() as tx:
        found = derivations.by_authorization(tx, linking.authorization_digest(deps, request.authorization))
    derivation = _live(found, deps.clock.now())
    link = derivation.link
    if link is None:
        raise errors.authorization_unknown()
    device_identity.require_same(link.device, device)
    message = link_qr.request_message(request.purpose.value, request.body)
    link_key.require_signature(link.key, message, request.proof)
    if request.purpose not in derivation.purposes:
        raise errors.purpose_not_authorized()
    return derivation


def _live(derivation: Derivation | None, now: datetime) -> Derivation:
    if derivation is None or derivation.state not in AUTHORIZING or now >= derivation.expires_at:
        raise errors.authorization_unknown()
    return derivation
