# SPDX-License-Identifier: Apache-2.0
"""Secrets with a type: a value that prints as nothing and is stored only as a keyed digest."""

import hashlib
import hmac
from typing import Final, Generic, TypeVar, final

T = TypeVar("T", str, bytes)

HIDDEN: Final = "Secret(…)"


@final
class Secret(Generic[T]):
    """A bearer value, PIN or key. It never prints itself; `reveal` is the only way in."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: T = value

    def reveal(self) -> T:
        """Return the value, where it leaves the program or enters a computation, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_octets(self._value), _octets(other._value))

    def __hash__(self) -> int:
        return hash(_octets(self._value))

    def __reduce__(self) -> str:
        message = "a secret is not serialised by accident; reveal it where it must be written"
        raise TypeError(message)


@final
class DigestKey:
    """The key under which bearer values are stored (HMAC-SHA-256, RFC 2104); one per deployment."""

    __slots__ = ("_key",)

    def __init__(self, key: Secret[bytes]) -> None:
        if len(key.reveal()) < 32:
            message = "a digest key has at least 32 bytes"
            raise ValueError(message)
        self._key = key

    def digest(self, purpose: str, value: Secret[str] | str) -> bytes:
        """Return the 32-byte keyed digest of `value`; equal values under different purposes differ."""
        text = value.reveal() if isinstance(value, Secret) else value
        return hmac.digest(self._key.reveal(), purpose.encode() + b"\x00" + text.encode(), hashlib.sha256)

    def derive(self, purpose: str) -> Secret[bytes]:
        """Return a 32-byte key of its own for `purpose`."""
        return Secret(hmac.digest(self._key.reveal(), b"derive\x00" + purpose.encode(), hashlib.sha256))


def same(left: bytes, right: bytes) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(left, right)


def _octets(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
