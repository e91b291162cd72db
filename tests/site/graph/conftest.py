# SPDX-License-Identifier: Apache-2.0
"""The administration API on a TLS listener, over a database of either engine."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from etymon.directory.model import Role
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.identity_provider import StandInProvider
from support.mdm_listeners import AUTHORITIES, RunningSite
from support.mdm_site import MDMSite


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInProvider]:
    with StandInProvider(tmp_path_factory.mktemp("provider")).running() as provider:
        yield provider


@pytest.fixture
def running(database: Database, clock: TurnedClock, tmp_path: Path, provider: StandInProvider) -> Iterator[RunningSite]:
    site = MDMSite(database, clock, tmp_path, provider, authorities=AUTHORITIES)
    with RunningSite(site, tmp_path).running() as running:
        yield running


@pytest.fixture
def admin(running: RunningSite) -> httpx.Client:
    return running.administration(running.somebody("admin", Role.ADMINISTRATOR))


@pytest.fixture
def officer(running: RunningSite) -> httpx.Client:
    return running.administration(running.somebody("officer", Role.OFFICER))
