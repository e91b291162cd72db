# SPDX-License-Identifier: Apache-2.0
"""Algorithms in signed and enveloped messages of outside programs: which are used, and which old ones may be let in.

Sources: RFC 8894 §2.9 and §7; SP 800-131A r2 (signatures with SHA-1 and encryption with TDEA are over). Single DES, MD5
and whatever else is not named here are never used.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from etymon.kernel.errors import Malformed
from etymon.pki import key_policy
from etymon.pki.certificate import UNREADABLE

RSA_ENCRYPTION: Final = "1.2.840.113549.1.1.1"
SHA1: Final = "1.3.14.3.2.26"
SHA256: Final = "2.16.840.1.101.3.4.2.1"
SHA384: Final = "2.16.840.1.101.3.4.2.2"
SHA512: Final = "2.16.840.1.101.3.4.2.3"
AES_128_CBC: Final = "2.16.840.1.101.3.4.1.2"
AES_192_CBC: Final = "2.16.840.1.101.3.4.1.22"
AES_256_CBC: Final = "2.16.840.1.101.3.4.1.42"
TRIPLE_DES_CBC: Final = "1.2.840.113549.3.7"

SIGNATURE_DIGESTS: Final[Mapping[str, str]] = {
    "1.2.840.113549.1.1.5": SHA1,
    "1.2.840.113549.1.1.11": SHA256,
    "1.2.840.113549.1.1.12": SHA384,
    "1.2.840.113549.1.1.13": SHA512,
}
"""RSA PKCS #1 v1.5 signature algorithms, each with its hash function."""


class Permitted(enum.Enum):
    """What a message may use."""

    MODERN = "modern"
    LEGACY = "legacy"
    """SHA-1 and triple DES as well, where an administrator lets old clients in."""


@dataclass(frozen=True, slots=True)
class BlockCipher:
    """A block cipher in CBC mode; sizes in bytes."""

    oid: str
    key_size: int
    block_size: int
    algorithm: Callable[[bytes], BlockCipherAlgorithm]


_CIPHERS: Final = {
    cipher.oid: cipher
    for cipher in (
        BlockCipher(AES_128_CBC, 16, 16, AES),
        BlockCipher(AES_192_CBC, 24, 16, AES),
        BlockCipher(AES_256_CBC, 32, 16, AES),
        BlockCipher(TRIPLE_DES_CBC, 24, 8, TripleDES),
    )
}
_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    SHA1: hashes.SHA1(),  # noqa: S303 - read, where an administrator said so; never written
    SHA256: hashes.SHA256(),
    SHA384: hashes.SHA384(),
    SHA512: hashes.SHA512(),
}
_OLD: Final = frozenset({SHA1, TRIPLE_DES_CBC})


def cipher_named(oid: str, permitted: Permitted) -> BlockCipher:
    """Return the cipher; `Malformed` `algorithm_not_allowed` where it is not used, or not here."""
    _require_permitted(oid, permitted)
    if oid not in _CIPHERS:
        raise _not_allowed()
    return _CIPHERS[oid]


def hash_named(oid: str, permitted: Permitted) -> hashes.HashAlgorithm:
    """Return the hash function; `Malformed` `algorithm_not_allowed` where it is not used, or not here."""
    _require_permitted(oid, permitted)
    if oid not in _HASHES:
        raise _not_allowed()
    return _HASHES[oid]


def is_old(oid: str) -> bool:
    """Say whether an algorithm is one that is let in by exception."""
    return oid in _OLD


def signature_hash(algorithm: str, digest: str | None, permitted: Permitted) -> hashes.HashAlgorithm:
    """Return what an RSA signature's algorithm hashes with.

    rsaEncryption leaves that to `digest` (RFC 5754 §3.2); any other algorithm has to agree with a digest that is given.
    """
    named = digest if algorithm == RSA_ENCRYPTION and digest else SIGNATURE_DIGESTS.get(algorithm)
    if named is None or (digest is not None and digest != named):
        raise _not_allowed()
    return hash_named(named, permitted)


def rsa_key(spki: bytes) -> rsa.RSAPublicKey:
    """Return the RSA key of a SubjectPublicKeyInfo.

    `Malformed` `algorithm_not_allowed` for other kinds, `weak_key` for one that policy does not allow.
    """
    try:
        key = serialization.load_der_public_key(spki)
    except UNREADABLE as exc:
        raise _not_allowed() from exc
    if not isinstance(key, rsa.RSAPublicKey):
        raise _not_allowed()
    key_policy.check(key)
    return key


def is_signature(key: rsa.RSAPublicKey, signature: bytes, signed: bytes, hash_function: hashes.HashAlgorithm) -> bool:
    """Say whether `signature` over `signed` is the key's."""
    try:
        key.verify(signature, signed, padding.PKCS1v15(), hash_function)
    except InvalidSignature:
        return False
    return True


def _require_permitted(oid: str, permitted: Permitted) -> None:
    if permitted is Permitted.MODERN and oid in _OLD:
        raise _not_allowed()


def _not_allowed() -> Malformed:
    return Malformed(
        "algorithm_not_allowed", "Use RSA keys of 2048 bits or more, AES, and SHA-256, SHA-384 or SHA-512."
    )
