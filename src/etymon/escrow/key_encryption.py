# SPDX-License-Identifier: Apache-2.0
"""The key that wraps escrowed keys: behind a seam, so that it can live in a module of hardware."""

import hashlib
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from etymon.escrow.errors import key_unusable
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import Secret
from etymon.pki.token_keys import TokenCipher

NONCE_BYTES: Final = 12
"""A random 96-bit nonce (SP 800-38D §8.2.2: good for 2^32 wraps under one key)."""
KEY_BYTES: Final = 32


class KeyEncryptionKey(Protocol):
    """Wraps and unwraps private keys. `context` says which key it is, and must be the same both times."""

    @property
    def id(self) -> str:
        """Names the key, at most 80 characters; kept beside what it wrapped."""
        ...

    def wrap(self, plain: Secret[bytes], context: bytes) -> bytes:
        """Return `plain` enciphered and authenticated, bound to `context`."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret[bytes]:
        """Return what was wrapped; `Unavailable` `escrowed_key_unusable` for anything else."""
        ...


class SoftwareKeyEncryptionKey:
    """AES-256-GCM under a key held in memory (SP 800-38D)."""

    def __init__(self, key: Secret[bytes], entropy: Entropy) -> None:
        if len(key.reveal()) != KEY_BYTES:
            message = "a key-encryption key has 32 bytes"
            raise ValueError(message)
        self._cipher = AESGCM(key.reveal())
        self._entropy = entropy
        self.id: str = (
            "aes-256-gcm:" + hashlib.sha256(b"etymon key-encryption key id\x00" + key.reveal()).hexdigest()[:32]
        )

    def wrap(self, plain: Secret[bytes], context: bytes) -> bytes:
        """Return nonce, ciphertext and tag."""
        nonce = self._entropy.octets(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain.reveal(), context)

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret[bytes]:
        """Return what was wrapped."""
        try:
            return Secret(self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context))
        except (InvalidTag, ValueError) as exc:
            raise key_unusable() from exc


class TokenKeyEncryptionKey:
    """AES-256-GCM in a PKCS#11 token whose key never leaves it: what it wrapped opens with that token only."""

    def __init__(self, cipher: TokenCipher, entropy: Entropy) -> None:
        self._cipher = cipher
        self._entropy = entropy
        self.id: str = "aes-256-gcm:token:" + cipher.identifier().hex()[:32]

    def wrap(self, plain: Secret[bytes], context: bytes) -> bytes:
        """Return nonce, ciphertext and tag; `Unavailable` while the token is not there."""
        nonce = self._entropy.octets(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret[bytes]:
        """Return what was wrapped; `Unavailable`, with a code of its own, while the token is not there."""
        plain = self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
        if plain is None:
            raise key_unusable()
        return plain
