# SPDX-License-Identifier: Apache-2.0
"""What every suite has: a clock to turn, chance, a database of either engine, and judges that may be missing."""

import os
from collections.abc import Iterator

import pytest

from etymon.kernel.entropy import SystemEntropy
from etymon.storage.database import Database
from support import programs
from support.clock import TurnedClock
from support.databases import PostgreSQLDatabases, SQLiteDatabases, running_postgresql

ENGINES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres", "initdb")))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Name a missing outside program in the summary; where CI runs, a missing program is a failure."""
    needed = {program for marker in item.iter_markers("needs") for program in marker.args}
    missing = sorted({programs.package_of(program) for program in needed if programs.find(program) is None})
    if not missing:
        return
    reason = f"NOT RUN: install {' '.join(missing)}"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def entropy() -> SystemEntropy:
    return SystemEntropy()


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SQLiteDatabases:
    return SQLiteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgresql_databases() -> Iterator[PostgreSQLDatabases]:
    """One server a test process: beside each other, processes share nothing."""
    with running_postgresql() as databases:
        yield databases


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh database with the present schema; the test runs once on each engine."""
    yield from _lent(request, empty=False)


@pytest.fixture(params=ENGINES)
def empty_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh database without a table; the test runs once on each engine."""
    yield from _lent(request, empty=True)


def _lent(request: pytest.FixtureRequest, *, empty: bool) -> Iterator[Database]:
    if request.param == "sqlite":
        files: SQLiteDatabases = request.getfixturevalue("sqlite_databases")
        database = files.empty() if empty else files.migrated()
        yield database
        database.close()
        return
    server: PostgreSQLDatabases = request.getfixturevalue("postgresql_databases")
    database = server.empty() if empty else server.migrated()
    yield database
    database.close()
    server.drop(database)
