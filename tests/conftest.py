# SPDX-License-Identifier: Apache-2.0
"""What every suite has: a clock to turn, chance, a database of either engine, and judges that may be missing."""

import fcntl
import logging
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from etymon.kernel.entropy import SystemEntropy
from etymon.server import logs
from etymon.storage.database import Database
from support import programs
from support.clock import TurnedClock
from support.databases import ENGINES, Databases, PostgreSQLDatabases, SQLiteDatabases, running_postgresql
from support.tokens import Faults, TestToken, Tokens

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
"""What a site that runs in this process logs is no part of what a command that a test types beside it prints."""

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")  # how long an example takes says how busy the machine is


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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let serial tests come first: `--dist worksteal` gives neighbours to one process, and none waits for another."""
    items.sort(key=lambda item: item.get_closest_marker("serial") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run no serial test beside another one of this user's on this machine, whichever process and run it is in."""
    if item.get_closest_marker("serial") is None:
        return (yield)
    with (Path(tempfile.gettempdir()) / f"etymon-serial-tests-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Undo what a command that a test ran in this process did to the logs: its standard error is gone after it."""
    handlers, level = list(logging.root.handlers), logging.root.level
    quieted = {name: logging.getLogger(name).level for name in logs.QUIET}
    configuration = structlog.get_config() if structlog.is_configured() else None
    yield
    if configuration is None:
        structlog.reset_defaults()
    else:
        structlog.configure(**configuration)
    logging.root.setLevel(level)
    for name, before in quieted.items():
        logging.getLogger(name).setLevel(before)
    for handler in logging.root.handlers[:]:
        if handler not in handlers and type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)


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
def databases(request: pytest.FixtureRequest) -> Databases:
    """Databases of one engine; a test that asks for them, or for one of them, runs once on each engine."""
    found: Databases = request.getfixturevalue(f"{request.param}_databases")
    return found


@pytest.fixture
def database(databases: Databases) -> Iterator[Database]:
    """A fresh database with the present schema."""
    lent = databases.migrated()
    yield lent
    databases.drop(lent)


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[Database]:
    """A fresh database without a table."""
    lent = databases.empty()
    yield lent
    databases.drop(lent)


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    """Tokens of a test process; each test makes its own."""
    return Tokens(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture(scope="session")
def faults(tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Faults:
    """A module before SoftHSM that answers as a device in trouble does."""
    return Faults(tmp_path_factory.mktemp("shim"), tokens.module)


@pytest.fixture
def faulty(tokens: Tokens, faults: Faults) -> TestToken:
    """A token of its own behind that module."""
    return tokens.make().with_module(faults.module)
