# SPDX-License-Identifier: Apache-2.0
"""Whether the program is the one that was installed: its files beside the hashes that its installation recorded.

What a wheel installed is listed with a SHA-256 in RECORD (the wheel's format, and PEP 376). An editable installation
has no such list of the package, and cannot be checked. It is the program that looks at itself: whoever changes files
and RECORD is noticed only by whoever knows the digest of RECORD, which the trail keeps of every start. Compiled caches
(`__pycache__`) are not recorded, and the script that calls the program may lie elsewhere than its installation says.
"""

import base64
import hashlib
import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackagePath
from pathlib import Path
from typing import Final

PACKAGE: Final = "etymon"
_ALGORITHM: Final = "sha256"


@dataclass(frozen=True, slots=True)
class Software:
    """What was found: `record` is the SHA-256 of RECORD, None where the files cannot be checked.

    `changed` are files that are other ones, are missing, or were added to the package.
    """

    version: str
    record: str | None
    changed: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What the trail says of it."""
        if self.record is None:
            return "not checkable: an editable installation"
        return "changed" if self.changed else "as installed"


def installed() -> Software:
    """Look at the files of this program."""
    return look(importlib.metadata.distribution(PACKAGE))


def look(distribution: Distribution) -> Software:
    """Look at the files of an installation."""
    package = {str(file): file for file in distribution.files or () if file.parts[0] == PACKAGE}
    record = distribution.read_text("RECORD")
    if not package or record is None:
        return Software(distribution.version, None)
    changed = {name for name, file in package.items() if not _is_whole(file)}
    changed |= set(_present(Path(str(distribution.locate_file(""))))) - package.keys()
    digest = hashlib.sha256(record.encode("utf-8")).hexdigest()
    return Software(distribution.version, digest, tuple(sorted(changed)))


def _is_whole(file: PackagePath) -> bool:
    """Say whether a file is there with its recorded hash, if there is one; another algorithm's proves nothing."""
    if file.hash is None:
        return True
    try:
        octets = Path(str(file.locate())).read_bytes()
    except OSError:
        return False
    found = base64.urlsafe_b64encode(hashlib.sha256(octets).digest()).rstrip(b"=").decode("ascii")
    return (file.hash.mode, file.hash.value) == (_ALGORITHM, found)


def _present(root: Path) -> Iterator[str]:
    for path in (root / PACKAGE).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(root).as_posix()
