# SPDX-License-Identifier: Apache-2.0
"""Basic Encoding Rules (X.690 §8) on their way to what `der` reads: definite lengths, strings in one piece.

CMS of outside programs comes so. Nothing is sorted, no value is touched: what was DER stays as it is, byte for byte,
and a signature over a part that was DER still verifies.
"""

from typing import Final

from etymon.kernel.errors import DecodeError
from etymon.wire import der

DEEPEST: Final = 24
"""Levels that are followed; a certificate inside a request inside SignedData needs half of them."""

MOST_ELEMENTS: Final = 4096

_CONSTRUCTED: Final = 0x20
_INDEFINITE: Final = 0x80
_END: Final = b"\x00\x00"


def definite(data: bytes) -> bytes:
    """Return one BER element with definite, shortest lengths and primitive octet strings.

    Raises `DecodeError` for what is cut off, nests deeper than `DEEPEST`, has more than `MOST_ELEMENTS` elements, or is
    followed by other bytes; constructed bit strings and tags of more than one byte are refused.
    """
    reader = _Reader(data)
    encoded, end = reader.element(0, len(data), 0)
    if end != len(data):
        raise _undecodable("ber_trailing_bytes", "There are bytes after the end of the message.")
    return encoded


def chunks(element: der.Element, *, primitive: int) -> bytes:
    """Return the octets of an implicitly tagged OCTET STRING, in one piece or in several (X.690 §8.7.3).

    `primitive` is its tag in one piece. After `definite` no chunk is itself in pieces.
    """
    if element.tag == primitive:
        return element.content
    pieces = der.elements(der.expect(element, primitive | _CONSTRUCTED).content)
    return b"".join(der.expect(piece, der.OCTET_STRING).content for piece in pieces)


class _Reader:
    """Rewrites one message; counts what it has seen."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._seen = 0

    def element(self, start: int, end: int, depth: int) -> tuple[bytes, int]:
        """Return the element that begins at `start`, rewritten, and where it ended."""
        self._seen += 1
        if depth > DEEPEST or self._seen > MOST_ELEMENTS:
            raise _undecodable("ber_too_deep", "The message has more levels or elements than are read.")
        tag, length, position = self._head(start, end)
        if not tag & _CONSTRUCTED:
            if length is None:
                raise _undecodable("ber_length", "A primitive element has no definite length.")
            return der.encode(tag, self._data[position : position + length]), position + length
        members, position = self._members(position, end if length is None else position + length, length, depth)
        return _assembled(tag, members), position

    def _members(self, position: int, end: int, length: int | None, depth: int) -> tuple[list[bytes], int]:
        members: list[bytes] = []
        while True:
            if length is None and self._data[position : min(position + 2, end)] == _END:
                return members, position + 2
            if position == end:
                if length is None:
                    raise _cut_off()
                return members, position
            member, position = self.element(position, end, depth + 1)
            members.append(member)

    def _head(self, start: int, end: int) -> tuple[int, int | None, int]:
        """Return tag, length (None for an indefinite one) and where the content begins."""
        if start + 2 > end:
            raise _cut_off()
        tag, first = self._data[start], self._data[start + 1]
        if tag & 0x1F == 0x1F or tag == 0:
            raise _undecodable("ber_tag", "The message uses a tag that is not read here.")
        position = start + 2
        if first == _INDEFINITE:
            return tag, None, position
        length = first
        if first & 0x80:
            size = first & 0x7F
            if size > 8 or position + size > end:
                raise _cut_off()
            length = int.from_bytes(self._data[position : position + size], "big")
            position += size
        if position + length > end:
            raise _cut_off()
        return tag, length, position


def _assembled(tag: int, members: list[bytes]) -> bytes:
    primitive = tag & ~_CONSTRUCTED
    if primitive == der.BIT_STRING:
        raise _undecodable("ber_string", "A bit string comes in pieces, which is not read here.")
    if primitive != der.OCTET_STRING:
        return der.encode(tag, b"".join(members))
    pieces = (der.only(member, der.OCTET_STRING).content for member in members)
    return der.encode(primitive, b"".join(pieces))


def _cut_off() -> DecodeError:
    return _undecodable("ber_cut_off", "The message is cut off.")


def _undecodable(code: str, detail: str) -> DecodeError:
    return DecodeError(code, detail)
