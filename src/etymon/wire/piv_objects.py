# SPDX-License-Identifier: Apache-2.0
"""PIV data objects (SP 800-73-5 part 1 §3 and §4).

Each codec here reads and writes the *content* of a data object: what stands inside tag `53`, or inside `7E` for
the discovery object. Inner objects use one-byte tags and end with an empty error detection code `FE`.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from etymon.kernel.errors import DecodeError
from etymon.wire import fascn, tlv
from etymon.wire.fascn import FASCN
from etymon.wire.piv import APPLICATION_ID, RETIRED_KEY_MANAGEMENT

CERTIFICATE_LIMIT_BYTES: Final = 16_384
"""Largest certificate read, unpacked; containers hold 1 857 bytes at least (SP 800-73-5 part 1 table 8)."""

_END: Final = 0xFE


@dataclass(frozen=True, slots=True)
class CHUID:
    """Cardholder unique identifier (SP 800-73-5 part 1 §3.1.2): what names a card.

    `signature` is the issuer's CMS SignedData in DER; empty when the object is not signed.
    """

    fascn: FASCN
    card_uuid: UUID
    expires: date
    cardholder_uuid: UUID | None = None
    signature: bytes = b""

    def signed_content(self) -> bytes:
        """Return what the issuer signs: every object with its tag but the signature, the closing one included."""
        objects = [
            tlv.TLV(0x30, fascn.encode(self.fascn)),
            tlv.TLV(0x34, self.card_uuid.bytes),
            tlv.TLV(0x35, self.expires.isoformat().replace("-", "").encode()),
        ]
        if self.cardholder_uuid:
            objects.append(tlv.TLV(0x36, self.cardholder_uuid.bytes))
        return tlv.encode_all([*objects, tlv.TLV(_END, b"")])


def encode_chuid(chuid: CHUID) -> bytes:
    """Return the CHUID's content."""
    end = tlv.encode(_END, b"")
    return chuid.signed_content().removesuffix(end) + tlv.encode(0x3E, chuid.signature) + end


def decode_chuid(content: bytes) -> CHUID:
    """Read a CHUID. Agency code, DUNS and buffer length of old cards are passed over (tags 32, 33, EE)."""
    found = _objects(content, required=(0x30, 0x34, 0x35), optional=(0x32, 0x33, 0x36, 0x3E, 0xEE))
    return CHUID(
        fascn=fascn.decode(found[0x30]),
        card_uuid=_uuid(found[0x34]),
        expires=_date(found[0x35]),
        cardholder_uuid=_uuid(found[0x36]) if 0x36 in found else None,
        signature=found.get(0x3E, b""),
    )


def chuid_signed_content(content: bytes) -> bytes:
    """Return what the issuer of a CHUID read from a card signed: everything but `3E` and `EE`, as it stands."""
    return tlv.encode_all(item for item in tlv.decode_simple(content) if item.tag not in {0x3E, 0xEE})


def encode_certificate(certificate: bytes) -> bytes:
    """Return the content of a certificate object around a DER certificate, uncompressed."""
    objects = (tlv.TLV(0x70, certificate), tlv.TLV(0x71, b"\x00"), tlv.TLV(_END, b""))
    return tlv.encode_all(objects)


def decode_certificate(content: bytes) -> bytes:
    """Return the DER certificate of a certificate object, unpacked when it is marked as gzip (RFC 1952)."""
    found = _objects(content, required=(0x70,), optional=(0x71, 0x72))
    info = found.get(0x71, b"\x00")
    if info == b"\x00":
        certificate = found[0x70]
    elif info == b"\x01":
        certificate = _gunzip(found[0x70])
    else:
        raise DecodeError("certificate_info", "CertInfo says neither plain (00) nor gzip (01).")
    if not 0 < len(certificate) <= CERTIFICATE_LIMIT_BYTES:
        raise DecodeError("certificate_size", "The certificate object is empty or too large.")
    return certificate


CARD_CAPABILITY_CONTAINER: Final = tlv.encode_all(
    [
        *(tlv.TLV(tag, b"") for tag in (0xF0, 0xF1, 0xF2, 0xF3, 0xF4)),
        tlv.TLV(0xF5, b"\x10"),
        *(tlv.TLV(tag, b"") for tag in (0xF6, 0xF7, 0xFA, 0xFB, 0xFC, 0xFD, _END)),
    ]
)
"""The least a card capability container says: PIV's data model, number 10 (SP 800-73-5 part 1 §3.1.1)."""


@dataclass(frozen=True, slots=True)
class CardCapabilityContainer:
    """What a reader takes from a card capability container: an identifier, and which data model is in use."""

    card_identifier: bytes
    data_model: int


def decode_card_capability_container(content: bytes) -> CardCapabilityContainer:
    """Read a card capability container (SP 800-73-5 part 1 §3.1.1)."""
    found = _objects(
        content,
        required=(0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7),
        optional=(0xFA, 0xFB, 0xFC, 0xFD, 0xE3, 0xE4, 0xB4),
    )
    if len(found[0xF0]) not in {0, 21} or len(found[0xF5]) != 1:
        raise DecodeError("ccc_field", "A field of the card capability container has the wrong length.")
    return CardCapabilityContainer(found[0xF0], found[0xF5][0])


