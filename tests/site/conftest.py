# SPDX-License-Identifier: Apache-2.0
"""Whole sites, and an issuer alone. `site` is shared by all tests of a process: nobody turns its clock or changes what
all are under."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from etymon.kernel.entropy import Entropy
from support.clock import TurnedClock
from support.databases import PostgreSQLDatabases, SQLiteDatabases
from support.founding import founded
from support.issuer_listeners import RunningIssuer, issuer_on_sqlite
from support.whole_site import WholeSite


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSite]:
    """A site on SQLite; each test has people and phones of its own on it."""
    with founded(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="session")
def other_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSite]:
    """Another organisation of the same name on the same host, at the same time."""
    with founded(tmp_path_factory.mktemp("other")) as site:
        yield site


@pytest.fixture(scope="session")
def postgresql_site(
    tmp_path_factory: pytest.TempPathFactory, postgresql_databases: PostgreSQLDatabases
) -> Iterator[WholeSite]:
    """The same on PostgreSQL."""
    lent = postgresql_databases.empty()
    url = lent.engine.url.render_as_string(hide_password=False)
    lent.close()
    with founded(tmp_path_factory.mktemp("site"), database_url=url) as site:
        yield site


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres", "initdb"))])
def either_site(request: pytest.FixtureRequest) -> WholeSite:
    """The shared site on either engine."""
    name = "site" if request.param == "sqlite" else "postgresql_site"
    found: WholeSite = request.getfixturevalue(name)
    return found


@pytest.fixture(autouse=True)
def _forgiven(request: pytest.FixtureRequest) -> None:
    """Forget what was counted against the address that all tests come from."""
    for name in ("site", "other_site", "either_site"):
        if name in request.fixturenames:
            found = request.getfixturevalue(name)
            if isinstance(found, WholeSite):
                found.forgive()


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[WholeSite]:
    """A site for one test, which may turn its clock and change its rules."""
    with founded(tmp_path / "own") as site:
        yield site


@pytest.fixture
def issuer(
    sqlite_databases: SQLiteDatabases, clock: TurnedClock, entropy: Entropy, tmp_path: Path
) -> Iterator[RunningIssuer]:
    """An issuer for one test, beside no other service."""
    with issuer_on_sqlite(sqlite_databases, clock, entropy, tmp_path) as running:
        yield running
