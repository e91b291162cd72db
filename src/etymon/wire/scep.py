# SPDX-License-Identifier: Apache-2.0
"""Simple Certificate Enrolment Protocol (RFC 8894): its words, its capabilities, and requests in an address."""

import base64
import binascii
import enum
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from etymon.kernel.errors import DecodeError, TooLarge
from etymon.wire import der

CERTIFICATE: Final = "application/x-x509-ca-cert"
CERTIFICATES: Final = "application/x-x509-ca-ra-cert"
PKI_MESSAGE: Final = "application/x-pki-message"

MESSAGE_LIMIT_BYTES: Final = 64 * 1024
ADDRESS_LIMIT_BYTES: Final = 16 * 1024
"""Longest query of a message that comes by GET."""

_BLANKS: Final = re.compile(rb"[\r\n\t]")


class MessageType(enum.StrEnum):
    """What a message is (RFC 8894 §3.2.1.2)."""

    CERT_REP = "3"
    RENEWAL_REQ = "17"
    PKCS_REQ = "19"
    CERT_POLL = "20"
    GET_CERT = "21"
    GET_CRL = "22"


class PKIStatus(enum.StrEnum):
    """How a request went (RFC 8894 §3.2.1.3)."""

    SUCCESS = "0"
    FAILURE = "2"
    PENDING = "3"


class FailInfo(enum.StrEnum):
    """Why a request failed (RFC 8894 §3.2.1.4)."""

    BAD_ALG = "0"
    BAD_MESSAGE_CHECK = "1"
    BAD_REQUEST = "2"
    BAD_TIME = "3"
    BAD_CERT_ID = "4"


CAPABILITIES: Final = ("AES", "POSTPKIOperation", "Renewal", "SHA-256", "SHA-384", "SHA-512", "SCEPStandard")
"""SHA-384 is not in the RFC's list. It is true, others leave unknown words alone, and strongSwan 5.9.8, which looks at
the wrong bits of what it was told (its issue 1607), takes AES for unknown without it."""

LEGACY_CAPABILITIES: Final = ("DES3", "SHA-1")
"""Said only where an administrator lets old clients in."""


def encode_capabilities(*, legacy: bool) -> bytes:
    """Return the answer to GetCACaps, one word a line (RFC 8894 §3.5.2)."""
    words = (*CAPABILITIES, *LEGACY_CAPABILITIES) if legacy else CAPABILITIES
    return "".join(f"{word}\n" for word in words).encode("ascii")


def parameter(query: str, name: str) -> bytes | None:
    """Return a parameter of a query, escapes undone and nothing else: a `+` stays one, unlike in a form."""
    for pair in query.split("&"):
        found, equals, value = pair.partition("=")
        if equals and found == name:
            return unquote_to_bytes(value)
    return None


def decode_address_message(query: str) -> bytes:
    """Return the message of a GET (RFC 8894 §4.1).

    Clients leave `+` and `/` of the base64 as they are or escape them, and some turn `+` into a blank on the way.
    """
    if len(query) > ADDRESS_LIMIT_BYTES:
        raise TooLarge("message_too_large", f"An address has at most {ADDRESS_LIMIT_BYTES} bytes. Send it by POST.")
    text = _BLANKS.sub(b"", parameter(query, "message") or b"").replace(b" ", b"+").rstrip(b"=")
    try:
        octets = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as exc:
        raise DecodeError("not_base64", "The message in the address is not base64.") from exc
    if not octets:
        raise DecodeError("message_missing", "The address carries no message.")
    return octets


@dataclass(frozen=True, slots=True)
class CertificateIdentity:
    """An IssuerAndSerialNumber: which certificate GetCert and GetCRL ask for. `issuer` is the name's DER."""

    issuer: bytes
    serial_number: int


def decode_certificate_identity(data: bytes) -> CertificateIdentity:
    """Read what GetCert and GetCRL carry (RFC 8894 §3.3.4, §3.3.5)."""
    parts = der.elements(der.only(data, der.SEQUENCE).content)
    if len(parts) != 2:
        raise DecodeError("certificate_identity_malformed", "The message does not name a certificate.")
    return CertificateIdentity(der.expect(parts[0], der.SEQUENCE).encoded, der.to_integer(parts[1]))


def encode_certificate_identity(identity: CertificateIdentity) -> bytes:
    """Return an IssuerAndSerialNumber."""
    return der.sequence(identity.issuer, der.integer(identity.serial_number))


def decode_issuer_and_subject(data: bytes) -> tuple[bytes, bytes]:
    """Return the names that CertPoll carries: issuer and subject, both as DER (RFC 8894 §3.3.3)."""
    parts = der.elements(der.only(data, der.SEQUENCE).content)
    if len(parts) != 2:
        raise DecodeError("issuer_and_subject_malformed", "The message does not name issuer and subject.")
    return der.expect(parts[0], der.SEQUENCE).encoded, der.expect(parts[1], der.SEQUENCE).encoded
