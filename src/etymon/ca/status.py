# SPDX-License-Identifier: Apache-2.0
"""The status of our own authorities' certificates, read from the database and not from ourselves over HTTP."""

from datetime import datetime

from cryptography import x509

from etymon.ca import store
from etymon.ca.model import CertificateState
from etymon.pki.certificate import spki_sha256, thumbprint
from etymon.pki.errors import NotTrusted
from etymon.pki.status import StatusEvidence, StatusKind
from etymon.storage.database import Database


class DatabaseStatusSource:
    """Answers for every certificate that authorities of this deployment issued; for others there is no status."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def status(self, certificate: x509.Certificate, issuer: x509.Certificate, *, at: datetime) -> StatusEvidence:
        """Return evidence that `certificate` is in force; raise `NotTrusted` if it is held, revoked or not ours."""
        with self._database.snapshot() as tx:
            state = store.state_of_issued(tx, thumbprint(certificate), spki_sha256(issuer))
        if state is None:
            raise NotTrusted("status_unavailable", "This certificate was not issued here. Use the one you were given.")
        if state is CertificateState.HELD:
            raise NotTrusted("held_by_database", "This certificate is held for now. Ask who gave it to you.")
        if state is not CertificateState.ISSUED:
            raise NotTrusted("revoked_by_database", "This certificate was revoked. Ask for a new one.")
        return StatusEvidence(StatusKind.DATABASE, url=None, der=b"", this_update=at, next_update=None)
