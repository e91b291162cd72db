# SPDX-License-Identifier: Apache-2.0
"""A consistent copy of a database while others use it, and a database made from one.

SQLite copies itself (`VACUUM INTO`); PostgreSQL has `pg_dump` and `pg_restore`, whose version is the server's or newer.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL

from etymon.kernel.errors import Malformed, Unavailable
from etymon.storage.database import Database

SQLITE: Final = "database.sqlite"
POSTGRESQL: Final = "database.pgdump"


def member(database: Database) -> str:
    """Return the name of a copy, which tells its kind."""
    return SQLITE if database.dialect == "sqlite" else POSTGRESQL


def copy(database: Database, into: Path) -> Path:
    """Write one state of the whole database into a file of `into`, and return it."""
    target = into / member(database)
    url = database.engine.url
    if database.dialect == "sqlite":
        try:
            with closing(sqlite3.connect(f"file:{url.database}?mode=ro", uri=True)) as connection:
                connection.execute("VACUUM INTO ?", (str(target),))
        except sqlite3.Error as exc:
            raise Unavailable("database_copy_failed", f"The database could not be copied to {into}: {exc}.") from exc
    else:
        _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")
    return target


def restore_sqlite(copied: Path, target: Path) -> None:
    """Make the file of a database from its copy; `Malformed` if it is damaged."""
    with closing(sqlite3.connect(copied)) as connection:
        try:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as exc:
            found = str(exc)
    if found != "ok":
        raise Malformed("backup_database_damaged", f"The database in the backup is damaged: {found}. Try another copy.")
    copied.rename(target)


def restore_postgresql(copied: Path, database: Database) -> None:
    """Fill an empty PostgreSQL database from its copy; all of it, or nothing."""
    _run(
        "pg_restore",
        database.engine.url,
        "--single-transaction",
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        str(copied),
    )
    copied.unlink()


def _run(name: str, url: URL, *arguments: str) -> None:
    program = shutil.which(name)
    if program is None:
        raise Unavailable("program_missing", f"{name} is not installed. Install PostgreSQL's client programs.")
    address = url.set(drivername="postgresql", password=None).render_as_string()
    done = subprocess.run(  # noqa: S603 - a program of PostgreSQL; the address is the operator's own setting
        [program, f"--dbname={address}", *arguments],
        env={**os.environ, **_password(url)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason was given"])[0]
        raise Unavailable("database_copy_failed", f"{name} failed: {reason}")


def _password(url: URL) -> Mapping[str, str]:
    """Give the password by the environment: a command line is seen by every account of the machine."""
    return {"PGPASSWORD": str(url.password)} if url.password else {}
