# SPDX-License-Identifier: Apache-2.0
"""Files for web servers and caches: CRLs and the authorities' certificates, under the paths that certificates name.

The database has them all. What lies in the public directory is a copy of it, whole at every moment, which any worker
may write again; a directory that was emptied is full again a minute later.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from etymon.ca import certificates, issuance, status_store, store
from etymon.ca.dependencies import Dependencies
from etymon.kernel.files import exchange
from etymon.pki.certificate import to_der


def write_list(deps: Dependencies, ca: str) -> None:
    """Write an authority's list as it is now, where the file is another one."""
    if deps.public_directory is None:
        return
    with _alone(deps.public_directory / "crl") as directory, deps.database.snapshot() as tx:
        # read behind the lock: of two that write at once, the later writes what is current for both
        current = status_store.current_list(tx, ca)
        if current is not None:
            exchange(directory / f"{ca}.crl", current.der, modified=current.this_update)


def write_all(deps: Dependencies) -> None:
    """Write what is missing or old; safe anywhere and at any time, a worker does it every minute."""
    if deps.public_directory is None:
        return
    with deps.database.snapshot() as tx:
        lists = status_store.list_heads(tx)
        names = store.authority_names(tx)
        contents = {
            file: content
            for name in names
            for file, content in (
                (f"{name}.cer", to_der(issuance.find_authority(tx, name).certificate)),
                (f"{name}.p7c", certificates.own_certificates(tx, name)),
                (f"{name}-issued.p7c", certificates.issued_authorities(tx, name)),
            )
        }
    with _alone(deps.public_directory / "certificates") as directory:
        for file, content in contents.items():
            exchange(directory / file, content)
    for head in lists:
        if not _seems_written(deps.public_directory / "crl" / f"{head.ca}.crl", head):
            write_list(deps, head.ca)


def _seems_written(file: Path, head: sa.Row[Any]) -> bool:
    """Compare time and length: enough for a duty that would otherwise read every list every minute."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return False
    written = datetime.fromtimestamp(found.st_mtime, UTC)
    return bool(written == head.this_update and found.st_size == head.size_bytes)


@contextmanager
def _alone(directory: Path) -> Iterator[Path]:
    """Make a directory that everybody may read, and keep other writers out of it."""
    for needed in (directory.parent, directory):
        if not needed.exists():
            needed.mkdir(parents=True, exist_ok=True)
            needed.chmod(0o755)
    with (directory.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory
