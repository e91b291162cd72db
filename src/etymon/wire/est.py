# SPDX-License-Identifier: Apache-2.0
"""Enrollment over Secure Transport as bytes (RFC 7030, RFC 8951): bodies, CSR attributes, server-made keys."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from etymon.kernel.errors import DecodeError, TooLarge
from etymon.wire import der

PKCS10: Final = "application/pkcs10"
CERTS_ONLY: Final = "application/pkcs7-mime; smime-type=certs-only"
SERVER_GENERATED_KEY: Final = "application/pkcs7-mime; smime-type=server-generated-key"
CSR_ATTRIBUTES: Final = "application/csrattrs"

REQUEST_LIMIT_BYTES: Final = 16 * 1024
ANSWER_LIMIT_BYTES: Final = 256 * 1024
MOST_PARTS: Final = 8
MOST_ATTRIBUTES: Final = 64

ASYMMETRIC_DECRYPT_KEY_IDENTIFIER: Final = "1.2.840.113549.1.9.16.2.54"
"""Names the key a server-made key is enveloped to (RFC 7030 §4.4.1.2)."""

KEY_ATTESTATION: Final = "2.25.16603186306889938753934472450348112887"
"""Our own attribute, made from a UUID (X.667): there is no standard one for these chains."""

RSA_ENCRYPTION: Final = "1.2.840.113549.1.1.1"
EC_PUBLIC_KEY: Final = "1.2.840.10045.2.1"
CURVES: Final = {"p256": "1.2.840.10045.3.1.7", "p384": "1.3.132.0.34"}

_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")


def encode_body(octets: bytes) -> bytes:
    """Return a body as it travels: base64 in one line, which every client reads (RFC 8951 §2.1)."""
    return base64.b64encode(octets)


def decode_body(body: bytes, *, limit_bytes: int = REQUEST_LIMIT_BYTES) -> bytes:
    """Return the DER of a body. Line breaks and blanks are allowed anywhere (RFC 8951 §3.1), nothing else is."""
    if len(body) > limit_bytes:
        raise TooLarge("body_too_large", f"The body may have at most {limit_bytes} bytes.")
    text = body.translate(None, b" \t\r\n")
    try:
        octets = base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise DecodeError("not_base64", "The body is not base64.") from exc
    if not octets:
        raise DecodeError("empty_body", "The body is empty.")
    return octets


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a `multipart/mixed` answer; `octets` is what its base64 says."""

    content_type: str
    octets: bytes


def encode_parts(parts: Sequence[Part], boundary: str) -> tuple[str, bytes]:
    """Return the content type and the body of a `multipart/mixed` answer (RFC 7030 §4.4.2, RFC 2046 §5.1)."""
    if not _BOUNDARY.fullmatch(boundary):
        message = "a boundary has 1 to 70 characters of RFC 2046 and does not end in a blank"
        raise ValueError(message)
    lines: list[bytes] = []
    for part in parts:
        lines += [
            f"--{boundary}".encode("ascii"),
            f"Content-Type: {part.content_type}".encode("ascii"),
            b"Content-Transfer-Encoding: base64",
            b"",
            encode_body(part.octets),
        ]
    lines += [f"--{boundary}--".encode("ascii"), b""]
    return f'multipart/mixed; boundary="{boundary}"', b"\r\n".join(lines)


def decode_parts(content_type: str, body: bytes) -> tuple[Part, ...]:
    """Read a `multipart/mixed` answer of base64 parts; preamble and epilogue are skipped (RFC 2046 §5.1.1)."""
    if len(body) > ANSWER_LIMIT_BYTES:
        raise TooLarge("body_too_large", f"The answer may have at most {ANSWER_LIMIT_BYTES} bytes.")
    delimiter = b"\r\n--" + _boundary(content_type).encode("ascii")
    sections = (b"\r\n" + body).split(delimiter)
    if len(sections) < 3 or len(sections) > MOST_PARTS + 2 or not sections[-1].startswith(b"--"):
        raise _malformed_parts()
    return tuple(_part(section) for section in sections[1:-1])


def encode_csr_attributes(
    key_types: Sequence[str], *, signatures: Sequence[str] = (), decrypt_key_identifier: bool = False
) -> bytes:
    """Return CsrAttrs that name the key types a CSR may have: `p256`, `p384`, `rsa2048` and so on (RFC 7030 §4.5.2).

    `signatures` are the object identifiers of the algorithms, with their hashes, it may be signed with.
    `decrypt_key_identifier` asks for the attribute that names a transport key.
    """
    attributes = [_key_attribute(key_type) for key_type in key_types]
    attributes += [der.object_identifier(signature) for signature in signatures]
    if decrypt_key_identifier:
        attributes.append(der.object_identifier(ASYMMETRIC_DECRYPT_KEY_IDENTIFIER))
    return der.sequence(*attributes)


