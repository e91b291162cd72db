# SPDX-License-Identifier: Apache-2.0
"""Rows that may be there already: the database decides, in one statement, without breaking the transaction."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from etymon.storage.database import Transaction


def insert_unless_taken(tx: Transaction, table: sa.Table, **values: object) -> bool:
    """Insert a row, and say whether it is new; False when a unique constraint or index already has its like.

    Of transactions that insert the same at once, the later waits for the earlier. Other constraints raise.
    """
    insert = postgresql.insert(table) if tx.dialect.name == "postgresql" else sqlite.insert(table)
    added = insert.values(**values).on_conflict_do_nothing().returning(*table.primary_key.columns)
    return tx.execute(added).first() is not None
