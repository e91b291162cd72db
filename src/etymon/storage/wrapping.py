# SPDX-License-Identifier: Apache-2.0
"""Values that must be shown again, such as an enrollment token in its QR code, as ciphertext in the database.

AES-256-GCM (SP 800-38D) with a random 96-bit nonce; the row's id is authenticated with it, so that a ciphertext moved
to another row does not open.
"""

from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import DigestKey, Secret

NONCE_BYTES: Final = 12


def wrap(key: DigestKey, entropy: Entropy, purpose: str, row: UUID, value: Secret[str]) -> bytes:
    """Return `value` encrypted under a key of its own for `purpose`."""
    nonce = entropy.octets(NONCE_BYTES)
    return nonce + AESGCM(key.derive(purpose).reveal()).encrypt(nonce, value.reveal().encode(), row.bytes)


def unwrap(key: DigestKey, purpose: str, row: UUID, wrapped: bytes) -> Secret[str] | None:
    """Return what `wrap` encrypted; None where the key or the row is another one: then it has to be given again."""
    try:
        value = AESGCM(key.derive(purpose).reveal()).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], row.bytes)
    except InvalidTag:
        return None
    return Secret(value.decode())
