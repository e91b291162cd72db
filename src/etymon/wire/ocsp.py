# SPDX-License-Identifier: Apache-2.0
"""OCSP requests read and answers written (RFC 6960 §4, nonce RFC 9654)."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from etymon.kernel.errors import DecodeError
from etymon.wire import der

REQUEST_MEDIA_TYPE: Final = "application/ocsp-request"
RESPONSE_MEDIA_TYPE: Final = "application/ocsp-response"

REQUEST_LIMIT_BYTES: Final = 8 * 1024
MOST_CERTIFICATES: Final = 16
"""Certificates one request may ask for."""

LONGEST_NONCE_BYTES: Final = 128
"""A nonce has 1 to 128 octets; others are malformed (RFC 9654 §2.1)."""

_BASIC_RESPONSE: Final = der.object_identifier("1.3.6.1.5.5.7.48.1.1")
_NONCE: Final = "1.3.6.1.5.5.7.48.1.2"
_CONTEXT: Final = {number: 0xA0 | number for number in range(3)}


class ResponseStatus(enum.IntEnum):
    """Why there is no answer (RFC 6960 §4.2.1)."""

    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    UNAUTHORIZED = 6


@dataclass(frozen=True, slots=True)
class CertificateID:
    """Which certificate is asked for: hashes of its issuer under `hash_algorithm` (OID), and its serial number.

    `encoded` is the CertID as it was sent; answers give it back unchanged, and so never under another hash.
    """

    hash_algorithm: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: int
    encoded: bytes


@dataclass(frozen=True, slots=True)
class OCSPRequest:
    """A request; who signed or sent it does not matter. `nonce` is 1 to 128 octets, where there is one."""

    certificates: tuple[CertificateID, ...]
    nonce: bytes | None


@dataclass(frozen=True, slots=True)
class Revoked:
    """Since when a certificate is revoked, and the CRLReason; 0, unspecified, is left out."""

    revoked_at: datetime
    reason: int


class PlainStatus(enum.Enum):
    """A status without particulars: the encoded CertStatus."""

    GOOD = b"\x80\x00"
    UNKNOWN = b"\x82\x00"


@dataclass(frozen=True, slots=True)
class SingleAnswer:
    """One certificate's status."""

    certificate: CertificateID
    status: Revoked | PlainStatus


def decode_request(data: bytes) -> OCSPRequest:
    """Read an OCSP request; raises `DecodeError` for what is not one, too large, or has a critical extension."""
    if len(data) > REQUEST_LIMIT_BYTES:
        raise DecodeError("ocsp_too_large", f"An OCSP request has at most {REQUEST_LIMIT_BYTES} bytes.")
    outer = der.elements(der.only(data, der.SEQUENCE).content)
    if not outer or len(outer) > 2:
        raise _malformed()
    fields = list(der.elements(der.expect(outer[0], der.SEQUENCE).content))
    if fields and fields[0].tag == _CONTEXT[0] and der.to_integer(der.only(fields.pop(0).content, der.INTEGER)) != 0:
        raise _malformed()
    if fields and fields[0].tag == _CONTEXT[1]:
        fields.pop(0)  # the requestor's name
    if not fields or len(fields) > 2:
        raise _malformed()
    requests = der.elements(der.expect(fields[0], der.SEQUENCE).content)
    if not 1 <= len(requests) <= MOST_CERTIFICATES:
        raise _malformed()
    nonce = _nonce(der.expect(fields[1], _CONTEXT[2]).content) if len(fields) == 2 else None
    return OCSPRequest(tuple(_request(element) for element in requests), nonce)


def is_canonical(certificate: CertificateID) -> bool:
    """Say whether a CertID is written as it usually is, its hash without parameters or with NULL.

    Only then the bytes of the CertID stand for what it names; with other parameters there are any number of them.
    """
    names = (
        der.octet_string(certificate.issuer_name_hash),
        der.octet_string(certificate.issuer_key_hash),
        der.integer(certificate.serial),
    )
    algorithm = der.object_identifier(certificate.hash_algorithm)
    return certificate.encoded in {
        der.sequence(der.sequence(algorithm, der.null()), *names),
        der.sequence(der.sequence(algorithm), *names),
    }


