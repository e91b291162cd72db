# SPDX-License-Identifier: Apache-2.0
"""Every single move of a state, written down by the database itself, whoever makes it and however."""

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from etymon.storage.database import Database

_SEEN: Final = sa.table("seen_moves", sa.column("subject"), sa.column("state_before"), sa.column("state_after"))
_LOG: Final = "CREATE TABLE seen_moves (subject TEXT NOT NULL, state_before TEXT NOT NULL, state_after TEXT NOT NULL)"
_SQLITE: Final = """
CREATE TRIGGER seen_{0} AFTER UPDATE OF state ON {0} WHEN OLD.state <> NEW.state
BEGIN INSERT INTO seen_moves VALUES ('{0}', OLD.state, NEW.state); END
"""
_POSTGRESQL: Final = """
CREATE FUNCTION seen_{0}() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO seen_moves VALUES ('{0}', OLD.state, NEW.state); RETURN NEW; END $$;
CREATE TRIGGER seen_{0} AFTER UPDATE OF state ON {0} FOR EACH ROW
WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION seen_{0}()
"""


def watch(database: Database, tables: Collection[sa.Table]) -> None:
    """Have the database write down from now on how the states of these tables move."""
    with database.transaction() as tx:
        tx.execute(sa.text(_LOG))
        trigger = _POSTGRESQL if tx.dialect.name == "postgresql" else _SQLITE
        for table in tables:
            tx.execute(sa.text(trigger.format(table.name)))


def seen(database: Database) -> set[tuple[str, str, str]]:
    """Return table, state before and state after of every kind of move there was."""
    with database.snapshot() as tx:
        return {(row.subject, row.state_before, row.state_after) for row in tx.execute(sa.select(_SEEN).distinct())}
