# SPDX-License-Identifier: Apache-2.0
"""A site with SCEP connectors: of each engine where the database guards something, one for a module elsewhere."""

from collections.abc import Iterator

import pytest

from etymon.kernel.entropy import SystemEntropy
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.issuer_listeners import RunningIssuer
from support.scep_site import SCEPSite


@pytest.fixture
def site(
    database: Database, clock: TurnedClock, entropy: SystemEntropy, tmp_path_factory: pytest.TempPathFactory
) -> SCEPSite:
    return SCEPSite(database, clock, entropy, tmp_path_factory.mktemp("scep"))


@pytest.fixture(scope="module")
def shared(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SCEPSite]:
    """A site that the tests of a module share; its time goes on only where every test bears it."""
    database = sqlite_databases.migrated()
    yield SCEPSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("scep"))
    sqlite_databases.drop(database)


@pytest.fixture(scope="module")
def running(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningIssuer]:
    """A site that answers on its listeners, for a module."""
    database, directory = sqlite_databases.migrated(), tmp_path_factory.mktemp("scep")
    site = SCEPSite(database, TurnedClock(), SystemEntropy(), directory)
    with RunningIssuer(site, directory).running() as issuer:
        yield issuer
    sqlite_databases.drop(database)
