# SPDX-License-Identifier: Apache-2.0
"""An endpoint manager on TLS listeners, over a database of either engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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
