# SPDX-License-Identifier: Apache-2.0
"""Who is at the device listener: a device identity of an authority this organisation trusts for devices.

Validating a path costs signatures; a validated one is remembered for a minute, as long as the trust entries for devices
are the same. That, and the revocation of the device and of the authorities above it, is asked every time: for our own
authorities these are reads of the database, and each takes effect with the commit that made it.
"""

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Final

from cryptography import x509

from etymon.directory import trust
from etymon.directory.model import EntryVersion
from etymon.directory.remembered_paths import RememberedPaths
from etymon.kernel.clock import Clock
from etymon.kernel.errors import DecodeError, Malformed, NotAuthenticated
from etymon.pki import certificate as certificates
from etymon.pki.errors import NotTrusted
from etymon.pki.path_validation import validate
from etymon.pki.status import StatusSource
from etymon.pki.trust_entry import TrustEntry, TrustKind
from etymon.storage.database import Database
from etymon.web.peer_certificate import PeerCertificate

OTHER_KINDS: Final = frozenset({"untrusted_root", "wrong_policy", "wrong_certificate_kind"})
"""What path validation says of a certificate that is no device identity."""

REVOKED: Final = frozenset({"revoked_by_database", "revoked_by_ocsp", "revoked_by_crl"})


class DeviceDoor:
    """Judges TLS peers; shared by all requests of a process."""

    def __init__(self, database: Database, clock: Clock, status_of: Callable[[TrustEntry], StatusSource]) -> None:
        self._database = database
        self._clock = clock
        self._status_of = status_of
        self._remembered = RememberedPaths()

    def judge(self, peer: PeerCertificate | None) -> bytes:
        """Return the thumbprint of the peer's device identity.

        Raises NotAuthenticated `device_identity_required` without a certificate, NotTrusted `wrong_certificate_kind`
        for one that is no device identity, `device_not_managed` for one that was revoked or whose authority was, and
        with the reason for one that is not valid now. May ask for revocation status: call it outside transactions.
        """
        try:
            return self._judge(peer)
        except NotTrusted as refusal:
            if refusal.code in REVOKED:
                raise NotTrusted(
                    "device_not_managed", "This device is not managed here any more. Enroll it again."
                ) from refusal
            raise

    def _judge(self, peer: PeerCertificate | None) -> bytes:
        if peer is None:
            raise NotAuthenticated("device_identity_required", "Connect with the device identity certificate.")
        try:
            leaf = certificates.load(peer.der)
        except (Malformed, DecodeError) as exc:
            raise NotTrusted("wrong_certificate_kind", "The certificate cannot be read.") from exc
        thumbprint = certificates.thumbprint(leaf)
        now = self._clock.now()
        known = self._remembered.recall(thumbprint, self._trusted(), now)
        if known is None:
            self._validate(leaf, thumbprint, now)
        else:
            status = self._status_of(known.entry)
            for certificate, issuer in pairwise(known.certificates):
                status.status(certificate, issuer, at=now)
        return thumbprint

    def _validate(self, leaf: x509.Certificate, thumbprint: bytes, now: datetime) -> None:
        with self._database.snapshot() as tx:
            entries = trust.entries(tx, kind=TrustKind.DEVICE)
            trusted = trust.versions(tx, TrustKind.DEVICE)
        for entry in entries:
            try:
                path = validate(leaf, entry, at=now, status=self._status_of(entry))
            except NotTrusted as refusal:
                if refusal.code in OTHER_KINDS:
                    continue
                raise
            self._remembered.remember(thumbprint, path, entry, trusted)
            return
        raise NotTrusted("wrong_certificate_kind", "Only the device identity certificate is taken here.")

    def _trusted(self) -> tuple[EntryVersion, ...]:
        with self._database.snapshot() as tx:
            return trust.versions(tx, TrustKind.DEVICE)
