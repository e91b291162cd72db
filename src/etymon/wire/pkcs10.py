# SPDX-License-Identifier: Apache-2.0
"""Certification requests (PKCS #10, RFC 2986) as outside programs write them: what they ask for, as values.

More is read than DER allows: attribute sets that are not sorted, challenge passwords of any length, names in any string
type. Nothing of it is believed here; the signature is left to be verified over `information`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from etymon.kernel.errors import DecodeError
from etymon.kernel.secret import Secret
from etymon.wire import der
from etymon.wire.der import Element

LIMIT_BYTES: Final = 32 * 1024
MOST_NAMES: Final = 64

CHALLENGE_PASSWORD: Final = "1.2.840.113549.1.9.7"  # noqa: S105 - the attribute's name
EXTENSION_REQUESTS: Final = frozenset({"1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"})
"""extensionRequest of PKCS #9, and what Windows calls it."""

SUBJECT_ALTERNATIVE_NAME: Final = "2.5.29.17"
KEY_USAGE: Final = "2.5.29.15"
EXTENDED_KEY_USAGE: Final = "2.5.29.37"

_STRINGS: Final = {
    0x0C: "utf-8",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_KINDS: Final = {0x81: "mail", 0x82: "dns", 0x86: "uri", 0x87: "ip"}
"""Context tags of GeneralName (RFC 5280 §4.2.1.6) that are read as text, and addresses."""
_OTHER_NAME: Final = 0xA0


@dataclass(frozen=True, slots=True)
class AlternativeName:
    """One requested subject alternative name. `kind` is mail, dns, uri, ip (hex), or the OID of an otherName."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class CertificationRequest:
    """What a request says. `subject` holds types (OID) and values; `extensions` those asked for, by OID."""

    information: bytes = field(repr=False)
    subject: tuple[tuple[str, str], ...]
    public_key: bytes = field(repr=False)
    """The SubjectPublicKeyInfo."""
    algorithm: str
    """OID of the signature's algorithm."""
    signature: bytes = field(repr=False)
    challenge_password: Secret[str] | None
    extensions: Mapping[str, bytes]


def decode(data: bytes) -> CertificationRequest:
    """Read a request; `DecodeError` for what is none, and for a password or an extension that comes twice."""
    if len(data) > LIMIT_BYTES:
        raise DecodeError("csr_too_large", f"A certification request has at most {LIMIT_BYTES} bytes.")
    parts = der.elements(der.only(data, der.SEQUENCE).content)
    if len(parts) != 3:
        raise _malformed()
    information = der.expect(parts[0], der.SEQUENCE)
    members = der.elements(information.content)
    if len(members) not in {3, 4}:
        raise _malformed()
    attributes = der.elements(der.expect(members[3], 0xA0).content) if len(members) == 4 else ()
    return CertificationRequest(
        information=information.encoded,
        subject=_name(members[1]),
        public_key=der.expect(members[2], der.SEQUENCE).encoded,
        algorithm=_algorithm(parts[1]),
        signature=_bits(parts[2]),
        challenge_password=_challenge_password(attributes),
        extensions=_extensions(attributes),
    )


def alternative_names(request: CertificationRequest) -> tuple[AlternativeName, ...]:
    """Return the subject alternative names a request asks for."""
    value = request.extensions.get(SUBJECT_ALTERNATIVE_NAME)
    if value is None:
        return ()
    names = der.elements(der.only(value, der.SEQUENCE).content)
    if len(names) > MOST_NAMES:
        raise _malformed()
    return tuple(_alternative_name(name) for name in names)


def key_usage(request: CertificationRequest) -> frozenset[int]:
    """Return the numbers of the key usage bits a request asks for (RFC 5280 §4.2.1.3)."""
    value = request.extensions.get(KEY_USAGE)
    if value is None:
        return frozenset()
    content = der.only(value, der.BIT_STRING).content
    if not 1 <= len(content) <= 3:
        raise _malformed()
    octets = content[1:]
    return frozenset(n for n in range(8 * len(octets)) if octets[n // 8] & 0x80 >> n % 8)


def extended_key_usage(request: CertificationRequest) -> frozenset[str]:
    """Return the OIDs of the purposes a request asks for."""
    value = request.extensions.get(EXTENDED_KEY_USAGE)
    if value is None:
        return frozenset()
    return frozenset(der.to_object_identifier(each) for each in der.elements(der.only(value, der.SEQUENCE).content))


def text(element: Element) -> str:
    """Return the value of a string of any type; control characters and half characters are refused."""
    encoding = _STRINGS.get(element.tag)
    if encoding is None:
        raise _malformed()
    try:
        value = element.content.decode(encoding)
    except UnicodeDecodeError as exc:
        raise _malformed() from exc
    if _CONTROL.search(value):
        raise _malformed()
    return value


def _alternative_name(element: Element) -> AlternativeName:
    if element.tag == _OTHER_NAME:
        parts = der.elements(element.content)
        if len(parts) != 2:
            raise _malformed()
        value = text(_one(der.expect(parts[1], 0xA0).content))
        return AlternativeName(der.to_object_identifier(parts[0]), value)
    kind = _KINDS.get(element.tag)
    if kind is None:
        raise _malformed()
    if kind == "ip":
        return AlternativeName(kind, element.content.hex())
    return AlternativeName(kind, text(Element(0x16, element.content, element.encoded)))


def _name(element: Element) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for relative in der.elements(der.expect(element, der.SEQUENCE).content):
        for pair in der.elements(der.expect(relative, der.SET).content):
            parts = der.elements(der.expect(pair, der.SEQUENCE).content)
            if len(parts) != 2:
                raise _malformed()
            found.append((der.to_object_identifier(parts[0]), text(parts[1])))
    if len(found) > MOST_NAMES:
        raise _malformed()
    return tuple(found)


def _challenge_password(attributes: tuple[Element, ...]) -> Secret[str] | None:
    values = [value for name, value in map(_attribute, attributes) if name == CHALLENGE_PASSWORD]
    if len(values) > 1:
        raise _malformed()
    return Secret(text(_one(values[0]))) if values else None


def _extensions(attributes: tuple[Element, ...]) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    for name, values in map(_attribute, attributes):
        if name not in EXTENSION_REQUESTS:
            continue
        for extension in der.elements(der.expect(_one(values), der.SEQUENCE).content):
            parts = der.elements(der.expect(extension, der.SEQUENCE).content)
            if len(parts) not in {2, 3}:
                raise _malformed()
            oid = der.to_object_identifier(parts[0])
            if oid in found:
                raise _malformed()
            found[oid] = der.expect(parts[-1], der.OCTET_STRING).content
    return found


def _attribute(element: Element) -> tuple[str, bytes]:
    parts = der.elements(der.expect(element, der.SEQUENCE).content)
    if len(parts) != 2:
        raise _malformed()
    return der.to_object_identifier(parts[0]), der.expect(parts[1], der.SET).content


def _one(content: bytes) -> Element:
    found = der.elements(content)
    if len(found) != 1:
        raise _malformed()
    return found[0]


def _algorithm(element: Element) -> str:
    parts = der.elements(der.expect(element, der.SEQUENCE).content)
    if not parts:
        raise _malformed()
    return der.to_object_identifier(parts[0])


def _bits(element: Element) -> bytes:
    content = der.expect(element, der.BIT_STRING).content
    if not content or content[0]:
        raise _malformed()
    return content[1:]


def _malformed() -> DecodeError:
    return DecodeError("csr_malformed", "The request is not a PKCS #10 certification request.")
