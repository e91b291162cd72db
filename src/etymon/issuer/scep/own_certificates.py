# SPDX-License-Identifier: Apache-2.0
"""Recognizing a certificate that a connector gave out, by nothing but its very bytes."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from etymon.ca import authorities, certificates
from etymon.ca.model import CertificateRecord, CertificateState
from etymon.issuer.scep import errors, store
from etymon.issuer.scep.model import Connector, Enrollment, EnrollmentState
from etymon.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate of a connector's, whatever became of it."""

    enrollment: Enrollment
    record: CertificateRecord


def find(tx: Transaction, connector: Connector, certificate: bytes) -> OwnCertificate | None:
    """Return the connector's certificate of these bytes; None for any other, of our authorities or not."""
    record = certificates.find_by_thumbprint(tx, hashlib.sha256(certificate).digest())
    enrollment = store.enrollment_by_certificate(tx, connector, record.id) if record else None
    return OwnCertificate(enrollment, record) if enrollment and record else None


def require_in_force(tx: Transaction, own: OwnCertificate, now: datetime) -> None:
    """Raise `certificate_revoked` or `certificate_expired` unless certificate and issuer are good now."""
    if own.record.state is not CertificateState.ISSUED or own.enrollment.state is not EnrollmentState.ACTIVE:
        raise errors.certificate_revoked()
    if authorities.is_revoked(tx, own.record.ca):  # a successor's certificate would launder what its key signed
        raise errors.certificate_revoked()
    if not own.record.not_before <= now <= own.record.not_after:
        raise errors.certificate_expired()
