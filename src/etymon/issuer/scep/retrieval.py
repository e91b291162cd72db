# SPDX-License-Identifier: Apache-2.0
"""GetCert and GetCRL (RFC 8894 §3.3.4, §3.3.5). A certificate is given to the holder of its key and to nobody else."""

from etymon.ca import authorities, certificates, crl
from etymon.ca.model import CertificateState
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.scep import errors, store
from etymon.issuer.scep.model import HIERARCHY, Connector, EnrollmentState
from etymon.issuer.scep.planning import Sender
from etymon.storage.database import Transaction
from etymon.wire.scep import CertificateIdentity


def certificate(deps: Dependencies, connector: Connector, sender: Sender, asked: CertificateIdentity) -> bytes:
    """Return the sender's own certificate with that number as DER; `certificate_unknown` for any other."""
    with deps.database.snapshot() as tx:
        authority = _authority(tx, asked)
        for enrollment in store.enrollments_by_key(tx, connector, sender.key_thumbprint):
            record = certificates.find(tx, enrollment.certificate)
            if record is None or record.der is None or (record.ca, record.serial) != (authority, asked.serial_number):
                continue
            if record.state is CertificateState.ISSUED and enrollment.state is EnrollmentState.ACTIVE:
                return record.der
    raise errors.certificate_unknown()


def revocation_list(deps: Dependencies, asked: CertificateIdentity) -> bytes:
    """Return the CRL of the certificate's issuer as DER; `certificate_unknown` where that is not the connectors'."""
    with deps.database.snapshot() as tx:
        authority = _authority(tx, asked)
    return crl.current(deps.ca, authority).der


def _authority(tx: Transaction, asked: CertificateIdentity) -> str:
    """Return the name of the authority that a question names as issuer: the present one, or one before it."""
    for authority in authorities.issuing(tx, HIERARCHY):
        if asked.issuer == authority.certificate.subject.public_bytes():
            return authority.name
    raise errors.certificate_unknown()
