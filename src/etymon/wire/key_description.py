# SPDX-License-Identifier: Apache-2.0
"""What Android's key attestation says of a key: the KeyDescription extension (Keymaster 2 to KeyMint 4 and later).

DER with tags of several bytes, read strictly and with bounds. Real devices write tags of an authorization list out of
order and tags nobody has published: order is not asked for, a tag that comes twice is refused, and unknown tags are
kept as they are, for whoever judges to report.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final, TypeAlias, TypeVar

from etymon.kernel.errors import DecodeError
from etymon.wire import der
from etymon.wire.der import Element

EXTENSION: Final = "1.3.6.1.4.1.11129.2.1.17"
LIMIT_BYTES: Final = 8 * 1024
MOST_TAGS: Final = 100
LONGEST_INTEGER_BYTES: Final = 9
"""Eight bytes, unsigned."""

_CONTEXT: Final = 0xA0
_LONG: Final = 0x1F
_BOOT_HASH_FROM: Final = 3
"""Attestation versions from Keymaster 4.0 on say the hash of what was booted."""


class SecurityLevel(IntEnum):
    """Where a key, or what attests it, lives."""

    SOFTWARE = 0
    TRUSTED_ENVIRONMENT = 1
    STRONG_BOX = 2


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


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """An attested key. Only what stands in `hardware_enforced` is vouched for by the secure world."""

    attestation_version: int
    attestation_security_level: SecurityLevel
    keymaster_version: int
    keymaster_security_level: SecurityLevel
    challenge: bytes
    unique_id: bytes
    software_enforced: AuthorizationList
    hardware_enforced: AuthorizationList


@dataclass(frozen=True, slots=True)
class ApplicationId:
    """Who had a key made: packages with their versions, and the SHA-256 of the certificates that signed them."""

    packages: tuple[tuple[str, int], ...]
    signature_digests: tuple[bytes, ...]


def decode(data: bytes) -> KeyDescription:
    """Read the value of the extension; raises `DecodeError`."""
    if len(data) > LIMIT_BYTES:
        raise DecodeError("key_description_too_large", f"A key description has at most {LIMIT_BYTES} bytes.")
    parts = der.elements(der.only(data, der.SEQUENCE).content)
    if len(parts) != 8:
        raise _malformed("It has eight members.")
    version = _number(parts[0])
    return KeyDescription(
        attestation_version=version,
        attestation_security_level=_enumerated(SecurityLevel, parts[1]),
        keymaster_version=_number(parts[2]),
        keymaster_security_level=_enumerated(SecurityLevel, parts[3]),
        challenge=der.expect(parts[4], der.OCTET_STRING).content,
        unique_id=der.expect(parts[5], der.OCTET_STRING).content,
        software_enforced=_authorizations(parts[6], version),
        hardware_enforced=_authorizations(parts[7], version),
    )


def encode(description: KeyDescription) -> bytes:
    """Return the value of the extension, tags in ascending order."""
    return der.sequence(
        der.integer(description.attestation_version),
        der.enumerated(description.attestation_security_level),
        der.integer(description.keymaster_version),
        der.enumerated(description.keymaster_security_level),
        der.octet_string(description.challenge),
        der.octet_string(description.unique_id),
        _encoded(description.software_enforced),
        _encoded(description.hardware_enforced),
    )


def decode_application_id(data: bytes) -> ApplicationId:
    """Read the content of attestationApplicationId; raises `DecodeError`."""
    members = der.elements(der.only(data, der.SEQUENCE).content)
    if len(members) != 2:
        raise _malformed("An application id has packages and digests.")
    packages: list[tuple[str, int]] = []
    for package in der.elements(der.expect(members[0], der.SET).content):
        parts = der.elements(der.expect(package, der.SEQUENCE).content)
        if len(parts) != 2:
            raise _malformed("A package has a name and a version.")
        try:
            name = der.expect(parts[0], der.OCTET_STRING).content.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise _malformed("A package's name is UTF-8.") from exc
        packages.append((name, _number(parts[1])))
    digests = der.elements(der.expect(members[1], der.SET).content)
    return ApplicationId(tuple(packages), tuple(der.expect(each, der.OCTET_STRING).content for each in digests))


def encode_application_id(application: ApplicationId) -> bytes:
    """Return the content of attestationApplicationId."""
    packages = b"".join(
        der.sequence(der.octet_string(name.encode("utf-8")), der.integer(version))
        for name, version in application.packages
    )
    digests = b"".join(map(der.octet_string, application.signature_digests))
    return der.sequence(der.encode(der.SET, packages), der.encode(der.SET, digests))


def _authorizations(element: Element, version: int) -> AuthorizationList:
    values: dict[str, Value] = {}
    unknown: dict[int, bytes] = {}
    content, position, count = der.expect(element, der.SEQUENCE).content, 0, 0
    while position < len(content):
        number, inner, position = _tagged(content, position)
        count += 1
        if count > MOST_TAGS:
            raise _malformed(f"A list has at most {MOST_TAGS} tags.")
        name, kind = TAGS.get(number, ("", None))
        if name in values or number in unknown:
            raise _malformed("A tag comes twice.")
        if kind is None:
            unknown[number] = inner
        else:
            values[name] = _value(kind, inner, version)
    return AuthorizationList(values, tuple(unknown.items()))


def _tagged(content: bytes, start: int) -> tuple[int, bytes, int]:
    """Read an explicit context tag of any number; return it, what is inside, and where the next begins."""
    number, position = content[start] & _LONG, start + 1
    if content[start] & 0xE0 != _CONTEXT:
        raise _malformed("A list has context tags only.")
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
    raise _malformed("A tag is not in its shortest form.")


def _value(kind: Kind, inner: bytes, version: int) -> Value:
    match kind:
        case Kind.INTEGER:
            return _number(der.only(inner, der.INTEGER))
        case Kind.INTEGERS:
            return tuple(_number(each) for each in der.elements(der.only(inner, der.SET).content))
        case Kind.PRESENT:
            if der.only(inner, der.NULL).content:
                raise _malformed("NULL has no content.")
            return True
        case Kind.OCTETS:
            return der.only(inner, der.OCTET_STRING).content
        case Kind.ROOT_OF_TRUST:
            return _root_of_trust(der.elements(der.only(inner, der.SEQUENCE).content), version)


def _root_of_trust(parts: tuple[Element, ...], version: int) -> RootOfTrust:
    if not 3 <= len(parts) <= 4 or (len(parts) == 3 and version >= _BOOT_HASH_FROM):
        raise _malformed("A root of trust has three members, and from version 3 four.")
    locked = der.expect(parts[1], der.BOOLEAN).content
    if locked not in {b"\x00", b"\xff"}:
        raise _malformed("A truth value is neither 00 nor FF.")
    return RootOfTrust(
        verified_boot_key=der.expect(parts[0], der.OCTET_STRING).content,
        device_locked=locked == b"\xff",
        verified_boot_state=_enumerated(VerifiedBootState, parts[2]),
        verified_boot_hash=der.expect(parts[3], der.OCTET_STRING).content if len(parts) == 4 else None,
    )


def _number(element: Element) -> int:
    value = der.to_integer(element)
    if value < 0 or len(element.content) > LONGEST_INTEGER_BYTES:
        raise _malformed("A number is not between 0 and 2^64.")
    return value


Enumeration = TypeVar("Enumeration", SecurityLevel, VerifiedBootState)


def _enumerated(kind: type[Enumeration], element: Element) -> Enumeration:
    content = der.expect(element, der.ENUMERATED).content
    try:
        return kind(int.from_bytes(content, "big")) if len(content) == 1 else kind(-1)
    except ValueError as exc:
        raise _malformed(f"It names a {kind.__name__} that there is not.") from exc


def _encoded(listed: AuthorizationList) -> bytes:
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


def _malformed(detail: str) -> DecodeError:
    return DecodeError("key_description_malformed", f"The key description cannot be read. {detail}")
