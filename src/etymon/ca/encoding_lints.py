# SPDX-License-Identifier: Apache-2.0
"""The lints that look at bytes: algorithm identifiers, the form of keys, times and strings (RFC 5280, X.690)."""

import functools
import re
from collections.abc import Iterator
from typing import Final

from cryptography import x509

from etymon.ca.lint import Lint, Linted, lint
from etymon.kernel.errors import DecodeError
from etymon.wire import der

RSA_WITH_SHA: Final = ("1.2.840.113549.1.1.11", "1.2.840.113549.1.1.12", "1.2.840.113549.1.1.13")
ECDSA_WITH_SHA: Final = ("1.2.840.10045.4.3.2", "1.2.840.10045.4.3.3", "1.2.840.10045.4.3.4")
RSA_PSS: Final = "1.2.840.113549.1.1.10"

_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_MASK_GENERATION: Final = "1.2.840.113549.1.1.8"
_PRINTABLE: Final = 0x13
_UTF8: Final = 0x0C
_IA5: Final = 0x16
_DIRECTORY_STRINGS: Final = frozenset({_PRINTABLE, _UTF8})
_PRINTABLE_STRINGS: Final = frozenset({_PRINTABLE})
_IA5_STRINGS: Final = frozenset({_IA5})
_DOMAIN_COMPONENT: Final = "0.9.2342.19200300.100.1.25"
_MAIL_ADDRESS: Final = "1.2.840.113549.1.9.1"
_PRINTABLE_ONLY: Final = frozenset({"2.5.4.5", "2.5.4.6", "2.5.4.46"})
"""serialNumber, country and dnQualifier are PrintableString (RFC 5280 appendix A.1)."""
_PLAIN_RSA: Final = der.sequence(der.object_identifier("1.2.840.113549.1.1.1"), der.null())
_PLAIN_CURVES: Final = {
    der.sequence(der.object_identifier("1.2.840.10045.2.1"), der.object_identifier(curve)): 1 + octets
    for curve, octets in (("1.2.840.10045.3.1.7", 65), ("1.3.132.0.34", 97))
}
"""Algorithm identifiers of P-256 and P-384, and the length of an uncompressed point with its count of unused bits."""
_WHOLE_AND_UNCOMPRESSED: Final = b"\x00\x04"
_UTC: Final = re.compile(rb"\d{12}Z")
_GENERALIZED: Final = re.compile(rb"(\d{4})\d{10}Z")


@lint("signature_algorithm_allowed", "P-2", "profiles v2.2 §2; RFC 4055 §3.1, §5; RFC 5758 §3.2")
def _signature_algorithm(linted: Linted) -> Iterator[str]:
    inner = linted.tbs[1].encoded
    outer = der.elements(der.only(linted.encoded, der.SEQUENCE).content)[1].encoded
    if inner != outer:
        yield "the two algorithm identifiers differ"
    oid, allowed = _algorithm(inner)
    if oid in linted.profile.forbidden_signatures:
        yield "the profile does not allow this signature algorithm"
    elif not allowed:
        yield "the signature algorithm, or the form of its parameters, is not allowed"


@functools.lru_cache(maxsize=64)
def _algorithm(identifier: bytes) -> tuple[str, bool]:
    """Return the OID of an AlgorithmIdentifier, and whether its form is allowed."""
    name, *parameters = der.elements(der.only(identifier, der.SEQUENCE).content)
    oid = der.to_object_identifier(name)
    return oid, _has_allowed_form(oid, parameters)


def _has_allowed_form(oid: str, parameters: list[der.Element]) -> bool:
    if oid in RSA_WITH_SHA:
        return [found.encoded for found in parameters] == [der.null()]
    if oid in ECDSA_WITH_SHA:
        return not parameters
    return oid == RSA_PSS and len(parameters) == 1 and _is_pss_with_sha256(parameters[0])


def _is_pss_with_sha256(parameters: der.Element) -> bool:
    """Say whether hash and mask generation of RSASSA-PSS use SHA-256, salt as long (RFC 4055 §3.1)."""
    fields = {field.tag: field.content for field in der.elements(der.expect(parameters, der.SEQUENCE).content)}
    hash_forms = {der.sequence(der.object_identifier(_SHA256), tail) for tail in (b"", der.null())}
    masks = {der.sequence(der.object_identifier(_MASK_GENERATION), form) for form in hash_forms}
    return fields.get(0xA0) in hash_forms and fields.get(0xA1) in masks and fields.get(0xA2) == der.integer(32)


