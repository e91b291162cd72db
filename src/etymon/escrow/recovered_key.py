# SPDX-License-Identifier: Apache-2.0
"""A recovered key as PKCS #12 under a password (KRP 4.2, RFC 7292).

For somebody else it has two halves, of which each agent sees one; for the owner it is whole, and shown to nobody else.
"""

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat, load_der_private_key, pkcs12

from etymon.escrow import delivery
from etymon.escrow.dependencies import Dependencies
from etymon.escrow.errors import key_unusable
from etymon.escrow.model import WrappedKey
from etymon.escrow.recovery_model import RecoveredKey
from etymon.kernel.entropy import Entropy, random_text
from etymon.kernel.secret import Secret

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""32 characters without I, L, O and U, which are mistaken for others when a half is read out."""
GROUP: Final = 5
GROUPS: Final = 6
"""30 characters of five bits: one half alone leaves 150 bits to guess, more than the 128 of an RSA-3072 key."""

ITERATIONS: Final = 100_000
"""Of PBKDF2 (SP 800-132 §5.2: as many as can be borne); the password is random and needs no stretching."""


def half(entropy: Entropy, number: int) -> Secret[str]:
    """Return a new half of a password; it begins with its number, which tells their order."""
    return Secret(f"{number}-{_groups(entropy)}")


def whole(entropy: Entropy) -> Secret[str]:
    """Return a new password for the owner, of as many characters as a half has."""
    return Secret(_groups(entropy))


def _groups(entropy: Entropy) -> str:
    text = random_text(entropy, ALPHABET, GROUP * GROUPS)
    return "-".join(text[at : at + GROUP] for at in range(0, len(text), GROUP))


def typed(text: str) -> Secret[str]:
    """Return a half as it was shown, from what somebody typed."""
    return Secret(text.strip().upper())


def password(first: Secret[str], second: Secret[str]) -> Secret[bytes]:
    """Return the password: the first half, a hyphen, the second."""
    return Secret(f"{first.reveal()}-{second.reveal()}".encode("ascii"))


def packed(deps: Dependencies, wrapped: WrappedKey, under: Secret[bytes]) -> RecoveredKey:
    """Return a released key, opened and packed again; `Unavailable` `escrowed_key_unusable` if it does not open."""
    certificate = wrapped.key.certificate
    if certificate is None:
        raise key_unusable()
    return RecoveredKey(wrapped.key, package(delivery.unwrapped(deps, wrapped), certificate, under))


def package(private_key: Secret[bytes], certificate: x509.Certificate, under: Secret[bytes]) -> bytes:
    """Return a PKCS #8 key and its certificate as PKCS #12.

    PBES2 with AES-256-CBC and PBKDF2-HMAC-SHA-256 (RFC 8018), authenticated with HMAC-SHA-256.
    `Unavailable` `escrowed_key_unusable` for what is no RSA key of the certificate.
    """
    key = load_der_private_key(private_key.reveal(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise key_unusable()
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(ITERATIONS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(under.reveal())
    )
    name = f"{certificate.serial_number:x}".encode("ascii")
    return pkcs12.serialize_key_and_certificates(name, key, certificate, None, encryption)
