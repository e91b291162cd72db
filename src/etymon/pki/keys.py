# SPDX-License-Identifier: Apache-2.0
"""Private keys at rest: encrypted PKCS #8 in PEM, one file a key, written whole or not at all."""

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from etymon.kernel.errors import Conflict, NotFound, Unavailable
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import RSA_PUBLIC_EXPONENT, KeyType, PrivateKey
from etymon.pki.signer import Signer, SoftwareSigner

KEY_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
"""What a key may be called; the name is also the file's."""

_CURVES: Final = {KeyType.P256: ec.SECP256R1, KeyType.P384: ec.SECP384R1}
_BITS: Final = {KeyType.RSA2048: 2048, KeyType.RSA3072: 3072, KeyType.RSA4096: 4096}


def generate(kind: KeyType) -> PrivateKey:
    """Return a fresh private key."""
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind]())
    return rsa.generate_private_key(RSA_PUBLIC_EXPONENT, _BITS[kind])


def encrypt(private_key: PrivateKey, passphrase: Secret[bytes]) -> bytes:
    """Return the key as encrypted PKCS #8 in PEM (PBES2, AES-256)."""
    return private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.reveal()),
    )


def decrypt(pem: bytes, passphrase: Secret[bytes]) -> PrivateKey:
    """Return the key in an encrypted PKCS #8 PEM; `Unavailable` `key_unusable` for a wrong passphrase or file."""
    try:
        private_key = serialization.load_pem_private_key(pem, passphrase.reveal())
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise Unavailable("key_unusable", "The key file does not open with this passphrase.") from exc
    if not isinstance(private_key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise Unavailable("key_unusable", "The key file holds a kind of key that is not used here.")
    return private_key


class KeyStore(Protocol):
    """Where signing keys are made and found by name; a directory of files, or a token."""

    def generate(self, name: str, kind: KeyType) -> Signer:
        """Make a key called `name` and return its signer; `Conflict` if the name is taken."""
        ...

    def find(self, name: str) -> Signer | None:
        """Return the signer of the key called `name`, or None."""
        ...


class KeyDirectory(Mapping[str, Signer]):
    """The key files of one directory. As a mapping it opens each file once, at its first use."""

    def __init__(self, path: Path, passphrase: Secret[bytes]) -> None:
        self._path = path
        self._passphrase = passphrase
        self._opened: dict[str, Signer] = {}

    def generate(self, name: str, kind: KeyType) -> Signer:
        """Make a key and write its file before it is used."""
        private_key = generate(kind)
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_once(self._file(name), encrypt(private_key, self._passphrase))
        signer = SoftwareSigner(private_key)
        self._opened[name] = signer
        return signer

    def find(self, name: str) -> Signer | None:
        """Return the signer of a key, opening its file at the first use."""
        if name not in self._opened:
            try:
                pem = self._file(name).read_bytes()
            except FileNotFoundError:
                return None
            self._opened[name] = SoftwareSigner(decrypt(pem, self._passphrase))
        return self._opened[name]

    def export(self, name: str, passphrase: Secret[bytes]) -> bytes:
        """Return the key encrypted under another passphrase, to be kept elsewhere."""
        try:
            pem = self._file(name).read_bytes()
        except FileNotFoundError as exc:
            raise NotFound("key_not_found", f"There is no key called {name} here.") from exc
        return encrypt(decrypt(pem, self._passphrase), passphrase)

    def remove(self, name: str) -> None:
        """Remove a key that is kept elsewhere; removing it twice does no harm."""
        self._opened.pop(name, None)
        self._file(name).unlink(missing_ok=True)

    def __getitem__(self, name: str) -> Signer:
        signer = self.find(name)
        if signer is None:
            raise KeyError(name)
        return signer

    def __iter__(self) -> Iterator[str]:
        return (file.stem for file in sorted(self._path.glob("*.pem")))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _file(self, name: str) -> Path:
        if not KEY_NAME.fullmatch(name):
            raise NotFound("key_not_found", "A key's name has lower-case letters, digits and hyphens.")
        return self._path / f"{name}.pem"


def write_once(path: Path, content: bytes) -> None:
    """Write a file only its owner reads; it appears whole and durable, and never replaces another (`Conflict`)."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError as exc:
        raise Conflict("key_exists", f"There is a key called {path.stem} already.") from exc
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
