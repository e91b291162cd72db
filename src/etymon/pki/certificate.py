# SPDX-License-Identifier: Apache-2.0
"""Readers over X.509 certificates: names, identifiers and policies as values.

Every reader raises `Malformed` `certificate_malformed` for a certificate whose extensions cannot be read.
"""

import base64
import binascii
import contextlib
import hashlib
import re
from typing import Final, TypeVar
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from etymon.kernel.errors import DecodeError, Malformed
from etymon.pki.algorithms import PublicKey, key_type
from etymon.wire import der
from etymon.wire import fascn as fascn_codec
from etymon.wire.der_scan import Bounds, require_plain
from etymon.wire.fascn import FASCN

UPN_OTHER_NAME: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
FASCN_OTHER_NAME: Final = x509.ObjectIdentifier("2.16.840.1.101.3.6.6")
UUID_URN: Final = "urn:uuid:"
SECURITY_IDENTIFIER_TAG: Final = "tag:microsoft.com,2022-09-14:sid:"
"""How a certificate names an account of Active Directory, for its strong mapping (KB5014754)."""

LIMIT_BYTES: Final = 1024 * 1024
"""Longest file of certificates that is read."""

LARGEST_CERTIFICATE_BYTES: Final = 64 * 1024
BOUNDS: Final = Bounds(LARGEST_CERTIFICATE_BYTES)

_UTF8_STRING: Final = 0x0C
_EDIPI: Final = re.compile(r"\.(\d{10})$")
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]++)-----END CERTIFICATE-----")
_ECDSA_WITH_NULL: Final = re.compile(rb"\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03([\x02-\x04])\x05\x00")

UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the certificate library raises for data it cannot read, often only when a field is looked at."""

ExtensionValue = TypeVar("ExtensionValue", bound=x509.ExtensionType)


def extension(certificate: x509.Certificate, kind: type[ExtensionValue]) -> x509.Extension[ExtensionValue] | None:
    """Return the extension of `kind`, or None where the certificate has none."""
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
    except UNREADABLE as exc:
        raise Malformed("certificate_malformed", "The certificate's extensions cannot be read.") from exc


def alternative_names(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    """Return the subject alternative names in their order."""
    found = extension(certificate, x509.SubjectAlternativeName)
    return tuple(found.value) if found else ()


def fascn_octets(certificate: x509.Certificate) -> bytes | None:
    """Return the FASC-N's bytes from the subject alternative name (FIPS 201-3 §4.2.2.1), unread."""
    value = _other_name(certificate, FASCN_OTHER_NAME)
    return None if value is None else _content(value, der.OCTET_STRING)


def fascn(certificate: x509.Certificate) -> FASCN | None:
    """Return the card's FASC-N from the subject alternative name."""
    octets = fascn_octets(certificate)
    return None if octets is None else fascn_codec.decode(octets)


def card_uuid(certificate: x509.Certificate) -> UUID | None:
    """Return the first `urn:uuid` among the subject alternative names: the card's, or the derived credential's.

    A second one, where a card has it, is its holder's (SP 800-73-5 part 1 §3.3).
    """
    for name in alternative_names(certificate):
        if isinstance(name, x509.UniformResourceIdentifier) and name.value.lower().startswith(UUID_URN):
            try:
                return UUID(name.value[len(UUID_URN) :])
            except ValueError as exc:
                raise Malformed("certificate_malformed", "The certificate's UUID cannot be read.") from exc
    return None


def upn(certificate: x509.Certificate) -> str | None:
    """Return the user principal name from the subject alternative name."""
    value = _other_name(certificate, UPN_OTHER_NAME)
    if value is None:
        return None
    try:
        return _content(value, _UTF8_STRING).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Malformed("certificate_malformed", "The certificate's user principal name cannot be read.") from exc


