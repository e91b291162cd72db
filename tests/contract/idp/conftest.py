# SPDX-License-Identifier: Apache-2.0
"""An identity provider alone, on either engine, over real TLS."""

from collections.abc import Iterator

import pytest

from etymon.storage.database import Database
from support.clock import TurnedClock
from support.idp_site import Files, IdPSite


@pytest.fixture(scope="session")
def idp_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files.in_(tmp_path_factory.mktemp("idp"))


@pytest.fixture
def site(database: Database, clock: TurnedClock, idp_files: Files) -> Iterator[IdPSite]:
    with IdPSite(database, clock, idp_files).running() as running:
        yield running
