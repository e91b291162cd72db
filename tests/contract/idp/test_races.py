# SPDX-License-Identifier: Apache-2.0
"""Fifty clients at two server processes that share only the database: what happens once, happens once."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from etymon.storage.database import Database
from support.clock import TurnedClock
from support.idp_site import ADMIN_TOOL, DIGEST_KEY, PHONE, Files, IdPSite

CLIENTS: Final = 50
TESTS: Final = Path(__file__).parents[2]


@contextmanager
def process(site: IdPSite) -> Iterator[str]:
    """Run one more process of the same identity provider; give the address of its site."""
    settings = {
        "database": site.database.engine.url.render_as_string(hide_password=False),
        "digest_key": DIGEST_KEY.hex(),
        "signing_key": site.signing_pem.decode(),
        "site_url": site.deps.site_url,
        "certauth_url": site.deps.certauth_url,
        "chain_file": site.files.server.chain_file,
        "key_file": site.files.server.key_file,
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "support.idp_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        server.stdin.write(json.dumps(settings) + "\n")
        server.stdin.flush()
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        try:
            server.wait(30)
        finally:
            server.kill()
            server.stdout.close()


@pytest.fixture
def processes(database: Database, idp_files: Files) -> Iterator[tuple[IdPSite, Sequence[str]]]:
    """The people, cards and browsers of one process, and the addresses of two others."""
    with ExitStack() as stack:
        site = stack.enter_context(IdPSite(database, TurnedClock(), idp_files).running())
        yield site, [stack.enter_context(process(site)) for _ in range(2)]


def race(site: IdPSite, addresses: Sequence[str], path: str, forms: Sequence[Mapping[str, str]]) -> list[Any]:
    """Send all forms at once, in turn to each address; return the bodies."""

    async def send() -> list[Any]:
        async with httpx.AsyncClient(verify=site.files.trusting(), timeout=60) as client:
            await asyncio.gather(*(client.get(f"{address}/idp/jwks") for address in addresses))
            answers = await asyncio.gather(
                *(
                    client.post(f"{addresses[number % len(addresses)]}{path}", data=dict(form))
                    for number, form in enumerate(forms)
                )
            )
            return [answer.json() for answer in answers]

    return asyncio.run(send())


def outcomes(bodies: Sequence[Mapping[str, Any]]) -> Counter[str]:
    return Counter("token" if "access_token" in body else str(body.get("error", "started")) for body in bodies)


def polling(started: Mapping[str, Any], client: str = ADMIN_TOOL) -> dict[str, str]:
    return {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": client,
        "device_code": str(started["device_code"]),
    }


def test_one_of_fifty_gets_the_token_of_an_approved_code(processes: tuple[IdPSite, Sequence[str]]) -> None:
    site, addresses = processes
    started = site.start_device()
    site.decide(site.cardholder(), started)

    bodies = race(site, addresses, "/idp/token", [polling(started)] * CLIENTS)

    assert outcomes(bodies) == {"token": 1, "invalid_grant": CLIENTS - 1}


def test_one_of_fifty_early_polls_is_pending_and_the_others_are_told_to_slow_down(
    processes: tuple[IdPSite, Sequence[str]],
) -> None:
    site, addresses = processes
    started = site.start_device()

    bodies = race(site, addresses, "/idp/token", [polling(started)] * CLIENTS)

    assert outcomes(bodies) == {"authorization_pending": 1, "slow_down": CLIENTS - 1}


@pytest.mark.parametrize(("state", "error"), [("denied", "access_denied"), ("foreign", "invalid_grant")])
def test_fifty_polls_of_a_code_that_gives_nothing_get_nothing(
    processes: tuple[IdPSite, Sequence[str]], state: str, error: str
) -> None:
    site, addresses = processes
    started = site.start_device()
    site.decide(site.cardholder(), started, "deny" if state == "denied" else "approve")
    client = PHONE if state == "foreign" else ADMIN_TOOL

    bodies = race(site, addresses, "/idp/token", [polling(started, client)] * CLIENTS)

    assert outcomes(bodies) == {error: CLIENTS}


def test_of_fifty_starts_of_one_enrollment_one_lives(processes: tuple[IdPSite, Sequence[str]]) -> None:
    site, addresses = processes
    forms = [
        {"client_id": PHONE, "scope": "enroll", "enrollment_assertion": site.enrollment_assertion()}
        for _ in range(CLIENTS)
    ]

    bodies = race(site, addresses, "/idp/device_authorization", forms)
    started = [body for body in bodies if "device_code" in body]
    polls = race(site, addresses, "/idp/token", [polling(body, PHONE) for body in started])

    assert outcomes(polls)["authorization_pending"] == 1
    assert outcomes(polls)["invalid_grant"] == len(started) - 1
    assert len(started) <= 30, "one address starts thirty in ten minutes, at both processes together"


def test_one_of_fifty_refreshes_wins_and_the_family_ends(processes: tuple[IdPSite, Sequence[str]]) -> None:
    site, addresses = processes
    started = site.start_device()
    site.decide(site.cardholder(), started)
    token = site.poll(started).json()["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": ADMIN_TOOL, "refresh_token": token}

    bodies = race(site, addresses, "/idp/token", [form] * CLIENTS)

    assert outcomes(bodies) == {"token": 1, "invalid_grant": CLIENTS - 1}
    (winner,) = [body["refresh_token"] for body in bodies if "refresh_token" in body]
    assert race(site, addresses, "/idp/token", [{**form, "refresh_token": winner}])[0]["error"] == "invalid_grant"
