# SPDX-License-Identifier: Apache-2.0
"""A look at DER before any parser reads it: one element, definite shortest lengths, bounded size, depth and count.

What others send is walked once, without recursion, so that no parser below meets an encoding that is endless, deep,
or another spelling of something else (X.690 §8.1, §10.1).
"""

from dataclasses import dataclass
from typing import Final

from etymon.kernel.errors import DecodeError

_CONSTRUCTED: Final = 0x20
_LONG_TAG: Final = 0x1F
_BOOLEAN: Final = 0x01
_INTEGER: Final = 0x02


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a message may be at most. Elements below `depth` are not looked at where `outline` says so, else refused."""

    octets: int
    depth: int = 24
    elements: int = 5000
    outline: bool = False


def require_plain(data: bytes, bounds: Bounds) -> None:
    """Raise `DecodeError` unless `data` is exactly one element of DER within bounds."""
    if len(data) > bounds.octets:
        raise DecodeError("der_too_large", f"The message has at most {bounds.octets} bytes.")
    end, ends = len(data), [len(data)]
    position = count = 0
    while position < end:
        count += 1
        if count > bounds.elements:
            raise DecodeError("der_too_many", "The message has too many elements.")
        tag, start, position = _head(data, position, ends[-1])
        if tag & _CONSTRUCTED and len(ends) > bounds.depth and not bounds.outline:
            raise DecodeError("der_too_deep", "The message is nested too deeply.")
        if tag & _CONSTRUCTED and len(ends) <= bounds.depth:
            ends.append(position)
            position = start
        elif tag in {_BOOLEAN, _INTEGER}:
            _require_shortest(tag, data[start:position])
        while len(ends) > 1 and position == ends[-1]:
            ends.pop()
        if len(ends) == 1 and position < end:
            raise DecodeError("der_trailing_bytes", "There are bytes after the end of the message.")
    if count == 0:
        raise DecodeError("der_cut_off", "The message is empty.")


def _head(data: bytes, position: int, end: int) -> tuple[int, int, int]:
    """Read an element's tag and length; return the tag, and where the content begins and ends."""
    if position + 2 > end:
        raise DecodeError("der_cut_off", "The message is cut off.")
    tag, length = data[position], data[position + 1]
    position += 2
    if tag & _LONG_TAG == _LONG_TAG or tag == 0:
        raise DecodeError("der_tag", "The message uses tags that no message here has.")
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or position + size > end:
            raise DecodeError("der_length", "A length in the message is not definite and shortest.")
        length = int.from_bytes(data[position : position + size], "big")
        if length < 0x80 or length >> 8 * (size - 1) == 0:
            raise DecodeError("der_length", "A length in the message is not definite and shortest.")
        position += size
    if position + length > end:
        raise DecodeError("der_cut_off", "The message is cut off.")
    return tag, position, position + length


def _require_shortest(tag: int, content: bytes) -> None:
    if tag == _BOOLEAN:
        if content not in {b"\x00", b"\xff"}:
            raise DecodeError("der_boolean", "A truth value is neither 00 nor FF.")
    elif not content or (len(content) > 1 and content[0] in {0x00, 0xFF} and (content[0] ^ content[1]) < 0x80):
        raise DecodeError("der_integer", "An integer is not in its shortest form.")
