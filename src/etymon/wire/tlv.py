# SPDX-License-Identifier: Apache-2.0
"""Tag-length-value as smart cards write it (ISO/IEC 7816-4 §5.2.2).

Two dialects: BER-TLV, whose tags may take up to three bytes, and the *simple* one inside PIV data objects
(SP 800-73-5 part 1 §4), where every tag is one byte whatever its bits say. Both use BER lengths.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from etymon.kernel.errors import DecodeError

LIMIT_BYTES: Final = 65_535
"""Longest value read or written; the largest PIV object is 12 710 bytes (SP 800-73-5 part 1 §4)."""

_TAG_LIMIT_BYTES: Final = 3
_MORE_TAG_BYTES: Final = 0x1F
_NOT_LAST: Final = 0x80

_TagReader = Callable[[bytes, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class TLV:
    """One data object: the tag as the number its bytes spell (0x5FC102), and the value's bytes."""

    tag: int
    value: bytes


def encode(tag: int, value: bytes) -> bytes:
    """Return the data object with the shortest length form; `tag` is written as its bytes spell it."""
    if len(value) > LIMIT_BYTES:
        raise DecodeError("tlv_too_long", f"A value has at most {LIMIT_BYTES} bytes.")
    return tag.to_bytes(max(1, (tag.bit_length() + 7) // 8), "big") + length(len(value)) + value


def length(count: int) -> bytes:
    """Return a BER length of `count` bytes (up to 0xFFFF) in its shortest form."""
    if count < 0x80:
        return bytes([count])
    if count < 0x100:
        return bytes([0x81, count])
    return b"\x82" + count.to_bytes(2, "big")


def encode_all(objects: Iterable[TLV]) -> bytes:
    """Return the data objects one after the other."""
    return b"".join(encode(item.tag, item.value) for item in objects)


def decode_all(data: bytes) -> tuple[TLV, ...]:
    """Read BER data objects until the bytes end; nothing may be left over."""
    return _decode_all(data, _ber_tag)


def decode_simple(data: bytes) -> tuple[TLV, ...]:
    """Read data objects with one-byte tags until the bytes end; nothing may be left over."""
    return _decode_all(data, _simple_tag)


def decode_one(data: bytes) -> TLV:
    """Read exactly one BER data object."""
    objects = decode_all(data)
    if len(objects) != 1:
        raise DecodeError("tlv_not_one", f"Expected one data object and found {len(objects)}.")
    return objects[0]


def unwrap(data: bytes, tag: int) -> bytes:
    """Return the value of the only BER data object in `data`, which must carry `tag`."""
    found = decode_one(data)
    if found.tag != tag:
        raise DecodeError("tlv_wrong_tag", f"Expected tag {tag:02X} and found {found.tag:02X}.")
    return found.value


def _decode_all(data: bytes, read_tag: _TagReader) -> tuple[TLV, ...]:
    objects: list[TLV] = []
    position = 0
    while position < len(data):
        tag, position = read_tag(data, position)
        count, position = _length(data, position)
        if count > LIMIT_BYTES or position + count > len(data):
            raise DecodeError("tlv_length", "A length says more bytes than there are.")
        objects.append(TLV(tag, bytes(data[position : position + count])))
        position += count
    return tuple(objects)


def _simple_tag(data: bytes, position: int) -> tuple[int, int]:
    return data[position], position + 1


def _ber_tag(data: bytes, position: int) -> tuple[int, int]:
    tag = data[position]
    start, position = position, position + 1
    if tag & _MORE_TAG_BYTES != _MORE_TAG_BYTES:
        return tag, position
    while True:
        if position >= len(data) or position - start >= _TAG_LIMIT_BYTES:
            raise DecodeError("tlv_tag", "A tag ends too early or is longer than three bytes.")
        tag = tag << 8 | data[position]
        position += 1
        if not data[position - 1] & _NOT_LAST:
            break
    if tag.bit_length() <= 8 * (position - start - 1):
        raise DecodeError("tlv_tag", "A tag begins with empty bytes.")
    return tag, position


def _length(data: bytes, position: int) -> tuple[int, int]:
    if position >= len(data):
        raise DecodeError("tlv_length", "A data object ends before its length.")
    first, position = data[position], position + 1
    if first < 0x80:
        return first, position
    octets = first - 0x80
    if not 1 <= octets <= 3 or position + octets > len(data):
        raise DecodeError("tlv_length", "A length has one to three bytes, and they are not there.")
    return int.from_bytes(data[position : position + octets], "big"), position + octets
