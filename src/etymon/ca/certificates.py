# SPDX-License-Identifier: Apache-2.0
"""Finding certificates of our own, and the files that hold the authorities' certificates."""

from datetime import datetime
from uuid import UUID

from cryptography import x509

from etymon.ca import issuance, store
from etymon.ca.model import Authority, CertificateRecord, CertificateState
from etymon.pki.certificate import thumbprint, to_der
from etymon.storage.database import Transaction
from etymon.wire import cms


def find(tx: Transaction, certificate_id: UUID) -> CertificateRecord | None:
    """Return a certificate by its id."""
    return store.find_certificate(tx, certificate_id)


def find_issued(tx: Transaction, certificate: x509.Certificate) -> CertificateRecord | None:
    """Return our record of a certificate, whatever became of it; None if we did not issue exactly this one."""
    return store.find_by_thumbprint(tx, thumbprint(certificate))


def find_by_thumbprint(tx: Transaction, sha256: bytes) -> CertificateRecord | None:
    """Return our record of the certificate whose DER has this SHA-256, whatever became of it."""
    return store.find_by_thumbprint(tx, sha256)


def in_use(tx: Transaction, name: str, now: datetime) -> dict[str, int]:
    """Return how many certificates of an authority are good or on hold, by profile."""
    return store.count_in_use(tx, name, now)


def own_certificates(tx: Transaction, name: str) -> bytes:
    """Return certs-only CMS of an authority's own certificates, without a self-signed one (RFC 5280 §4.2.2.1)."""
    authority = issuance.find_authority(tx, name)
    return cms.encode_certificates([] if authority.parent is None else [to_der(authority.certificate)])


def issued_authorities(tx: Transaction, name: str) -> bytes:
    """Return certs-only CMS of the authorities that an authority certified (RFC 5280 §4.2.2.2)."""
    issuance.find_authority(tx, name)
    return cms.encode_certificates([to_der(child.certificate) for child in _valid(tx, store.children(tx, name))])


def _valid(tx: Transaction, authorities: tuple[Authority, ...]) -> list[Authority]:
    return [
        authority
        for authority in authorities
        if (record := find_issued(tx, authority.certificate)) is not None and record.state is CertificateState.ISSUED
    ]
