# SPDX-License-Identifier: Apache-2.0
"""Everything that is in a database, kept to be put into others: what many tests begin with is made once a process."""

import sqlite3
from collections.abc import Callable

import psycopg
import sqlalchemy as sa

from etymon.storage.database import Database
from etymon.storage.schema import metadata

Restore = Callable[[Database], None]


def kept(database: Database) -> Restore:
    """Return what puts the rows that a database has now into another of the same engine and schema that has none."""
    with database.engine.connect() as connection:
        found = connection.connection.driver_connection
        if isinstance(found, sqlite3.Connection):
            return _kept_pages(found)
        assert isinstance(found, psycopg.Connection)
        return _kept_rows(found)


def is_fresh(database: Database) -> bool:
    """Say whether nothing was ever done in a database: everything that is done leaves an audit event."""
    with database.snapshot() as tx:
        return tx.scalar(sa.select(sa.func.count()).select_from(metadata.tables["audit_events"])) == 0


def _kept_pages(source: sqlite3.Connection) -> Restore:
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    source.backup(copy)

    def restore(database: Database) -> None:
        with database.engine.connect() as connection:
            target = connection.connection.driver_connection
            assert isinstance(target, sqlite3.Connection)
            copy.backup(target)

    return restore


def _kept_rows(source: "psycopg.Connection[object]") -> Restore:
    rows = {table: octets for table in metadata.tables if (octets := _copied_out(source, table))}
    source.rollback()

    def restore(database: Database) -> None:
        with database.engine.connect() as connection:
            target = connection.connection.driver_connection
            assert isinstance(target, psycopg.Connection)
            with target.cursor() as cursor:
                cursor.execute("SET LOCAL session_replication_role = replica")  # in whatever order they refer to others
                for table, octets in rows.items():
                    with cursor.copy(f'COPY "{table}" FROM STDIN'.encode()) as copy:
                        copy.write(octets)
            target.commit()

    return restore


def _copied_out(source: "psycopg.Connection[object]", table: str) -> bytes:
    with source.cursor() as cursor, cursor.copy(f'COPY "{table}" TO STDOUT'.encode()) as copy:
        return b"".join(map(bytes, copy))
