# SPDX-License-Identifier: Apache-2.0
"""Chance as an argument: every random value comes from one seam."""

import base64
import secrets
import uuid
from typing import Protocol


class Entropy(Protocol):
    """A source of unpredictable bytes, fit for keys (SP 800-90A or the operating system's equal)."""

    def octets(self, count: int) -> bytes:
        """Return `count` fresh random bytes."""
        ...


class SystemEntropy:
    """The operating system's random source."""

    def octets(self, count: int) -> bytes:
        """Return `count` bytes from the operating system."""
        return secrets.token_bytes(count)


def random_id(entropy: Entropy) -> uuid.UUID:
    """Return a random UUID (RFC 9562 version 4)."""
    return uuid.UUID(bytes=entropy.octets(16), version=4)


def random_token(entropy: Entropy, *, bits: int) -> str:
    """Return `bits` random bits (a multiple of 8) as unpadded base64url text, fit for URLs and headers."""
    if bits % 8:
        message = "bits must be a multiple of 8"
        raise ValueError(message)
    return base64.urlsafe_b64encode(entropy.octets(bits // 8)).rstrip(b"=").decode("ascii")


def random_text(entropy: Entropy, alphabet: str, length: int) -> str:
    """Return `length` characters, each drawn without bias from `alphabet` (at most 256 of them)."""
    limit = 256 - 256 % len(alphabet)
    drawn: list[str] = []
    while len(drawn) < length:
        drawn.extend(alphabet[octet % len(alphabet)] for octet in entropy.octets(length) if octet < limit)
    return "".join(drawn[:length])
