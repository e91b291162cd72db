# SPDX-License-Identifier: Apache-2.0
"""Where a stage works: a directory of its own, and databases of one engine that end with the stage."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from etymon.kernel.secret import Secret
from etymon.storage.database import Database
from support.databases import Databases

KEY_PASSPHRASE: Final = Secret(b"measured passphrase")
"""Of the authorities' keys in a stage's directory."""


@dataclass(frozen=True, slots=True)
class Place:
    """A directory, and the databases of the engine called `engine`."""

    directory: Path
    engine: str
    databases: Databases

    @contextmanager
    def migrated(self) -> Iterator[Database]:
        """Lend a database with the present schema."""
        database = self.databases.migrated()
        try:
            yield database
        finally:
            self.databases.drop(database)

    @contextmanager
    def empty(self) -> Iterator[Database]:
        """Lend a database without a table."""
        database = self.databases.empty()
        try:
            yield database
        finally:
            self.databases.drop(database)


def url_of(database: Database) -> str:
    """Return the address by which another process or engine opens a database."""
    return database.engine.url.render_as_string(hide_password=False)
