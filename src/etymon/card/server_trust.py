# SPDX-License-Identifier: Apache-2.0
"""Which TLS servers are believed: by trust anchors, by a pinned key, or both (RFC 5280 §6, RFC 9525).

Paths are built and checked by the library's verifier for the public web's profile.
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import verification

from etymon.kernel.errors import NotPermitted
from etymon.kernel.secret import same

CHAIN_LIMIT: Final = 10
"""Most certificates read from a server."""


class ServerNotTrusted(NotPermitted):
    """The server did not show to be the one that was meant; nothing was sent to it."""

    default_code = "server_not_trusted"


def spki_digest(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of the certificate's SubjectPublicKeyInfo (RFC 7469 §2.4)."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize()


@dataclass(frozen=True, slots=True)
class ServerTrust:
    """Trust anchors, and the SHA-256 of a public key (SPKI) that must be in the path.

    With a pin and no anchors the pinned certificate authority, found in what the server presents, is the anchor: all
    that is known beforehand is its key.
    """

    anchors: tuple[x509.Certificate, ...] = ()
    pin: bytes | None = None

    def __post_init__(self) -> None:
        if not self.anchors and self.pin is None:
            message = "trust needs an anchor or a pin"
            raise ValueError(message)

    def verify(self, presented: tuple[x509.Certificate, ...], host: str, at: datetime) -> None:
        """Accept the chain for `host` (a DNS name or an IP address) at `at`, or raise `ServerNotTrusted`."""
        if not 1 <= len(presented) <= CHAIN_LIMIT:
            raise ServerNotTrusted(detail="The server presents no certificate, or too many.")
        leaf, *intermediates = presented
        anchors = list(self.anchors) or [item for item in intermediates if self._is_pinned(item)]
        if not anchors:
            raise ServerNotTrusted("server_pin", "The pinned key is not in the server's chain.")
        try:
            builder = verification.PolicyBuilder().store(verification.Store(anchors)).time(at)
            path = builder.build_server_verifier(_subject(host)).verify(leaf, intermediates)
        except (verification.VerificationError, ValueError) as exc:
            raise ServerNotTrusted(detail=f"The server's certificate is not good for {host}: {exc}") from exc
        if self.pin is not None and not any(self._is_pinned(item) for item in path):
            raise ServerNotTrusted("server_pin", "The pinned key is not in the server's chain.")

    def _is_pinned(self, certificate: x509.Certificate) -> bool:
        return self.pin is not None and same(spki_digest(certificate), self.pin)


def _subject(host: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
