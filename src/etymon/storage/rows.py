# SPDX-License-Identifier: Apache-2.0
"""Rows that may be there already: the database decides, in one statement, without breaking the transaction."""

import functools
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from etymon.storage.database import Transaction


def insert_unless_taken(tx: Transaction, table: sa.Table, **values: object) -> bool:
    """Insert a row, and say whether it is new; False when a unique constraint or index already has its like.

    Of transactions that insert the same at once, the later waits for the earlier. Other constraints raise.
    """
    return tx.execute(_unless_taken(tx.dialect.name, table), values).first() is not None


@functools.cache
def _unless_taken(dialect: str, table: sa.Table) -> ReturningInsert[Any]:
    """Build the statement of a table once, which takes longer than to run it."""
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    return insert.on_conflict_do_nothing().returning(*table.primary_key.columns)