def mail(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the mail addresses among the subject alternative names."""
    return tuple(name.value for name in alternative_names(certificate) if isinstance(name, x509.RFC822Name))


def edipi(certificate: x509.Certificate) -> str | None:
    """Return the ten digits that end a DoD common name (LAST.FIRST.MIDDLE.EDIPI), read from the right."""
    names = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    found = _EDIPI.search(names[0]) if len(names) == 1 else None
    return found.group(1) if found else None


def common_name(certificate: x509.Certificate) -> str | None:
    """Return the subject's last common name."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[-1].value) if names else None


def policies(certificate: x509.Certificate) -> frozenset[str]:
    """Return the policy OIDs the certificate asserts, in dotted form."""
    found = extension(certificate, x509.CertificatePolicies)
    return frozenset(item.policy_identifier.dotted_string for item in found.value) if found else frozenset()


def spki(certificate_or_key: x509.Certificate | x509.CertificateSigningRequest | PublicKey) -> bytes:
    """Return the DER SubjectPublicKeyInfo."""
    key = (
        certificate_or_key.public_key()
        if isinstance(certificate_or_key, x509.Certificate | x509.CertificateSigningRequest)
        else certificate_or_key
    )
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def spki_sha256(certificate_or_key: x509.Certificate | x509.CertificateSigningRequest | PublicKey) -> bytes:
    """Return the SHA-256 of the DER SubjectPublicKeyInfo."""
    return hashlib.sha256(spki(certificate_or_key)).digest()


def accepted_key_identifiers(certificate: x509.Certificate) -> tuple[bytes, ...]:
    """Return the hashes of the certified key that name it: SHA-1 of its bits first (RFC 5280 §4.2.1.2, RFC 7093 §2)."""
    encoded = spki(certificate)
    bits = der.elements(der.only(encoded, der.SEQUENCE).content)[1].content[1:]
    sha1 = hashlib.sha1(bits, usedforsecurity=False).digest()
    longer = [hashlib.new(name, bits).digest() for name in ("sha256", "sha384", "sha512")]
    short = bytes((0x40 | sha1[12] & 0x0F,)) + sha1[13:]
    whole = hashlib.sha256(encoded).digest()
    return (sha1, short, *(digest[:20] for digest in longer), longer[0], whole, whole[:20])


def to_der(certificate: x509.Certificate) -> bytes:
    """Return the certificate's DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def thumbprint(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of the certificate's DER."""
    return hashlib.sha256(to_der(certificate)).digest()


def public_key(certificate: x509.Certificate) -> PublicKey:
    """Return the certified key; `Malformed` `weak_key` for kinds that are not used here."""
    try:
        key = certificate.public_key()
    except UNREADABLE as exc:
        raise Malformed("weak_key", "The certificate's key cannot be read.") from exc
    key_type(key)
    return key  # type: ignore[return-value]  # key_type let only the two kinds of PublicKey through


def load(data: bytes) -> x509.Certificate:
    """Read one certificate, DER or PEM."""
    certificates = load_many(data)
    if len(certificates) != 1:
        raise Malformed("certificate_malformed", "Give exactly one certificate.")
    return certificates[0]


def load_many(data: bytes) -> tuple[x509.Certificate, ...]:
    """Read one or more certificates: PEM blocks, or DER one after the other; at most `LIMIT_BYTES`."""
    return tuple(load_der(encoded) for encoded in encodings(data))


def load_readable(data: bytes) -> tuple[tuple[x509.Certificate, ...], int]:
    """Read what can be read of a file of certificates; return it and how many could not be."""
    found: list[x509.Certificate] = []
    encoded = encodings(data)
    for each in encoded:
        with contextlib.suppress(Malformed):
            found.append(load_der(each))
    return tuple(found), len(encoded) - len(found)


def load_anchors(data: bytes) -> tuple[tuple[x509.Certificate, ...], int]:
    """Read trust anchors, of which only name and key count; return them and how many could not be read.

    This is the leniency `ecdsa-null-parameters`: an anchor whose ECDSA algorithm carries a NULL parameter (at least
    one root of the US Department of Defense does) is read without it. Its own signature then no longer verifies,
    and nobody asks for it.
    """
    anchors: list[x509.Certificate] = []
    unreadable = 0
    for encoded in encodings(data):
        for form in (encoded, _without_null_parameters(encoded)):
            try:
                anchors.append(load_der(form))
                break
            except Malformed:
                continue
        else:
            unreadable += 1
    return tuple(anchors), unreadable


def encodings(data: bytes) -> list[bytes]:
    """Return the DER of each certificate in a file, unread: PEM blocks, or DER one after the other."""
    if len(data) > LIMIT_BYTES:
        raise Malformed("certificate_too_large", f"A file of certificates has at most {LIMIT_BYTES} bytes.")
    if b"-----BEGIN" in data:
        try:
            found = [base64.b64decode(b"".join(block.split()), validate=True) for block in _PEM.findall(data)]
        except binascii.Error as exc:
            raise Malformed("certificate_malformed", "The file's PEM cannot be read.") from exc
    else:
        try:
            found = [element.encoded for element in der.elements(data)]
        except DecodeError as exc:
            raise Malformed("certificate_malformed", "The file holds no certificate, DER or PEM.") from exc
    if not found:
        raise Malformed("certificate_malformed", "The file holds no certificate, DER or PEM.")
    return found


def load_der(encoded: bytes) -> x509.Certificate:
    """Read one certificate in DER."""
    if len(encoded) > LARGEST_CERTIFICATE_BYTES:
        raise Malformed("certificate_too_large", f"A certificate has at most {LARGEST_CERTIFICATE_BYTES} bytes.")
    try:
        require_plain(encoded, BOUNDS)
        certificate = x509.load_der_x509_certificate(encoded)
        certificate.subject, certificate.issuer, certificate.version  # noqa: B018 - parsed late; a refusal belongs here
    except (*UNREADABLE, DecodeError) as exc:
        raise Malformed("certificate_malformed", "The certificate cannot be read.") from exc
    return certificate


def _without_null_parameters(encoded: bytes) -> bytes:
    """Return the certificate with the NULL removed from both of its ECDSA algorithm identifiers."""
    try:
        tbs, algorithm, signature = der.elements(der.only(encoded, der.SEQUENCE).content)
    except (DecodeError, ValueError):
        return encoded
    content = _ECDSA_WITH_NULL.sub(_bare, tbs.content, count=1)
    return der.sequence(der.encode(tbs.tag, content), _ECDSA_WITH_NULL.sub(_bare, algorithm.encoded), signature.encoded)


def _bare(found: re.Match[bytes]) -> bytes:
    return b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03" + found[1]


def _other_name(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> bytes | None:
    for name in alternative_names(certificate):
        if isinstance(name, x509.OtherName) and name.type_id == kind:
            return name.value
    return None


def _content(value: bytes, tag: int) -> bytes:
    try:
        return der.only(value, tag).content
    except DecodeError as exc:
        raise Malformed("certificate_malformed", "A name in the certificate cannot be read.") from exc