def encode_failure(status: ResponseStatus) -> bytes:
    """Return the unsigned answer that says why there is none."""
    return der.sequence(der.enumerated(status))


def encode_tbs(
    responder_key_hash: bytes,
    produced_at: datetime,
    next_update: datetime,
    answers: Sequence[SingleAnswer],
    nonce: bytes | None,
) -> bytes:
    """Return the ResponseData, whose answers hold from `produced_at` to `next_update`.

    `responder_key_hash` is the SHA-1 of the responder's key bits (RFC 6960 §4.2.1).
    """
    extensions = b""
    if nonce is not None:
        value = der.octet_string(der.octet_string(nonce))
        extensions = der.explicit(1, der.sequence(der.sequence(der.object_identifier(_NONCE), value)))
    produced = der.generalized_time(produced_at)
    times = produced + der.explicit(0, der.generalized_time(next_update))
    return der.sequence(
        der.explicit(2, der.octet_string(responder_key_hash)),
        produced,
        der.sequence(*(der.sequence(answer.certificate.encoded, _status(answer.status), times) for answer in answers)),
        extensions,
    )


def encode_response(tbs: bytes, algorithm: bytes, signature: bytes, certificates: Sequence[bytes]) -> bytes:
    """Return the signed answer with the responder's certificates."""
    basic = der.sequence(tbs, algorithm, der.bit_string(signature), der.explicit(0, der.sequence(*certificates)))
    return der.sequence(der.enumerated(0), der.explicit(0, der.sequence(_BASIC_RESPONSE, der.octet_string(basic))))


def _status(status: Revoked | PlainStatus) -> bytes:
    if isinstance(status, PlainStatus):
        return status.value
    reason = der.explicit(0, der.enumerated(status.reason)) if status.reason else b""
    return der.encode(_CONTEXT[1], der.generalized_time(status.revoked_at) + reason)


def _request(element: der.Element) -> CertificateID:
    parts = der.elements(der.expect(element, der.SEQUENCE).content)
    if not parts or len(parts) > 2:
        raise _malformed()
    if len(parts) == 2:
        _extensions(der.expect(parts[1], _CONTEXT[0]).content)
    return _certificate_id(parts[0])


def _certificate_id(element: der.Element) -> CertificateID:
    parts = der.elements(der.expect(element, der.SEQUENCE).content)
    if len(parts) != 4:
        raise _malformed()
    algorithm = der.elements(der.expect(parts[0], der.SEQUENCE).content)
    if not algorithm or len(algorithm) > 2:
        raise _malformed()
    return CertificateID(
        hash_algorithm=der.to_object_identifier(algorithm[0]),
        issuer_name_hash=der.expect(parts[1], der.OCTET_STRING).content,
        issuer_key_hash=der.expect(parts[2], der.OCTET_STRING).content,
        serial=der.to_integer(parts[3]),
        encoded=element.encoded,
    )


def _nonce(data: bytes) -> bytes | None:
    value = _extensions(data).get(_NONCE)
    if value is None:
        return None
    nonce = der.only(value, der.OCTET_STRING).content
    if not 1 <= len(nonce) <= LONGEST_NONCE_BYTES:
        raise _malformed()
    return nonce


def _extensions(data: bytes) -> dict[str, bytes]:
    """Read Extensions; a critical one that is not the nonce cannot be honoured."""
    found: dict[str, bytes] = {}
    for element in der.elements(der.only(data, der.SEQUENCE).content):
        parts = list(der.elements(der.expect(element, der.SEQUENCE).content))
        if len(parts) not in {2, 3}:
            raise _malformed()
        name = der.to_object_identifier(parts[0])
        critical = len(parts) == 3 and der.expect(parts[1], der.BOOLEAN).content == b"\xff"
        if name in found or (critical and name != _NONCE):
            raise _malformed()
        found[name] = der.expect(parts[-1], der.OCTET_STRING).content
    return found


def _malformed() -> DecodeError:
    return DecodeError("ocsp_malformed", "The OCSP request cannot be read.")
