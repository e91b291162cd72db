# SPDX-License-Identifier: Apache-2.0
"""What is asked of the presented certificate itself: its usage, its key, and whom it names."""

from cryptography import x509

from etymon.kernel.errors import DecodeError, Malformed
from etymon.pki import certificate as readers
from etymon.pki import key_policy
from etymon.pki.errors import NotTrusted
from etymon.pki.trust_entry import IdentifierKind, TrustEntry


def check_usage(leaf: x509.Certificate, required_eku: str) -> None:
    """Raise `NotTrusted` `wrong_certificate_kind` unless the certificate is for signatures and the asked purpose.

    `anyExtendedKeyUsage` does not stand for the purpose, and neither does a missing extension.
    """
    usage = readers.extension(leaf, x509.KeyUsage)
    purposes = readers.extension(leaf, x509.ExtendedKeyUsage)
    constraints = readers.extension(leaf, x509.BasicConstraints)
    named = {purpose.dotted_string for purpose in purposes.value} if purposes else set()
    if (
        usage is None
        or not usage.value.digital_signature
        or usage.value.key_cert_sign
        or required_eku not in named
        or (constraints is not None and constraints.value.ca)
    ):
        raise NotTrusted(
            "wrong_certificate_kind",
            "This certificate is not meant for this purpose. Choose the authentication certificate of your card.",
        )


def check_key(leaf: x509.Certificate) -> None:
    """Raise `NotTrusted` `weak_key` unless the certified key may be relied on (SP 800-78-5 §3)."""
    try:
        key_policy.check(leaf.public_key())
    except (*readers.UNREADABLE, Malformed) as exc:
        raise NotTrusted("weak_key", "This certificate's key is too weak. Ask for a new one where you got it.") from exc


def identify(leaf: x509.Certificate, entry: TrustEntry) -> str:
    """Return whom the certificate names, as the entry binds: always the same text for the same identifier.

    Raises `NotTrusted` `identifier_missing` for a certificate without one, or with a suffix that is not allowed.
    """
    try:
        found = _identifier(leaf, entry)
    except (Malformed, DecodeError) as exc:
        raise _missing(entry) from exc
    if found is None:
        raise _missing(entry)
    return found


def _identifier(leaf: x509.Certificate, entry: TrustEntry) -> str | None:
    match entry.identifier:
        case IdentifierKind.THUMBPRINT:
            return readers.thumbprint(leaf).hex()
        case IdentifierKind.UUID:
            uuid = readers.card_uuid(leaf)
            return str(uuid) if uuid else None
        case IdentifierKind.FASCN:
            octets = readers.fascn_octets(leaf)
            return octets.hex() if octets else None
        case IdentifierKind.EDIPI:
            return readers.edipi(leaf)
        case IdentifierKind.UPN:
            name = (readers.upn(leaf) or "").lower()
            local, at, suffix = name.rpartition("@")
            return name if local and at and suffix in entry.upn_suffixes else None


def _missing(entry: TrustEntry) -> NotTrusted:
    return NotTrusted(
        "identifier_missing",
        f"This certificate does not carry the identifier ({entry.identifier.value}) that people are known by here.",
        entry=entry.name,
    )
