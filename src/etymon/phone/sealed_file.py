# SPDX-License-Identifier: Apache-2.0
"""Files only this phone reads: encrypted under its device secret, replaced whole or not at all.

The device secret stands for what a real phone keeps in its secure hardware. Here it is a file beside the others: a copy
of the whole directory is a copy of the phone, and only what the activation secret protects stays closed to its finder.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
LIMIT_BYTES: Final = 4 * 1024 * 1024


def device_secret(path: Path, entropy: Entropy) -> Secret[bytes]:
    """Return the phone's device secret; the first call makes it."""
    try:
        octets = path.read_bytes()
    except FileNotFoundError:
        octets = entropy.octets(KEY_BYTES)
        replace(path, octets)
    if len(octets) != KEY_BYTES:
        raise Unavailable("device_secret_damaged", "The phone's device secret is damaged. Start with a new phone.")
    return Secret(octets)


def derive(key: Secret[bytes], purpose: str, *, salt: bytes = b"") -> Secret[bytes]:
    """Return a 32-byte key of its own for `purpose` (HKDF-SHA-256, RFC 5869)."""
    expansion = HKDF(hashes.SHA256(), KEY_BYTES, salt or None, purpose.encode())
    return Secret(expansion.derive(key.reveal()))


def seal(key: Secret[bytes], purpose: str, plain: bytes, entropy: Entropy) -> bytes:
    """Return `plain` encrypted and bound to `purpose` (AES-256-GCM, SP 800-38D)."""
    nonce = entropy.octets(NONCE_BYTES)
    return nonce + AESGCM(key.reveal()).encrypt(nonce, plain, purpose.encode())


def open_sealed(key: Secret[bytes], purpose: str, sealed: bytes) -> bytes | None:
    """Return what was sealed, or None where key, purpose or bytes are not those it was sealed with."""
    nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    with contextlib.suppress(InvalidTag, ValueError):
        return AESGCM(key.reveal()).decrypt(nonce, ciphertext, purpose.encode())
    return None


class SealedFile:
    """One encrypted file."""

    def __init__(self, path: Path, secret: Secret[bytes], entropy: Entropy) -> None:
        self._path = path
        self._key = derive(secret, f"file {path.name}")
        self._entropy = entropy

    def read(self) -> bytes | None:
        """Return the content, or None while there is no file."""
        try:
            with self._path.open("rb") as file:
                sealed = file.read(LIMIT_BYTES + 1)
        except FileNotFoundError:
            return None
        plain = open_sealed(self._key, self._path.name, sealed) if len(sealed) <= LIMIT_BYTES else None
        if plain is None:
            raise Unavailable("file_damaged", f"The phone's file {self._path.name} is damaged. Start with a new phone.")
        return plain

    def write(self, content: bytes) -> None:
        """Replace the content; after a crash the file holds the old content or the new."""
        replace(self._path, seal(self._key, self._path.name, content, self._entropy))

    def remove(self) -> None:
        """Remove the file; removing it twice does no harm."""
        self._path.unlink(missing_ok=True)


def replace(path: Path, content: bytes) -> None:
    """Write a file only its owner reads; it appears whole and durable, in place of the one before."""
    temporary = path.with_name(f".{path.name}.new")  # one writer: the phone's directory is locked
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
