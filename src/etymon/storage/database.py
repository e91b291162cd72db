# SPDX-License-Identifier: Apache-2.0
"""Engine and unit of work. A use case opens one transaction; stores never commit."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from etymon.kernel.errors import Malformed, Unavailable

BUSY_TIMEOUT_MILLISECONDS: Final = 30_000
"""How long a SQLite writer waits for the one before it."""

CONNECT_TIMEOUT_SECONDS: Final = 10
"""How long PostgreSQL's host may leave a connection unanswered, unless `database_url` says otherwise."""

_READS_ONLY: Final = "reads_only"

Transaction = sa.Connection
"""What stores take: an open transaction."""


class Database:
    """One database, SQLite or PostgreSQL."""

    def __init__(self, url: str | URL) -> None:
        self._engine = _engine(url)
        self._writing = threading.local()

    @property
    def engine(self) -> sa.Engine:
        """The SQLAlchemy engine, for migrations and for tests."""
        return self._engine

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a writing transaction; commit once at the end, or roll all of it back.

        SQLite begins with BEGIN IMMEDIATE: a deferred transaction that turns writer fails with "database is
        locked" however long it is willing to wait. PostgreSQL reads committed rows, so that a guarded UPDATE sees
        what the transaction it waited for has done.

        A thread has one writing transaction at a time: a second one inside it would wait for the first for ever.
        """
        if getattr(self._writing, "open", False):
            message = "a transaction was opened inside another of the same thread"
            raise RuntimeError(message)
        self._writing.open = True
        try:
            with _answering(), self._engine.connect() as connection, connection.begin():
                yield connection
        finally:
            self._writing.open = False

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """Open a reading transaction; it sees one state, keeps no writer waiting and cannot write."""
        with _answering(), self._engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            else:
                connection.execution_options(reads_only=True)
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.TimeoutError) as exc:
        raise Unavailable("database_unavailable", "The database does not answer. Try again.") from exc
    except sa.exc.DatabaseError as exc:
        if type(exc) is not sa.exc.DatabaseError:
            raise  # its kinds are about what was asked; by itself it is about the file
        raise Unavailable("database_damaged", "The database is damaged, or is none. Restore a backup.") from exc


def _engine(address: str | URL) -> sa.Engine:
    try:
        url = make_url(address)
        if url.get_backend_name() not in {"sqlite", "postgresql"}:
            raise sa.exc.ArgumentError  # noqa: TRY301 - one sentence for all that it may not be
        return _made(url)
    except (sa.exc.ArgumentError, ImportError) as exc:  # the address may hold a password: it is not repeated
        raise Malformed(
            "database_url", "database_url: must be an address of PostgreSQL, such as postgresql+psycopg://host/name."
        ) from exc


def _made(url: URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MILLISECONDS / 1000})
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    return sa.create_engine(
        url,
        pool_size=8,
        max_overflow=8,
        pool_pre_ping=True,
        connect_args={} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_TIMEOUT_SECONDS},
    )


def _prepare_sqlite(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver opens no transaction of its own
    _log_ahead(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. SQLite does not wait for its busy time-out where another is switching just now."""
    end = time.monotonic() + BUSY_TIMEOUT_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    reads_only = connection.get_execution_options().get("reads_only", False)
    driver = connection.connection.cursor()
    if connection.info.get(_READS_ONLY) is not reads_only:
        driver.execute(f"PRAGMA query_only={int(reads_only)}")
        connection.info[_READS_ONLY] = reads_only  # of the driver's connection, and as long as it lives
    driver.execute("BEGIN" if reads_only else "BEGIN IMMEDIATE")
    driver.close()
