# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: migrations run on the connection that `upgrade` hands in, each in its own transaction."""

import sqlalchemy as sa
from alembic import context

connection: sa.Connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
connection.commit()
