# SPDX-License-Identifier: Apache-2.0
"""The first half of an enrollment: what a request stands on is used in the transaction that stores its plan."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.ca import issuance
from etymon.ca.model import IssuanceRequest, Validity
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.scep import completion, errors, store
from etymon.issuer.scep.model import PROFILE, ConfirmedNames, Connector, Enrollment, EnrollmentState, Holder
from etymon.kernel.entropy import random_id
from etymon.pki.csr import ProvenCSR
from etymon.storage.database import Transaction
from etymon.wire.pkcs10 import CertificationRequest
from etymon.wire.scep_message import SignerCertificate


@dataclass(frozen=True, slots=True)
class Sender:
    """Whoever signed a message; the signature was verified with this key."""

    certificate: SignerCertificate
    public_key: rsa.RSAPublicKey

    @property
    def key_thumbprint(self) -> bytes:
        """The SHA-256 of the key's SubjectPublicKeyInfo."""
        return hashlib.sha256(self.certificate.public_key).digest()


@dataclass(frozen=True, slots=True)
class EnrollmentRequest:
    """A proven request, by whichever protocol it came. `transaction_id` is what its sender finds it again by.

    `authority` certifies it. `old_algorithms` names those that the connector lets in by exception and the message used.
    """

    connector: Connector
    authority: str
    transaction_id: bytes
    proven: ProvenCSR
    asked: CertificationRequest
    old_algorithms: str = ""

    @property
    def digest(self) -> bytes:
        """What tells the same request from another one."""
        return hashlib.sha256(self.proven.der).digest()


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a request stands on: a challenge, or the enrollment whose certificate signed it; and whose it is."""

    holder: Holder | None
    challenge: UUID | None = None
    renews: UUID | None = None

    @property
    def stands_on(self) -> str:
        """What the trail knows the authorization by."""
        return f"enrollment:{self.renews}" if self.renews else f"challenge:{self.challenge}"

    @property
    def request_key(self) -> str:
        """What the CA knows the authorization by."""
        return f"scep:{self.stands_on}"


def plan(
    tx: Transaction,
    deps: Dependencies,
    request: EnrollmentRequest,
    authorization: Authorization,
    names: ConfirmedNames,
    *,
    source: str,
) -> Enrollment:
    """Plan the certificate of an authorization that this transaction has used, and return the enrollment."""
    connector = request.connector
    planned = issuance.plan(
        tx,
        deps.ca,
        IssuanceRequest(
            ca=request.authority,
            profile=PROFILE,
            request_key=authorization.request_key,
            key=request.proven,
            subject=names.subject,
            alternative=names.alternative,
            not_after=Validity.starting(deps.clock.now(), connector.lifetime).not_after,
            authorized_by=f"scep_connector:{connector.name}",
        ),
    )
    enrollment = Enrollment(
        id=random_id(deps.entropy),
        connector=connector.name,
        connector_id=connector.id,
        officer=connector.created_by,
        challenge=authorization.challenge,
        renews=authorization.renews,
        transaction_id=request.transaction_id,
        request_digest=request.digest,
        key_thumbprint=request.proven.spki_sha256,
        holder=authorization.holder,
        certificate=planned.id,
        state=EnrollmentState.PLANNED,
        planned_at=deps.clock.now(),
    )
    if not store.add_enrollment(tx, enrollment):
        raise errors.challenge_used() if authorization.challenge else errors.renewed_before()
    completion.enqueue_finish(tx, deps, enrollment, request.proven.der)
    record(
        tx,
        deps,
        "scep_enrollment:authorized",
        actor=f"scep_connector:{connector.name}",
        subject=enrollment.id,
        source=source,
        stands_on=authorization.stands_on,
        officer=str(connector.created_by),
        old_algorithms=request.old_algorithms,
    )
    return enrollment


def planned_before(enrollment: Enrollment | None, request: EnrollmentRequest) -> Enrollment | None:
    """Return an enrollment if it is this very request's; None if it is another's. `enrollment_ended` if it is over."""
    if enrollment is None or enrollment.request_digest != request.digest:
        return None
    if enrollment.state is EnrollmentState.ENDED:
        raise errors.enrollment_ended()
    return enrollment
