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


@contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    if connection.dialect.name != "postgresql":  # SQLite's BEGIN IMMEDIATE already lets one in at a time
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
