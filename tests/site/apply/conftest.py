# SPDX-License-Identifier: Apache-2.0
"""A running administration API, and people of either role who apply files to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from etymon.directory.model import Role
from etymon.storage.database import Database
from support import organizations
from support.clock import TurnedClock
from support.identity_provider import StandInProvider
from support.mdm_listeners import AUTHORITIES, RunningSite
from support.mdm_site import MDMSite
from support.operator import Operator


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInProvider]:
    with StandInProvider(tmp_path_factory.mktemp("provider")).running() as provider:
        yield provider


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the organisation's files are."""
    folder = tmp_path_factory.mktemp("organization")
    organizations.write_certificates(folder)
    return folder


@pytest.fixture
def running(database: Database, clock: TurnedClock, tmp_path: Path, provider: StandInProvider) -> Iterator[RunningSite]:
    site = MDMSite(database, clock, tmp_path, provider, authorities=AUTHORITIES)
    with RunningSite(site, tmp_path).running() as running:
        yield running


@pytest.fixture
def administrator(running: RunningSite, folder: Path) -> Operator:
    return Operator(running, running.somebody("adam", Role.ADMINISTRATOR), folder)


@pytest.fixture
def officer(running: RunningSite, folder: Path) -> Operator:
    return Operator(running, running.somebody("olga", Role.OFFICER), folder)
