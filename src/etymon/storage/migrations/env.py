# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: migrations run on the connection that `upgrade` hands in.

On PostgreSQL each has a transaction of its own, under the lock that `upgrade` holds. On SQLite there is one for all,
which begins before anything is looked at: it is the lock, and between two of them another process would begin anew.
"""

import sqlalchemy as sa
from alembic import context

connection: sa.Connection = context.config.attributes["connection"]
one_by_one = connection.dialect.name == "postgresql"
context.configure(connection=connection, transaction_per_migration=one_by_one, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
connection.commit()
