# SPDX-License-Identifier: Apache-2.0
"""Private keys at rest: encrypted PKCS #8 in PEM, one file a key, written whole or not at all."""

import base64
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, NotFound, Unavailable
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import RSA_PUBLIC_EXPONENT, KeyType, PrivateKey
from etymon.pki.signer import Signer, SoftwareSigner
from etymon.wire import der

KEY_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
"""What a key may be called; the name is also the file's."""

SCRYPT_COST: Final = 2**14
"""Work and memory (16 MiB) of one try; twice as much is more than OpenSSL's tools allow themselves."""

_CURVES: Final = {KeyType.P256: ec.SECP256R1, KeyType.P384: ec.SECP384R1}
BITS: Final = {KeyType.RSA2048: 2048, KeyType.RSA3072: 3072, KeyType.RSA4096: 4096}


def generate(kind: KeyType) -> PrivateKey:
    """Return a fresh private key."""
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind]())
    return rsa.generate_private_key(RSA_PUBLIC_EXPONENT, BITS[kind])


def encrypt(private_key: PrivateKey, passphrase: Secret[bytes]) -> bytes:
    """Return the key as encrypted PKCS #8 in PEM (PBES2, AES-256), under a passphrase of at least 128 random bits.

    The passphrase is hardly stretched; what a person may have chosen goes through `encrypt_for_custody`.
    """
    return private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.reveal()),
    )


def encrypt_for_custody(private_key: PrivateKey, passphrase: Secret[bytes]) -> bytes:
    """Return the key as encrypted PKCS #8 in PEM, its passphrase stretched by scrypt (RFC 7914 §7, RFC 8018 §6.2)."""
    salt, vector = SystemEntropy().octets(16), SystemEntropy().octets(16)
    stretched = Scrypt(salt=salt, length=32, n=SCRYPT_COST, r=8, p=1).derive(passphrase.reveal())
    padder = padding.PKCS7(128).padder()
    plain = private_key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    cipher = Cipher(algorithms.AES(stretched), modes.CBC(vector)).encryptor()
    encrypted = cipher.update(padder.update(plain) + padder.finalize()) + cipher.finalize()
    derivation = der.sequence(
        der.object_identifier("1.3.6.1.4.1.11591.4.11"),
        der.sequence(der.octet_string(salt), der.integer(SCRYPT_COST), der.integer(8), der.integer(1)),
    )
    encryption = der.sequence(der.object_identifier("2.16.840.1.101.3.4.1.42"), der.octet_string(vector))
    scheme = der.sequence(der.object_identifier("1.2.840.113549.1.5.13"), der.sequence(derivation, encryption))
    encoded = base64.encodebytes(der.sequence(scheme, der.octet_string(encrypted)))
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + encoded + b"-----END ENCRYPTED PRIVATE KEY-----\n"


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
        """Return the key encrypted under another passphrase, to be kept elsewhere by people."""
        try:
            pem = self._file(name).read_bytes()
        except FileNotFoundError as exc:
            raise NotFound("key_not_found", f"There is no key called {name} here.") from exc
        return encrypt_for_custody(decrypt(pem, self._passphrase), passphrase)

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
