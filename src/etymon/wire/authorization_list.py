# SPDX-License-Identifier: Apache-2.0
"""Authorization lists of Android key attestation: what is enforced of a key, by tags of one to three bytes.

Real devices write tags out of order and tags nobody has published: order is not asked for, a tag that comes twice is
refused, and unknown tags are kept as they are, for whoever judges to report.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final, TypeAlias, TypeVar

from etymon.kernel.errors import DecodeError
from etymon.wire import der
from etymon.wire.der import Element

MOST_TAGS: Final = 100
LONGEST_INTEGER_BYTES: Final = 9
"""Eight bytes, unsigned."""

_CONTEXT: Final = 0xA0
_LONG: Final = 0x1F
_BOOT_HASH_FROM: Final = 3
"""Attestation versions from Keymaster 4.0 on say the hash of what was booted."""


class VerifiedBootState(IntEnum):
    """What the boot loader found."""

    VERIFIED = 0
    SELF_SIGNED = 1
    UNVERIFIED = 2
    FAILED = 3


class Kind(Enum):
    """How the value of a tag is encoded."""

    INTEGER = "integer"
    INTEGERS = "integers"
    PRESENT = "present"
    OCTETS = "octets"
    ROOT_OF_TRUST = "root of trust"


TAGS: Final[Mapping[int, tuple[str, Kind]]] = {
    1: ("purpose", Kind.INTEGERS),
    2: ("algorithm", Kind.INTEGER),
    3: ("keySize", Kind.INTEGER),
    4: ("blockMode", Kind.INTEGERS),
    5: ("digest", Kind.INTEGERS),
    6: ("padding", Kind.INTEGERS),
    7: ("callerNonce", Kind.PRESENT),
    8: ("minMacLength", Kind.INTEGER),
    10: ("ecCurve", Kind.INTEGER),
    11: ("mlDsaVariant", Kind.INTEGER),
    200: ("rsaPublicExponent", Kind.INTEGER),
    203: ("mgfDigest", Kind.INTEGERS),
    303: ("rollbackResistance", Kind.PRESENT),
    305: ("earlyBootOnly", Kind.PRESENT),
    400: ("activeDateTime", Kind.INTEGER),
    401: ("originationExpireDateTime", Kind.INTEGER),
    402: ("usageExpireDateTime", Kind.INTEGER),
    405: ("usageCountLimit", Kind.INTEGER),
    502: ("userSecureId", Kind.INTEGER),
    503: ("noAuthRequired", Kind.PRESENT),
    504: ("userAuthType", Kind.INTEGER),
    505: ("authTimeout", Kind.INTEGER),
    506: ("allowWhileOnBody", Kind.PRESENT),
    507: ("trustedUserPresenceRequired", Kind.PRESENT),
    508: ("trustedConfirmationRequired", Kind.PRESENT),
    509: ("unlockedDeviceRequired", Kind.PRESENT),
    600: ("allApplications", Kind.PRESENT),
    601: ("applicationId", Kind.OCTETS),
    701: ("creationDateTime", Kind.INTEGER),
    702: ("origin", Kind.INTEGER),
    703: ("rollbackResistant", Kind.PRESENT),
    704: ("rootOfTrust", Kind.ROOT_OF_TRUST),
    705: ("osVersion", Kind.INTEGER),
    706: ("osPatchLevel", Kind.INTEGER),
    709: ("attestationApplicationId", Kind.OCTETS),
    710: ("attestationIdBrand", Kind.OCTETS),
    711: ("attestationIdDevice", Kind.OCTETS),
    712: ("attestationIdProduct", Kind.OCTETS),
    713: ("attestationIdSerial", Kind.OCTETS),
    714: ("attestationIdImei", Kind.OCTETS),
    715: ("attestationIdMeid", Kind.OCTETS),
    716: ("attestationIdManufacturer", Kind.OCTETS),
    717: ("attestationIdModel", Kind.OCTETS),
    718: ("vendorPatchLevel", Kind.INTEGER),
    719: ("bootPatchLevel", Kind.INTEGER),
    720: ("deviceUniqueAttestation", Kind.PRESENT),
    723: ("attestationIdSecondImei", Kind.OCTETS),
    724: ("moduleHash", Kind.OCTETS),
}
"""The tags of an AuthorizationList by number, in the schema's words."""

NUMBERS: Final[Mapping[str, int]] = {name: number for number, (name, _) in TAGS.items()}


@dataclass(frozen=True, slots=True)
class RootOfTrust:
    """What was booted. `verified_boot_hash` is None before attestation version 3."""

    verified_boot_key: bytes
    device_locked: bool
    verified_boot_state: VerifiedBootState
    verified_boot_hash: bytes | None = None


Value: TypeAlias = "int | tuple[int, ...] | bool | bytes | RootOfTrust"


@dataclass(frozen=True, slots=True)
class AuthorizationList:
    """What is enforced of a key, by the schema's words. `unknown` are other tags, with their encoded values."""

    values: Mapping[str, Value] = field(default_factory=dict)
    unknown: tuple[tuple[int, bytes], ...] = ()

    def number(self, name: str) -> int | None:
        """Return an INTEGER, or None where it is not there."""
        value = self.values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def numbers(self, name: str) -> frozenset[int]:
        """Return a SET OF INTEGER; empty where it is not there."""
        value = self.values.get(name)
        return frozenset(value) if isinstance(value, tuple) else frozenset()

    def octets(self, name: str) -> bytes | None:
        """Return an OCTET STRING, or None where it is not there."""
        value = self.values.get(name)
        return value if isinstance(value, bytes) else None

    @property
    def root_of_trust(self) -> RootOfTrust | None:
        """What was booted, if the list says it."""
        value = self.values.get("rootOfTrust")
        return value if isinstance(value, RootOfTrust) else None


