# SPDX-License-Identifier: Apache-2.0
"""Somebody who owns the database and goes around everything that guards it."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from etymon.storage.database import Database

_REFUSING: Final = {
    "sqlite": (
        ["CREATE TRIGGER no_events BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no more events'); END"],
        ["DROP TRIGGER no_events"],
    ),
    "postgresql": (
        [
            "CREATE FUNCTION no_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'full'; END $$",
            "CREATE TRIGGER no_events BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION no_events()",
        ],
        ["DROP TRIGGER no_events ON audit_events", "DROP FUNCTION no_events()"],
    ),
}


def tamper(database: Database, *statements: str) -> None:
    """Run SQL with triggers and references out of force, as whoever holds the file or the superuser's account can."""
    if database.dialect == "postgresql":
        with database.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            for statement in statements:
                connection.exec_driver_sql(statement)
        return
    file = sqlite3.connect(str(database.engine.url.database))
    try:
        triggers = file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (trigger,) in triggers:
            file.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            file.execute(statement)
        file.commit()
    finally:
        file.close()


@contextmanager
def refusing_events(database: Database) -> Iterator[None]:
    """Have the database refuse every event of the trail while the block runs."""
    refuse, allow = _REFUSING[database.dialect]
    _execute(database, refuse)
    try:
        yield
    finally:
        _execute(database, allow)


def _execute(database: Database, statements: Sequence[str]) -> None:
    with database.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
