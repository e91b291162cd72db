# SPDX-License-Identifier: Apache-2.0
"""Databases for tests: a migrated SQLite file or PostgreSQL database of its own for every test."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TypedDict

import psycopg
import pytest
from sqlalchemy.engine import URL

from etymon.storage import migrations
from etymon.storage.database import Database
from support import programs

ENGINES: Final = ("sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres", "initdb")))
"""Parameters of a fixture that has both engines by name."""

START_LIMIT_SECONDS: Final = 60

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the server's directory in it is its own
MEMORY_NEEDED_BYTES: Final = 2 * 1024**3


class Databases(Protocol):
    """Hands out databases of one engine."""

    def migrated(self) -> Database:
        """Return a fresh database with the present schema."""
        ...

    def empty(self) -> Database:
        """Return a fresh database without a table."""
        ...

    def drop(self, database: Database) -> None:
        """Close and remove a database that `migrated` or `empty` made."""
        ...


class SQLiteDatabases:
    """Files in one directory; the migrated one is made once and copied."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = itertools.count()
        self._template: Path | None = None

    def empty(self) -> Database:
        return Database(URL.create("sqlite", database=str(self._file())))

    def migrated(self) -> Database:
        if self._template is None:
            template = self._file()
            database = Database(URL.create("sqlite", database=str(template)))
            migrations.upgrade(database)
            database.close()  # the last connection writes the log into the file
            self._template = template
        copy = self._file()
        shutil.copyfile(self._template, copy)
        return Database(URL.create("sqlite", database=str(copy)))

    def drop(self, database: Database) -> None:
        database.close()
        Path(str(database.engine.url.database)).unlink()

    def _file(self) -> Path:
        return self._directory / f"database{next(self._numbers)}.sqlite"


class PostgreSQLDatabases:
    """Databases of one running server; the migrated one is the template of the others."""

    def __init__(self, socket_directory: Path) -> None:
        self._socket_directory = socket_directory
        self._numbers = itertools.count()
        self._has_template = False

    def empty(self) -> Database:
        return self._create("template1")

    def migrated(self) -> Database:
        if not self._has_template:
            self._execute("CREATE DATABASE migrated")
            database = Database(self._url("migrated"))
            migrations.upgrade(database)
            database.close()
            self._has_template = True
        return self._create("migrated")

    def drop(self, database: Database) -> None:
        database.close()
        self._execute(f'DROP DATABASE "{database.engine.url.database}" WITH (FORCE)')

    def _create(self, template: str) -> Database:
        name = f"test{next(self._numbers)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return Database(self._url(name))

    def _execute(self, statement: str) -> None:
        with psycopg.connect(
            host=str(self._socket_directory), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def _url(self, name: str) -> URL:
        return URL.create(
            "postgresql+psycopg",
            username="postgres",
            database=name,
            query={"host": str(self._socket_directory)},
        )


@contextmanager
def running_postgresql() -> Iterator[PostgreSQLDatabases]:
    """Start a server of the system's PostgreSQL on a Unix socket in a new directory; stop and remove it after.

    The server refuses to run as root, so that a test run by root hands it to an unprivileged account. It writes
    durably, as in production: what depends on a commit having happened is judged as it is. Where there is a file
    system in memory it lies there: making a database for every test is fifteen times as fast.
    """
    account = _account()
    directory = Path(tempfile.mkdtemp(prefix="etymon-postgresql-", dir=_memory()))
    try:
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        data = directory / "data"
        _run_as(
            account,
            [
                str(programs.required("initdb")),
                f"--pgdata={data}",
                "--username=postgres",
                "--auth=trust",  # the socket's directory lets its owner in, and nobody else
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-instructions",
            ],
        )
        with _serving(account, data, directory):
            yield PostgreSQLDatabases(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _serving(account: pwd.struct_passwd | None, data: Path, sockets: Path) -> Iterator[None]:
    command = [
        str(programs.required("postgres")),
        "-D",
        str(data),
        "-c",
        "listen_addresses=",
        "-c",
        f"unix_socket_directories={sockets}",
        "-c",
        "max_connections=60",
    ]
    set_privileges = programs.find("setpriv")
    if set_privileges is not None:  # a test run that is killed takes its server along
        command = [str(set_privileges), "--pdeathsig", "INT", *command]
    log = sockets / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd="/", stdout=output, stderr=output, stdin=subprocess.DEVNULL, **_identity(account)
        )
    try:
        _wait_until_ready(server, sockets, log)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # "fast shutdown": open connections are closed
        server.wait(timeout=START_LIMIT_SECONDS)


def _wait_until_ready(server: subprocess.Popen[bytes], sockets: Path, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while True:
        try:
            psycopg.connect(host=str(sockets), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError as exc:
            if server.poll() is not None or time.monotonic() > deadline:
                message = f"PostgreSQL did not start: {log.read_text(errors='replace')}"
                raise RuntimeError(message) from exc
            time.sleep(0.05)
        else:
            return


def _memory() -> Path | None:
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < MEMORY_NEEDED_BYTES:
        return None
    return MEMORY


def _account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _identity(account: pwd.struct_passwd | None) -> _Identity:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _run_as(account: pwd.struct_passwd | None, command: list[str]) -> None:
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **_identity(account))
    if done.returncode != 0:
        message = f"{command[0]} failed: {done.stderr}"
        raise RuntimeError(message)
