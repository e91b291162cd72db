# SPDX-License-Identifier: Apache-2.0
"""Bring a database to the present schema, from nothing or from any released version."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from etymon.kernel.errors import Conflict, NotFound
from etymon.storage.database import Database

LOCK: Final = 0x6574796D6F6E
"""PostgreSQL's advisory lock of whoever migrates ("etymon" in ASCII)."""

_one_thread: Final = threading.Lock()
"""Alembic hands its context to the migration scripts through names of its own modules."""


def upgrade(database: Database, *, to: str = "head") -> None:
    """Run every migration that `database` has not seen; of several callers at once, one does and the others wait."""
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent))
    with _one_thread, database.engine.connect() as connection, _alone(connection):
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, to)


def require_current(database: Database) -> None:
    """Refuse a database whose schema is not the one of this program; says what to do about it."""
    script = ScriptDirectory(str(Path(__file__).parent))
    needed = script.get_current_head()
    with database.snapshot() as tx:
        found = MigrationContext.configure(tx).get_current_revision()
    if found == needed:
        return
    if found is None:
        raise NotFound("database_empty", "The database holds no organisation. `etymon init` makes one.")
    if found in {revision.revision for revision in script.walk_revisions()}:
        raise Conflict(
            "database_older",
            f"The database is at {found}, and this program needs {needed}. `etymon upgrade` brings it there; make a "
            "backup before.",
        )
    raise Conflict(
        "database_newer",
        f"The database is at {found}, which this program, for {needed}, does not know. Run the newer program.",
    )


@contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    if connection.dialect.name != "postgresql":  # SQLite's BEGIN IMMEDIATE lets one in at a time (env.py)
        yield
        return
    connection.execute(sa.select(sa.func.pg_advisory_lock(LOCK)))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(sa.select(sa.func.pg_advisory_unlock(LOCK)))
        connection.commit()