@dataclass(frozen=True, slots=True)
class Discovery:
    """PIN usage policy of a card (SP 800-73-5 part 1 §3.3.2): two bytes of bits."""

    pin_usage_policy: int = 0x4000
    application_id: bytes = APPLICATION_ID

    @property
    def global_pin(self) -> bool:
        """Whether the Global PIN satisfies the access rules as well."""
        return bool(self.pin_usage_policy & 0x2000)


def encode_discovery(discovery: Discovery) -> bytes:
    """Return what stands inside `7E`."""
    policy = discovery.pin_usage_policy.to_bytes(2, "big")
    return tlv.encode(0x4F, discovery.application_id) + tlv.encode(0x5F2F, policy)


def decode_discovery(content: bytes) -> Discovery:
    """Read what stands inside `7E`."""
    objects = tlv.decode_all(content)
    if [item.tag for item in objects] != [0x4F, 0x5F2F] or len(objects[1].value) != 2:
        raise DecodeError("discovery", "A discovery object has an application identifier and a PIN policy.")
    return Discovery(int.from_bytes(objects[1].value, "big"), objects[0].value)


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """How many retired key management keys there are (SP 800-73-5 part 1 §3.3.3)."""

    with_on_card_certificates: int = 0
    with_off_card_certificates: int = 0
    off_card_url: str = ""

    def __post_init__(self) -> None:
        counts = (self.with_on_card_certificates, self.with_off_card_certificates)
        if min(counts) < 0 or sum(counts) > len(RETIRED_KEY_MANAGEMENT):
            raise DecodeError("key_history", "A card has at most twenty retired keys.")
        if len(self.off_card_url) > 118 or not self.off_card_url.isascii():
            raise DecodeError("key_history", "The URL of off-card certificates has at most 118 ASCII characters.")
        if bool(self.off_card_url) != bool(self.with_off_card_certificates):
            raise DecodeError("key_history", "The URL stands there exactly when certificates are off the card.")


def encode_key_history(history: KeyHistory) -> bytes:
    """Return the key history's content."""
    objects = [
        tlv.TLV(0xC1, bytes([history.with_on_card_certificates])),
        tlv.TLV(0xC2, bytes([history.with_off_card_certificates])),
    ]
    if history.off_card_url:
        objects.append(tlv.TLV(0xF3, history.off_card_url.encode()))
    return tlv.encode_all([*objects, tlv.TLV(_END, b"")])


def decode_key_history(content: bytes) -> KeyHistory:
    """Read a key history."""
    found = _objects(content, required=(0xC1, 0xC2), optional=(0xF3,))
    if len(found[0xC1]) != 1 or len(found[0xC2]) != 1:
        raise DecodeError("key_history", "A count of the key history has one byte.")
    url = found.get(0xF3, b"")
    if not url.isascii():
        raise DecodeError("key_history", "The URL of off-card certificates has at most 118 ASCII characters.")
    return KeyHistory(found[0xC1][0], found[0xC2][0], url.decode())


@dataclass(frozen=True, slots=True)
class SecurityObject:
    """Which data group covers which container, and the signed hashes over them (SP 800-73-5 part 1 §3.1.7)."""

    containers: Mapping[int, int]
    """Data group number to container identifier."""
    signature: bytes
    """CMS SignedData over an LDS security object, in DER."""


def encode_security_object(security: SecurityObject) -> bytes:
    """Return the security object's content."""
    mapping = b"".join(
        bytes([group]) + container.to_bytes(2, "big") for group, container in security.containers.items()
    )
    objects = (tlv.TLV(0xBA, mapping), tlv.TLV(0xBB, security.signature), tlv.TLV(_END, b""))
    return tlv.encode_all(objects)


def decode_security_object(content: bytes) -> SecurityObject:
    """Read a security object."""
    found = _objects(content, required=(0xBA, 0xBB))
    mapping = found[0xBA]
    groups = [mapping[start : start + 3] for start in range(0, len(mapping), 3)]
    if len(mapping) % 3 or len({group[0] for group in groups}) != len(groups):
        raise DecodeError("security_object", "The mapping names each data group once, in three bytes.")
    return SecurityObject({group[0]: int.from_bytes(group[1:], "big") for group in groups}, found[0xBB])


def _objects(content: bytes, *, required: tuple[int, ...], optional: tuple[int, ...] = ()) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for item in tlv.decode_simple(content):
        if item.tag in found or item.tag not in {*required, *optional, _END}:
            raise DecodeError("piv_object", f"Tag {item.tag:02X} is unknown here or stands twice.")
        found[item.tag] = item.value
    if any(tag not in found for tag in required) or found.get(_END, b""):
        raise DecodeError("piv_object", "A mandatory part is missing, or the error detection code is not empty.")
    return found


def _uuid(value: bytes) -> UUID:
    if len(value) != 16:
        raise DecodeError("piv_uuid", "A UUID has 16 bytes.")
    return UUID(bytes=value)


def _date(value: bytes) -> date:
    try:
        if len(value) == 8 and value.isdigit():
            return date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError as exc:
        raise DecodeError("piv_date", "There is no such day.") from exc
    raise DecodeError("piv_date", "A date is written YYYYMMDD.")


def _gunzip(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        data = unpacker.decompress(packed, CERTIFICATE_LIMIT_BYTES + 1)
    except zlib.error as exc:
        raise DecodeError("certificate_gzip", "The certificate is marked as gzip and is not.") from exc
    if not unpacker.eof or unpacker.unused_data:
        raise DecodeError("certificate_gzip", "The packed certificate is cut off, too large or followed by more.")
    return data