def decode_csr_attributes(octets: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the key types and the other object identifiers that CsrAttrs name; what is not known is kept as OID."""
    entries = der.elements(der.only(octets, der.SEQUENCE).content)
    if len(entries) > MOST_ATTRIBUTES:
        raise DecodeError("too_many_attributes", f"CSR attributes have at most {MOST_ATTRIBUTES} entries.")
    key_types: list[str] = []
    others: list[str] = []
    for entry in entries:
        if entry.tag == der.OBJECT_IDENTIFIER:
            others.append(der.to_object_identifier(entry))
            continue
        oid, values = _attribute(entry)
        found = [key_type for value in values if (key_type := _key_type(oid, value))]
        key_types += found
        if not found:
            others.append(oid)
    return tuple(key_types), tuple(others)


def decrypt_key_identifier_attribute(key_identifier: bytes) -> bytes:
    """Return the CSR attribute that names the transport key by its subject key identifier."""
    value = der.encode(der.SET, der.octet_string(key_identifier))
    return der.sequence(der.object_identifier(ASYMMETRIC_DECRYPT_KEY_IDENTIFIER), value)


def attestation_attribute(chain: Sequence[bytes]) -> bytes:
    """Return the CSR attribute that carries a key attestation: DER certificates, the attested key's first."""
    value = der.encode(der.SET, der.sequence(*chain))
    return der.sequence(der.object_identifier(KEY_ATTESTATION), value)


def attestation(csr: bytes) -> tuple[bytes, ...] | None:
    """Return the certificates of the key attestation in a PKCS #10 request (DER); None where it has none."""
    value = _attribute_value(csr, KEY_ATTESTATION)
    if value is None:
        return None
    return tuple(each.encoded for each in der.elements(der.expect(value, der.SEQUENCE).content))


def decrypt_key_identifier(csr: bytes) -> bytes | None:
    """Return the AsymmetricDecryptKeyIdentifier of a PKCS #10 request (DER); None where it has none.

    Whether the request is signed by its key is for the caller to verify first.
    """
    value = _attribute_value(csr, ASYMMETRIC_DECRYPT_KEY_IDENTIFIER)
    return None if value is None else der.expect(value, der.OCTET_STRING).content


def _attribute_value(csr: bytes, wanted: str) -> der.Element | None:
    """Return the one value of an attribute of a request; None where it has no such attribute."""
    request = der.elements(der.only(csr, der.SEQUENCE).content)
    if len(request) != 3:
        raise _malformed_csr()
    information = der.elements(der.expect(request[0], der.SEQUENCE).content)
    if len(information) not in {3, 4}:
        raise _malformed_csr()
    if len(information) == 3:
        return None
    named = [
        values
        for oid, values in map(_attribute, der.elements(der.expect(information[3], 0xA0).content))
        if oid == wanted
    ]
    if not named:
        return None
    if len(named) != 1 or len(named[0]) != 1:
        raise _malformed_csr()
    return named[0][0]


def _key_attribute(key_type: str) -> bytes:
    if key_type in CURVES:
        oid, value = EC_PUBLIC_KEY, der.object_identifier(CURVES[key_type])
    else:
        oid, value = RSA_ENCRYPTION, der.integer(int(key_type.removeprefix("rsa")))
    return der.sequence(der.object_identifier(oid), der.encode(der.SET, value))


def _key_type(oid: str, value: der.Element) -> str | None:
    if oid == RSA_ENCRYPTION and value.tag == der.INTEGER:
        return f"rsa{der.to_integer(value)}"
    if oid == EC_PUBLIC_KEY and value.tag == der.OBJECT_IDENTIFIER:
        curve = der.to_object_identifier(value)
        return next((name for name, known in CURVES.items() if known == curve), None)
    return None


def _attribute(element: der.Element) -> tuple[str, tuple[der.Element, ...]]:
    members = der.elements(der.expect(element, der.SEQUENCE).content)
    if len(members) != 2:
        raise DecodeError("malformed_attribute", "An attribute has a type and a set of values.")
    return der.to_object_identifier(members[0]), der.elements(der.expect(members[1], der.SET).content)


def _boundary(content_type: str) -> str:
    kind, *parameters = content_type.split(";")
    if kind.strip().lower() != "multipart/mixed":
        raise _malformed_parts()
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "boundary" and _BOUNDARY.fullmatch(boundary := value.strip('"')):
            return boundary
    raise _malformed_parts()


def _part(section: bytes) -> Part:
    head, separator, body = section.partition(b"\r\n\r\n")
    rest_of_delimiter, *lines = head.split(b"\r\n")
    if not separator or rest_of_delimiter.strip(b" \t"):
        raise _malformed_parts()
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise _malformed_parts()
        headers[name.strip().lower()] = value.strip()
    if "content-type" not in headers:
        raise _malformed_parts()
    return Part(headers["content-type"], decode_body(body, limit_bytes=ANSWER_LIMIT_BYTES))


def _malformed_parts() -> DecodeError:
    return DecodeError("malformed_multipart", "The answer is not a multipart/mixed body of base64 parts.")


def _malformed_csr() -> DecodeError:
    return DecodeError("malformed_csr", "The request is not a PKCS #10 certification request.")
