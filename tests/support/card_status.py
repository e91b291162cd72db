# SPDX-License-Identifier: Apache-2.0
"""What the issuer of cards says of them, as a test wants."""

from datetime import datetime, timedelta

from cryptography import x509

from etymon.pki.errors import NotTrusted
from etymon.pki.status import StatusEvidence, StatusKind


class CardStatus:
    """What the card issuer says of its cards."""

    def __init__(self) -> None:
        self.revoked: set[int] = set()
        self.unknown: set[int] = set()
        self.answers = True
        self.asked: list[int] = []
        self.reason = "unspecified"

    def status(self, certificate: x509.Certificate, issuer: x509.Certificate, *, at: datetime) -> StatusEvidence:
        del issuer
        self.asked.append(certificate.serial_number)
        if not self.answers or certificate.serial_number in self.unknown:
            raise NotTrusted("status_unavailable", "Nobody answers.")
        if certificate.serial_number in self.revoked:
            raise NotTrusted("revoked_by_crl", "The card was revoked.", reason=self.reason)
        return StatusEvidence(StatusKind.CRL, "http://status.example/crl", b"a raw CRL", at, at + timedelta(days=1))
