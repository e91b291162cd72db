# SPDX-License-Identifier: Apache-2.0
"""One site behind each kind of proxy, for all tests here: nobody turns its clock or changes what all are under."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.founding import founded
from support.fronted_site import CERTAUTH, KINDS, SITE, FrontedSite
from support.proxies import Proxy


@pytest.fixture(scope="package", params=KINDS)
def fronted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontedSite]:
    directory = tmp_path_factory.mktemp("fronted")
    proxy: Proxy = request.param(directory / "proxy")
    with resolving(SITE, CERTAUTH), founded(directory / "site", proxy=proxy) as site:
        yield FrontedSite(site, proxy)


@contextmanager
def resolving(*names: str) -> Iterator[None]:
    """Stand in for the organisation's name server: its hosts are this machine."""
    ask = socket.getaddrinfo

    def answer(host: Any, *further: Any, **named: Any) -> Any:
        return ask("127.0.0.1" if host in names else host, *further, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", answer)
        yield


@pytest.fixture(autouse=True)
def _forgiven(request: pytest.FixtureRequest) -> None:
    """Forget what was counted against the address that all tests come from."""
    if "fronted" in request.fixturenames:
        found: FrontedSite = request.getfixturevalue("fronted")
        found.site.forgive()