def decode_list(element: Element, version: int) -> AuthorizationList:
    """Read an AuthorizationList of an attestation version; raises `DecodeError`."""
    values: dict[str, Value] = {}
    unknown: dict[int, bytes] = {}
    content, position, count = der.expect(element, der.SEQUENCE).content, 0, 0
    while position < len(content):
        number, inner, position = _tagged(content, position)
        count += 1
        if count > MOST_TAGS:
            raise malformed(f"A list has at most {MOST_TAGS} tags.")
        name, kind = TAGS.get(number, ("", None))
        if name in values or number in unknown:
            raise malformed("A tag comes twice.")
        if kind is None:
            unknown[number] = inner
        else:
            values[name] = _value(kind, inner, version)
    return AuthorizationList(values, tuple(unknown.items()))


def _tagged(content: bytes, start: int) -> tuple[int, bytes, int]:
    """Read an explicit context tag of any number; return it, what is inside, and where the next begins."""
    number, position = content[start] & _LONG, start + 1
    if content[start] & 0xE0 != _CONTEXT:
        raise malformed("A list has context tags only.")
    if number == _LONG:
        number, position = _long_number(content, position)
    # the rest of the element is read as one with a tag of a single byte, which has the same length
    inner = der.first(bytes((der.SEQUENCE,)) + content[position:])
    return number, inner.content, position + len(inner.encoded) - 1


def _long_number(content: bytes, position: int) -> tuple[int, int]:
    number, begin = 0, position
    while position < len(content) and position - begin < 3:
        octet = content[position]
        position += 1
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            if number < _LONG or content[begin] == 0x80:
                break
            return number, position
    raise malformed("A tag is not in its shortest form.")


def _value(kind: Kind, inner: bytes, version: int) -> Value:
    match kind:
        case Kind.INTEGER:
            return to_number(der.only(inner, der.INTEGER))
        case Kind.INTEGERS:
            return tuple(to_number(each) for each in der.elements(der.only(inner, der.SET).content))
        case Kind.PRESENT:
            if der.only(inner, der.NULL).content:
                raise malformed("NULL has no content.")
            return True
        case Kind.OCTETS:
            return der.only(inner, der.OCTET_STRING).content
        case Kind.ROOT_OF_TRUST:
            return _root_of_trust(der.elements(der.only(inner, der.SEQUENCE).content), version)


def _root_of_trust(parts: tuple[Element, ...], version: int) -> RootOfTrust:
    if not 3 <= len(parts) <= 4 or (len(parts) == 3 and version >= _BOOT_HASH_FROM):
        raise malformed("A root of trust has three members, and from version 3 four.")
    locked = der.expect(parts[1], der.BOOLEAN).content
    if locked not in {b"\x00", b"\xff"}:
        raise malformed("A truth value is neither 00 nor FF.")
    return RootOfTrust(
        verified_boot_key=der.expect(parts[0], der.OCTET_STRING).content,
        device_locked=locked == b"\xff",
        verified_boot_state=to_enumerated(VerifiedBootState, parts[2]),
        verified_boot_hash=der.expect(parts[3], der.OCTET_STRING).content if len(parts) == 4 else None,
    )


def to_number(element: Element) -> int:
    """Return an INTEGER from 0 to what eight bytes hold."""
    value = der.to_integer(element)
    if value < 0 or len(element.content) > LONGEST_INTEGER_BYTES:
        raise malformed("A number is not between 0 and 2^64.")
    return value


Enumeration = TypeVar("Enumeration", bound=IntEnum)


def to_enumerated(kind: type[Enumeration], element: Element) -> Enumeration:
    """Return an ENUMERATED that there is."""
    content = der.expect(element, der.ENUMERATED).content
    try:
        return kind(int.from_bytes(content, "big")) if len(content) == 1 else kind(-1)
    except ValueError as exc:
        raise malformed(f"It names a {kind.__name__} that there is not.") from exc


def encode_list(listed: AuthorizationList) -> bytes:
    """Return an AuthorizationList, tags in ascending order."""
    tagged = {NUMBERS[name]: _encoded_value(value) for name, value in listed.values.items()} | dict(listed.unknown)
    return der.sequence(*(_encoded_tag(number, inner) for number, inner in sorted(tagged.items())))


def _encoded_tag(number: int, inner: bytes) -> bytes:
    rest = der.encode(0, inner)[1:]
    if number < _LONG:
        return bytes((_CONTEXT | number,)) + rest
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(0x80 | number & 0x7F)
    return bytes((_CONTEXT | _LONG, *reversed(groups))) + rest


def _encoded_value(value: Value) -> bytes:
    match value:
        case bool():
            return der.null()
        case int():
            return der.integer(value)
        case bytes():
            return der.octet_string(value)
        case tuple():
            return der.encode(der.SET, b"".join(map(der.integer, value)))
        case RootOfTrust():
            hashed = () if value.verified_boot_hash is None else (der.octet_string(value.verified_boot_hash),)
            return der.sequence(
                der.octet_string(value.verified_boot_key),
                der.boolean(value=value.device_locked),
                der.enumerated(value.verified_boot_state),
                *hashed,
            )


def malformed(detail: str) -> DecodeError:
    """Return what a description that cannot be read is refused with."""
    return DecodeError("key_description_malformed", f"The key description cannot be read. {detail}")
