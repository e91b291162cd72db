# SPDX-License-Identifier: Apache-2.0
"""The pin of a key: what a QR code carries so that a phone accepts one chain and no other."""

import base64

from cryptography import x509

from etymon.pki.certificate import spki_sha256


def spki_pin(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the SubjectPublicKeyInfo as unpadded base64url (RFC 7469 §2.4 uses the same hash)."""
    return base64.urlsafe_b64encode(spki_sha256(certificate)).rstrip(b"=").decode("ascii")
