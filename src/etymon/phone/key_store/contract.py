# SPDX-License-Identifier: Apache-2.0
"""What a key store does, and what it never does: give a private key back.

Keys are named by alias. A key is protected by the device alone, or by the activation secret as well; the second kind
works only inside a use session, which one entry of the secret opens and its end closes (SP 800-157r1 §3.1.2).
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote_from_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key

from etymon.card.external_key import ExternalKey, SignatureScheme
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType, PublicKey, key_type

ALIAS: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")


class Protection(Enum):
    """What must be there before a key can be used."""

    DEVICE = "device"
    ACTIVATION = "activation"


class EncryptionPadding(Enum):
    """How a message becomes the number an RSA key deciphers (RFC 8017 §7)."""

    PKCS1V15 = "pkcs1v15"
    OAEP_SHA256 = "oaep-sha256"
    """Both hashes SHA-256, no label."""


class KeyHandle(ExternalKey, Protocol):
    """A key that is used in place: an `ExternalKey` with a name, which RSA keys also decrypt with."""

    @property
    def alias(self) -> str:
        """The key's name in its store."""
        ...

    def decrypt(self, ciphertext: bytes, padding: EncryptionPadding) -> bytes:
        """Return what was encrypted to this RSA key.

        Raises `Malformed` `not_decryptable` for what was not, without saying why.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What a store tells about one key."""

    alias: str
    public_key: PublicKey
    requires_activation: bool
    certificate: x509.Certificate | None
    chain: tuple[x509.Certificate, ...]
    """The certificate's issuers, from its own upward."""
    attestation: tuple[bytes, ...] = ()
    """What says where the key is, as DER certificates, its own first; empty where the phone cannot attest."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key as its store writes it down. `reference` means something to the vault alone."""

    alias: str
    protection: Protection
    public_key: bytes
    """DER SubjectPublicKeyInfo."""
    reference: bytes
    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()
    attestation: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not ALIAS.fullmatch(self.alias):
            raise Malformed("alias_malformed", "A key's alias has lower-case letters, digits and hyphens.")


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A key a server made, in CMS to a transport key (RFC 7030 §4.4.2)."""

    envelope: bytes
    issuers: tuple[bytes, ...]
    """DER certificates of the authorities whose key-generation signer may have signed the package."""
    received_at: datetime


@dataclass(frozen=True, slots=True)
class TokenReference:
    """How another program reaches a key in a PKCS#11 token. The PIN in it opens the token until the session ends."""

    module: Path
    configuration: Path
    """What `SOFTHSM2_CONF` must name in that program's environment."""
    token: str
    key_id: bytes
    pin: Secret[str]

    @property
    def key_uri(self) -> str:
        """The key without the PIN (RFC 7512)."""
        return f"pkcs11:token={self.token};id={quote_from_bytes(self.key_id, safe='')};type=private"


class KeyVault(Protocol):
    """The place of the keys behind a `KeyStore`. It holds two compartments, one for each `Protection`."""

    def unlock(self, protection: Protection, key: Secret[bytes]) -> None:
        """Make a compartment usable under its key; the first call decides the key."""
        ...

    def lock(self, protection: Protection) -> None:
        """Forget a compartment's key; locking twice does no harm."""
        ...

    def generate(self, protection: Protection, alias: str, kind: KeyType) -> tuple[bytes, PublicKey]:
        """Make a key in an unlocked compartment; return its reference and its public half."""
        ...

    def import_wrapped(
        self, protection: Protection, alias: str, package: WrappedKey, transport: KeyRecord
    ) -> tuple[bytes, PublicKey]:
        """Open a server-made key with the transport key and keep it; it is never outside the vault in the clear."""
        ...

    def sign_digest(self, record: KeyRecord, digest: bytes, scheme: SignatureScheme) -> bytes:
        """Return a signature over a digest (`ExternalKey.sign_digest`)."""
        ...

    def decrypt(self, record: KeyRecord, ciphertext: bytes, padding: EncryptionPadding) -> bytes:
        """Return what was encrypted to an RSA key (`KeyHandle.decrypt`)."""
        ...

    def certify(self, record: KeyRecord) -> None:
        """Take note of the certificate in `record`, for programs that look for it beside the key."""
        ...

    def delete(self, record: KeyRecord) -> None:
        """Destroy a key; a vault that cannot while the compartment is locked leaves it to `sweep`."""
        ...

    def sweep(self, protection: Protection, keep: frozenset[bytes]) -> None:
        """Destroy what an unlocked compartment holds beside the keys with the references in `keep`."""
        ...

    def destroy(self, protection: Protection) -> None:
        """Destroy a compartment with all its keys, locked or not."""
        ...

    def token_reference(self, record: KeyRecord) -> TokenReference | None:
        """Return how other programs reach a key of an unlocked compartment; None where they cannot."""
        ...

    def close(self) -> None:
        """Lock all and let go of what the vault runs."""
        ...


def load_public_key(spki: bytes) -> PublicKey:
    """Read a DER SubjectPublicKeyInfo; `Malformed` `weak_key` for kinds that are not used here."""
    key = load_der_public_key(spki)
    key_type(key)
    return key  # type: ignore[return-value]  # key_type let only the two kinds of PublicKey through
