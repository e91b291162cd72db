# SPDX-License-Identifier: Apache-2.0
"""`etymon backup`: everything of a deployment but what opens it, as of one moment, while it runs.

The database is copied first and the key files after it: a key is written before the database names it, so that every
key the copy names is there. Keys stay wrapped as they are; whoever holds the archive and its recipient's key still
needs the passphrase.
"""

import importlib.metadata
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from alembic.migration import MigrationContext
from pyrage import x25519

from etymon.audit import chain, store
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict
from etymon.server import config_file, process_events
from etymon.server.backup import archive, database_copy
from etymon.server.deployment import open_database, require_database
from etymon.storage.database import Database

MANIFEST: Final = "manifest.json"
CONFIGURATION: Final = "config.toml"
FOLDERS: Final = ("keys", "public", "ceremonies")
VERSION: Final = 1


def take(
    data: Path,
    file: Path,
    to: list[x25519.Recipient],
    clock: Clock,
    entropy: Entropy,
    progress: Callable[[str], None],
) -> None:
    """Write a backup of the deployment in `data` to a new file, and leave an event of it."""
    if file.exists():
        raise Conflict("backup_exists", f"{file} exists. Choose a new name; a backup is never written over.")
    read = config_file.load(data)
    database = open_database(data, read)
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        require_database(database, read)
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=data) as room:
            progress("copying the database")
            copied = database_copy.copy(database, Path(room))
            with archive.writing(unfinished, to, lambda octets: progress(f"{octets // 1_000_000} MB")) as out:
                out.add_document(MANIFEST, _manifest(database, read.organization, clock))
                out.add(copied.name, copied)
                out.add(CONFIGURATION, data / CONFIGURATION)
                for name in _files(data):
                    out.add(name, data / name)
        unfinished.rename(file)
        facts = {"octets": file.stat().st_size, "recipients": len(to)}
        process_events.by_account(database, clock, entropy, "server:backup:taken", "deployment", **facts)
    finally:
        unfinished.unlink(missing_ok=True)
        database.close()


def _manifest(database: Database, organization: str, clock: Clock) -> dict[str, object]:
    with database.snapshot() as tx:
        revision = MigrationContext.configure(tx).get_current_revision()
        checkpoint = store.last_checkpoint(tx)
    return {
        "version": VERSION,
        "etymon": importlib.metadata.version("etymon"),
        "organization": organization,
        "taken_at": chain.timestamp(clock.now()),
        "schema": revision,
        "checkpoint": None if checkpoint is None else chain.checkpoint_document(checkpoint),
    }


def _files(data: Path) -> Iterator[str]:
    for folder in FOLDERS:
        for file in sorted((data / folder).rglob("*")):
            if file.is_file() and not file.name.startswith("."):  # what begins with a dot is being written just now
                yield str(file.relative_to(data))
