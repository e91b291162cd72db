# SPDX-License-Identifier: Apache-2.0
"""The archive: a tar stream, encrypted with age for one or more recipients, with a list of its content at its end.

age (age-encryption.org/v1) authenticates every 64 KiB and the end, so that an archive that was edited or cut off does
not open; anybody's `age` and `tar` read it. Neither side keeps more than a few blocks in memory.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

import pyrage
from pyrage import x25519

from etymon.kernel.errors import Malformed, Unavailable

CONTENT: Final = "content.json"
"""The last member: member name to SHA-256. Without it the archive is not whole."""

BLOCK: Final = 1024 * 1024
KEY_MARK: Final = "AGE-SECRET-KEY-"

Progress = Callable[[int], None]
"""Told how many octets of files have gone through."""


def recipients(texts: Iterable[str]) -> list[x25519.Recipient]:
    """Return who can open an archive, from age's public keys."""
    try:
        return [x25519.Recipient.from_str(text) for text in texts]
    except pyrage.RecipientError as exc:
        raise Malformed("recipient", "A recipient is a public key of age (age1…); see `etymon backup-key`.") from exc


def identity(file: Path) -> x25519.Identity:
    """Read age's private key from a file of `age-keygen` or `etymon backup-key`."""
    try:
        return x25519.Identity.from_str(next(word for word in file.read_text("ascii").split() if KEY_MARK in word))
    except (UnicodeDecodeError, StopIteration, pyrage.IdentityError) as exc:
        raise Malformed("identity", f"{file} holds no private key of age ({KEY_MARK}…).") from exc


@dataclass(slots=True)
class Writer:
    """Takes the members of an archive."""

    tar: tarfile.TarFile
    progress: Progress
    passed: int = 0
    digests: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, file: Path) -> None:
        """Add a file under a name."""
        with file.open("rb") as source:
            self._add(name, source, os.fstat(source.fileno()).st_size)

    def add_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Add a JSON document."""
        octets = json.dumps(document, indent=2, sort_keys=True).encode()
        self._add(name, io.BytesIO(octets), len(octets))

    def _add(self, name: str, source: IO[bytes], size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        read = _Digested(source)
        self.tar.addfile(member, cast("IO[bytes]", read))
        self.digests[name] = read.digest.hexdigest()
        self.passed += size
        self.progress(self.passed)


class _Digested:
    """A file that is digested while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int) -> bytes:
        octets = self._file.read(size)
        self.digest.update(octets)
        return octets


@contextmanager
def writing(file: Path, to: Collection[x25519.Recipient], progress: Progress) -> Iterator[Writer]:
    """Give an archive that is being written to a new file; it is whole when the block ends, and gone if it fails."""
    with file.open("xb") as out, ThreadPoolExecutor(1, "age") as threads:
        source, sink = os.pipe()
        encrypted = threads.submit(_encrypt, source, out, list(to))
        try:
            with os.fdopen(sink, "wb") as into, tarfile.open(fileobj=into, mode="w|", bufsize=BLOCK) as tar:
                writer = Writer(tar, progress)
                yield writer
                writer.add_document(CONTENT, dict(writer.digests))
            encrypted.result()
            out.flush()
            os.fsync(out.fileno())
        except BaseException as exc:
            file.unlink()
            if isinstance(failure := encrypted.exception(), pyrage.EncryptError):  # why nobody reads any more
                raise Unavailable("backup_not_written", f"{file} cannot be written: {failure}.") from exc
            raise


def _encrypt(source: int, out: IO[bytes], to: list[x25519.Recipient]) -> None:
    with os.fdopen(source, "rb") as plain:  # closed if this fails: whoever writes must not wait for ever
        pyrage.encrypt_io(plain, out, to)


def unpack(file: Path, key: x25519.Identity, into: Path, *, allowed: Callable[[str], bool], progress: Progress) -> None:
    """Write the members of an archive into an empty directory; `Malformed` unless all of it is whole and expected."""
    source, sink = os.pipe()
    with file.open("rb") as encrypted, os.fdopen(source, "rb") as plain, ThreadPoolExecutor(1, "age") as threads:
        decrypted = threads.submit(_decrypt, encrypted, sink, key)
        try:
            digests = _extract(plain, into, allowed, progress)
        except tarfile.TarError:
            digests = {}  # what could not be decrypted is no archive either: the reason is the other one's
        finally:
            while plain.read(BLOCK):
                pass  # the other side may still be writing, and would wait for ever
    try:
        decrypted.result()
    except (pyrage.DecryptError, OSError) as exc:  # the latter comes of what was opened and then does not go on
        raise Malformed(
            "backup_not_opened", f"{file} does not open with this key, was edited, or was cut off. Try another copy."
        ) from exc
    _require_whole(into, digests, file)


def _decrypt(encrypted: IO[bytes], sink: int, key: x25519.Identity) -> None:
    with os.fdopen(sink, "wb") as into:
        pyrage.decrypt_io(encrypted, into, [key])


def _extract(plain: IO[bytes], into: Path, allowed: Callable[[str], bool], progress: Progress) -> Mapping[str, str]:
    digests, passed = {}, 0
    with tarfile.open(fileobj=plain, mode="r|", bufsize=BLOCK) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is None or not (member.name == CONTENT or (_is_safe(member.name) and allowed(member.name))):
                raise Malformed("backup_unexpected", f"The backup has a member that belongs to none: {member.name!r}.")
            target = into / member.name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                while octets := content.read(BLOCK):
                    out.write(octets)
                    digest.update(octets)
                    passed += len(octets)
                    progress(passed)
                out.flush()
                os.fsync(out.fileno())
            digests[member.name] = digest.hexdigest()
    return digests


def _is_safe(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and name == str(path)


def _require_whole(into: Path, digests: Mapping[str, str], file: Path) -> None:
    listed = into / CONTENT
    try:
        whole = json.loads(listed.read_bytes()) == {name: value for name, value in digests.items() if name != CONTENT}
    except (OSError, ValueError):
        whole = False
    if not whole:
        raise Malformed("backup_not_whole", f"{file} is not a whole backup. Try another copy.")
    listed.unlink()