@lint("subject_key_plainly_encoded", "P-3", "RFC 3279 §2.3.1; RFC 5480 §2.1.1, §2.2; profiles v2.2 §2")
def _subject_key(linted: Linted) -> Iterator[str]:
    algorithm, bits = der.elements(der.expect(linted.tbs[5], der.SEQUENCE).content)
    if algorithm.encoded in _PLAIN_CURVES:
        if len(bits.content) != _PLAIN_CURVES[algorithm.encoded] or bits.content[:2] != _WHOLE_AND_UNCOMPRESSED:
            yield "the point of the key is not uncompressed"
    elif algorithm.encoded != _PLAIN_RSA:
        yield "the key is neither RSA with NULL nor on P-256 or P-384, named"


@lint("times_in_prescribed_form", "P-5", "RFC 5280 §4.1.2.5")
def _times(linted: Linted) -> Iterator[str]:
    for moment in der.elements(der.expect(linted.tbs[3], der.SEQUENCE).content):
        if moment.tag == der.UTC_TIME and _UTC.fullmatch(moment.content):
            continue
        generalized = _GENERALIZED.fullmatch(moment.content) if moment.tag == der.GENERALIZED_TIME else None
        if generalized is None or int(generalized[1]) < der.GENERALIZED_FROM_YEAR:
            yield "a time is not UTCTime through 2049 and GeneralizedTime after, with seconds and Z"


@lint("name_strings_allowed", "P-6", "RFC 5280 §4.1.2.4, appendix A.1; profiles v2.2 §2")
def _name_strings(linted: Linted) -> Iterator[str]:
    for oid in (*_wrong_strings_of_issuer(linted.tbs[2].encoded), *_wrong_strings(linted.tbs[4].encoded)):
        yield f"the attribute {oid} of a name is not the kind of string it must be"


@functools.lru_cache(maxsize=64)
def _wrong_strings_of_issuer(name: bytes) -> tuple[str, ...]:
    """Return the same for the name of an issuer, which stands in many certificates."""
    return _wrong_strings(name)


def _wrong_strings(name: bytes) -> tuple[str, ...]:
    """Return the types of those attributes of a Name whose kind of string they may not have."""
    wrong = []
    for oid, value in _attributes(name):
        if oid in _PRINTABLE_ONLY:
            allowed = _PRINTABLE_STRINGS
        elif oid in {_DOMAIN_COMPONENT, _MAIL_ADDRESS}:
            allowed = _IA5_STRINGS
        else:
            allowed = _DIRECTORY_STRINGS
        if value.tag not in allowed:
            wrong.append(oid)
    return tuple(wrong)


def _attributes(name: bytes) -> Iterator[tuple[str, der.Element]]:
    """Yield the attributes of a Name: type and value."""
    for relative in der.elements(der.only(name, der.SEQUENCE).content):
        for attribute in der.elements(der.expect(relative, der.SET).content):
            parts = der.elements(der.expect(attribute, der.SEQUENCE).content)
            if len(parts) != 2:
                raise DecodeError("name_malformed", "An attribute of a name has not two parts.")
            yield der.to_object_identifier(parts[0]), parts[1]


@lint("issuer_name_equal", "P-6", "RFC 5280 §4.1.2.4, §6.1.3; profiles v2.2 §2")
def _issuer_name(linted: Linted) -> Iterator[str]:
    if linted.profile.self_signed:
        expected = linted.tbs[4].encoded
    elif linted.issuer is not None:
        expected = _subject_of(linted.issuer)
    else:
        return
    if linted.tbs[2].encoded != expected:
        yield "the issuer name is not, byte for byte, the subject of the issuing certificate"


@functools.lru_cache(maxsize=64)
def _subject_of(issuer: x509.Certificate) -> bytes:
    """Return an issuer's subject as it is encoded in its certificate."""
    fields = der.elements(der.only(issuer.tbs_certificate_bytes, der.SEQUENCE).content)
    return fields[5 if fields[0].tag == der.CONTEXT_0 else 4].encoded


ENCODING_LINTS: Final[tuple[Lint, ...]] = (
    _signature_algorithm,
    _subject_key,
    _times,
    _name_strings,
    _issuer_name,
)
"""Every lint of this module."""
