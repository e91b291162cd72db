# SPDX-License-Identifier: Apache-2.0
"""Somebody who owns the database and goes around everything that guards it."""

import sqlite3

from etymon.storage.database import Database


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
