# SPDX-License-Identifier: Apache-2.0
"""A site with SCEP connectors: of each engine where the database guards something, one for a module elsewhere."""

from collections.abc import Iterator

import pytest

from etymon.issuer.intune.connection import Connection
from etymon.issuer.intune.validation import IntuneValidation
from etymon.issuer.scep.model import ChallengeSource
from etymon.kernel.entropy import SystemEntropy
from etymon.storage.database import Database
from support import intune_service
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.intune_service import Intune
from support.issuer_listeners import RunningIssuer
from support.scep_site import SCEPSite
from support.tenancy import Tenancy


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


@pytest.fixture(scope="module")
def shared_site(
    sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SCEPSite, Intune, Connection]]:
    database, directory = sqlite_databases.migrated(), tmp_path_factory.mktemp("intune")
    clock = TurnedClock()
    with intune_service.running(directory, clock, SystemEntropy()) as (cloud, connection):
        site = SCEPSite(database, clock, SystemEntropy(), directory)
        site.validation = IntuneValidation(connection)
        site.deps = site.dependencies("https://issuer.test", "https://issuer.test:8444", "https://issuer.test:8445")
        site.connector("intune", source=ChallengeSource.INTUNE, client=None)
        yield site, cloud, connection
    sqlite_databases.drop(database)


@pytest.fixture
def tenancy(shared_site: tuple[SCEPSite, Intune, Connection]) -> Iterator[Tenancy]:
    site, cloud, connection = shared_site
    yield Tenancy(site, cloud, connection)
    usual = Intune(url=cloud.url, tokens=cloud.tokens)
    cloud.__dict__.update(usual.__dict__)
