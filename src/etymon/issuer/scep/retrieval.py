# SPDX-License-Identifier: Apache-2.0
"""GetCert and GetCRL (RFC 8894 §3.3.4, §3.3.5). A certificate is given to the holder of its key and to nobody else."""

from cryptography import x509

from etymon.ca import authorities, certificates, crl
from etymon.ca.model import CertificateState
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.scep import errors, store
from etymon.issuer.scep.model import AUTHORITY, Connector, EnrollmentState
from etymon.issuer.scep.planning import Sender
from etymon.wire.scep import CertificateIdentity


def certificate(deps: Dependencies, connector: Connector, sender: Sender, asked: CertificateIdentity) -> bytes:
    """Return the sender's own certificate with that number as DER; `certificate_unknown` for any other."""
    with deps.database.snapshot() as tx:
        _require_our_authority(asked, authorities.load(tx, AUTHORITY).certificate)
        for enrollment in store.enrollments_by_key(tx, connector, sender.key_thumbprint):
            record = certificates.find(tx, enrollment.certificate)
            if record is None or record.serial != asked.serial_number or record.der is None:
                continue
            if record.state is CertificateState.ISSUED and enrollment.state is EnrollmentState.ACTIVE:
                return record.der
    raise errors.certificate_unknown()


def revocation_list(deps: Dependencies, asked: CertificateIdentity) -> bytes:
    """Return the authority's CRL as DER; `certificate_unknown` for the number of another authority's certificate."""
    with deps.database.snapshot() as tx:
        _require_our_authority(asked, authorities.load(tx, AUTHORITY).certificate)
    return crl.current(deps.ca, AUTHORITY).der


def _require_our_authority(asked: CertificateIdentity, authority: x509.Certificate) -> None:
    if asked.issuer != authority.subject.public_bytes():
        raise errors.certificate_unknown()
