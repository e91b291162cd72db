# SPDX-License-Identifier: Apache-2.0
"""Revocation status from CRLs that were brought along: a ceremony may be held where there is no network."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.kernel.errors import Malformed
from etymon.pki import revocation_data
from etymon.pki.errors import NotTrusted
from etymon.pki.status import StatusEvidence, StatusKind


class ListedStatus:
    """A `StatusSource` that knows some CRLs and nothing else."""

    def __init__(self, lists: Sequence[bytes]) -> None:
        self._lists = tuple(lists)

    def status(self, certificate: x509.Certificate, issuer: x509.Certificate, *, at: datetime) -> StatusEvidence:
        """Return the list that covers a certificate and does not name it; `NotTrusted` otherwise."""
        for data in self._lists:
            found = revocation_data.verify_crl(data, issuer, at=at)
            if found is not None and revocation_data.covers(found, certificate, ""):
                revocation_data.require_not_listed(found, certificate)
                return StatusEvidence(StatusKind.CRL, None, data, found.this_update, found.next_update)
        raise NotTrusted("status_unavailable", "None of the CRLs is a current one of the card's issuer. Bring it.")


def read(files: Sequence[Path]) -> ListedStatus:
    """Read CRLs in DER or PEM."""
    lists = []
    for file in files:
        octets = file.read_bytes()
        try:
            pem = octets.lstrip().startswith(b"-----")
            revoked = x509.load_pem_x509_crl(octets) if pem else x509.load_der_x509_crl(octets)
        except ValueError as exc:
            raise Malformed("crl_file", f"{file} is no CRL.") from exc
        lists.append(revoked.public_bytes(Encoding.DER))
    return ListedStatus(lists)
