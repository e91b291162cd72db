# SPDX-License-Identifier: Apache-2.0
"""Distinguished Encoding Rules (X.690): a writer for what is signed here, and a strict, bounded reader."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from etymon.kernel.errors import DecodeError

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
ENUMERATED: Final = 0x0A
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31
CONTEXT_0: Final = 0xA0
"""Constructed, context-specific, number 0."""

GENERALIZED_FROM_YEAR: Final = 2050
"""From this year on dates are GeneralizedTime (RFC 5280 §4.1.2.5)."""


def encode(tag: int, content: bytes | bytearray) -> bytes:
    """Return one element with its definite, shortest length."""
    count = len(content)
    if count < 0x80:
        return bytes((tag, count)) + content
    octets = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def sequence(*elements: bytes) -> bytes:
    """Return a SEQUENCE of encoded elements."""
    return encode(SEQUENCE, b"".join(elements))


def explicit(number: int, *elements: bytes) -> bytes:
    """Return elements under an explicit context tag."""
    return encode(0xA0 | number, b"".join(elements))


def integer(value: int) -> bytes:
    """Return an INTEGER in its shortest two's complement form."""
    bits = value.bit_length() if value >= 0 else (value + 1).bit_length()
    return encode(INTEGER, value.to_bytes(bits // 8 + 1, "big", signed=True))


def enumerated(value: int) -> bytes:
    """Return an ENUMERATED of a small value."""
    return encode(ENUMERATED, bytes((value,)))


def boolean(*, value: bool) -> bytes:
    """Return a BOOLEAN."""
    return encode(BOOLEAN, b"\xff" if value else b"\x00")


def octet_string(content: bytes) -> bytes:
    """Return an OCTET STRING."""
    return encode(OCTET_STRING, content)


def bit_string(content: bytes) -> bytes:
    """Return a BIT STRING of whole octets."""
    return encode(BIT_STRING, b"\x00" + content)


def null() -> bytes:
    """Return NULL."""
    return b"\x05\x00"


@lru_cache(maxsize=512)
def object_identifier(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER from its dotted form."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        content += bytes(reversed(groups))
    return encode(OBJECT_IDENTIFIER, bytes(content))


def generalized_time(moment: datetime) -> bytes:
    """Return a GeneralizedTime in UTC to the second."""
    return encode(GENERALIZED_TIME, f"{moment.astimezone(UTC):%Y%m%d%H%M%SZ}".encode("ascii"))


def time(moment: datetime) -> bytes:
    """Return the `Time` of RFC 5280: UTCTime through 2049, GeneralizedTime after."""
    utc = moment.astimezone(UTC)
    if utc.year >= GENERALIZED_FROM_YEAR:
        return generalized_time(utc)
    return encode(UTC_TIME, f"{utc:%y%m%d%H%M%SZ}".encode("ascii"))


@dataclass(frozen=True, slots=True)
class Element:
    """One element as it was read: tag, content, and its whole encoding."""

    tag: int
    content: bytes
    encoded: bytes


def elements(data: bytes) -> tuple[Element, ...]:
    """Read elements one after the other until the bytes end; lengths are definite and shortest.

    Raises `DecodeError` for anything else, for tags of more than one byte, and for what is cut off.
    """
    found: list[Element] = []
    position = 0
    while position < len(data):
        found.append(_element(data, position))
        position += len(found[-1].encoded)
    return tuple(found)


def first(data: bytes) -> Element:
    """Read the element that `data` begins with; what follows it is not looked at."""
    return _element(data, 0)


def only(data: bytes, tag: int) -> Element:
    """Read exactly one element of `tag`; trailing bytes are refused."""
    element = _element(data, 0)
    if len(element.encoded) != len(data):
        raise _undecodable("der_trailing_bytes", "There are bytes after the end of the message.")
    return expect(element, tag)


def expect(element: Element, tag: int) -> Element:
    """Return `element` if it has `tag`."""
    if element.tag != tag:
        raise _undecodable("der_unexpected_tag", "The message is not built as its type promises.")
    return element


def require_depth(data: bytes, deepest: int) -> None:
    """Raise `DecodeError` `der_too_deep` for more than `deepest` constructed elements inside one another.

    An octet string that holds one whole element counts as constructed, as extensions are built; where what is in it
    turns out to be no elements, such as a key's digest that begins like one, it is passed over. Reads tags and lengths
    alone, without recursion; what else is malformed ends the look, for the reader after this to refuse.
    """
    around: list[tuple[int, bool]] = []  # where each element ends that the look is in, and if it is an octet string
    position = 0
    while position < len(data):
        while around and position >= around[-1][0]:
            around.pop()
        header = _header(data, position)
        if header is None or (around and header[2] > around[-1][0]):
            while around and not around[-1][1]:
                around.pop()
            if not around:
                return
            position = around.pop()[0]
            continue
        tag, begin, end = header
        guessed = tag == OCTET_STRING and _holds_one_element(data, begin, end)
        if tag & 0x20 or guessed:
            around.append((end, guessed))
            position = begin
        else:
            position = end
        if len(around) > deepest:
            raise _undecodable("der_too_deep", f"The message has more than {deepest} levels.")


def to_integer(element: Element) -> int:
    """Return the value of an INTEGER in its shortest form."""
    content = expect(element, INTEGER).content
    if not content or (len(content) > 1 and content[0] in {0x00, 0xFF} and (content[0] ^ content[1]) < 0x80):
        raise _undecodable("der_integer", "An integer is not in its shortest form.")
    return int.from_bytes(content, "big", signed=True)


def to_object_identifier(element: Element) -> str:
    """Return the dotted form of an OBJECT IDENTIFIER."""
    content = expect(element, OBJECT_IDENTIFIER).content
    if not content or content[-1] & 0x80:
        raise _undecodable("der_object_identifier", "An object identifier is cut off.")
    arcs: list[int] = []
    arc, begins = 0, True
    for octet in content:
        if begins and octet == 0x80:
            raise _undecodable("der_object_identifier", "An object identifier is not in its shortest form.")
        arc = arc << 7 | octet & 0x7F
        begins = not octet & 0x80
        if begins:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _element(data: bytes, start: int) -> Element:
    if start + 2 > len(data):
        raise _undecodable("der_cut_off", "The message is cut off.")
    tag, count = data[start], data[start + 1]
    if tag & 0x1F == 0x1F:
        raise _undecodable("der_long_tag", "The message uses tags of more than one byte.")
    position = start + 2
    if count & 0x80:
        size = count & 0x7F
        octets = data[position : position + size]
        count = int.from_bytes(octets, "big")
        if not 1 <= size <= 4 or len(octets) != size or octets[0] == 0 or count < 0x80:
            raise _undecodable("der_length", "A length in the message is not definite and shortest.")
        position += size
    end = position + count
    if end > len(data):
        raise _undecodable("der_cut_off", "The message is cut off.")
    return Element(tag, data[position:end], data[start:end])


def _header(data: bytes, start: int) -> tuple[int, int, int] | None:
    """Return the tag of an element and where its content begins and ends; None if it has no such form."""
    if start + 2 > len(data) or data[start] & 0x1F == 0x1F:
        return None
    begin, count = start + 2, data[start + 1]
    if count & 0x80:
        begin += count & 0x7F
        count = int.from_bytes(data[start + 2 : begin], "big")
    return (data[start], begin, begin + count) if begin + count <= len(data) else None


def _holds_one_element(data: bytes, begin: int, end: int) -> bool:
    header = _header(data, begin)
    return header is not None and header[2] == end


def _undecodable(code: str, detail: str) -> DecodeError:
    return DecodeError(code, detail)
