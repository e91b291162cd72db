# SPDX-License-Identifier: Apache-2.0
"""Lists of keys that are known to somebody else: of Debian's OpenSSL of 2006 to 2008, and those an operator names.

No list is shipped: that of Debian has a licence and a size of its own. Operators name files, which are read again when
they change.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.kernel.errors import Malformed, Unavailable
from etymon.pki.algorithms import PublicKey
from etymon.pki.certificate import spki_sha256

LIMIT_BYTES: Final = 64 * 1024 * 1024

_TAIL: Final = re.compile(rb"[0-9a-f]{20}")
_DIGEST: Final = re.compile(rb"[0-9a-f]{64}")


class BadKeys(Protocol):
    """Knows keys that may not be certified whatever else they are."""

    def require_good(self, public_key: PublicKey) -> None:
        """Raise `Malformed` `compromised_key` for a key on a list, `Unavailable` where a list cannot be read."""
        ...


class NoLists:
    """Knows none."""

    def require_good(self, public_key: PublicKey) -> None:
        """Let every key pass."""


@dataclass(frozen=True, slots=True)
class _Read:
    stamp: tuple[int, int]
    entries: frozenset[bytes]


@dataclass(slots=True)
class KeyLists:
    """Files of known keys. `weak` are in the form of Debian's openssl-blacklist, `compromised` has key digests.

    The first have the last twenty hexadecimal digits of the SHA-1 of `Modulus=…` on a line, the second the SHA-256 of
    the SubjectPublicKeyInfo; `#` begins a comment.
    """

    weak: Sequence[Path]
    compromised: Sequence[Path]
    _read: dict[Path, _Read] = field(default_factory=dict)

    @classmethod
    def opened(cls, weak: Sequence[Path], compromised: Sequence[Path]) -> "KeyLists":
        """Read all files; `Unavailable` `key_list_unreadable` names one that cannot be used."""
        lists = cls(weak, compromised)
        for files, form in ((weak, _TAIL), (compromised, _DIGEST)):
            for file in files:
                lists._entries(file, form)
        return lists

    def require_good(self, public_key: PublicKey) -> None:
        """Raise `Malformed` `compromised_key` for a key on a list, `Unavailable` where a list cannot be read."""
        if self._holds(self.compromised, _DIGEST, lambda: spki_sha256(public_key).hex().encode()):
            raise Malformed("compromised_key", "The key is known to be compromised. Make a new key.")
        if isinstance(public_key, rsa.RSAPublicKey) and self._holds(self.weak, _TAIL, lambda: tail_of(public_key)):
            raise Malformed(
                "compromised_key", "The key comes from a program that makes few different keys. Make a new key."
            )

    def _holds(self, files: Sequence[Path], form: re.Pattern[bytes], entry: Callable[[], bytes]) -> bool:
        return bool(files) and any(entry() in self._entries(file, form) for file in files)

    def _entries(self, file: Path, form: re.Pattern[bytes]) -> frozenset[bytes]:
        try:
            found = file.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            known = self._read.get(file)
            if known is None or known.stamp != stamp:
                known = self._read[file] = _Read(stamp, _entries_of(file.read_bytes(), form, file))
        except OSError as exc:
            raise Unavailable("key_list_unreadable", f"The list of bad keys {file} cannot be read.") from exc
        return known.entries


def tail_of(public_key: rsa.RSAPublicKey) -> bytes:
    """Return what stands for a key in openssl-blacklist."""
    line = f"Modulus={public_key.public_numbers().n:X}\n".encode()
    return hashlib.sha1(line, usedforsecurity=False).hexdigest()[20:].encode()


def _entries_of(data: bytes, form: re.Pattern[bytes], file: Path) -> frozenset[bytes]:
    lines = (line.partition(b"#")[0].strip().lower() for line in data[:LIMIT_BYTES].splitlines())
    entries = frozenset(line for line in lines if line)
    if len(data) > LIMIT_BYTES or not all(map(form.fullmatch, entries)):
        raise Unavailable("key_list_unreadable", f"The list of bad keys {file} is not in the form it has to have.")
    return entries
