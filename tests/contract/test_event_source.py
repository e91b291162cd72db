# SPDX-License-Identifier: Apache-2.0
"""The source of an event: of the request being served, on whatever thread, and of nothing else that runs beside."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from anyio import to_thread
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import Message, Scope

from etymon.audit import trail
from etymon.audit.model import AuditEvent
from etymon.kernel import source
from etymon.kernel.entropy import Entropy, SystemEntropy
from etymon.kernel.errors import NotPermitted
from etymon.server.metrics import Metrics
from etymon.server.worker import Worker
from etymon.storage import jobs
from etymon.storage.database import Database
from etymon.web.exchange import Refused, Request, endpoint
from etymon.web.request_source import FromClient
from support import patience
from support.clock import TurnedClock

PROXY: Final = "10.0.0.1"
NAME: Final = "test:event:recorded"


class Desk:
    """An application behind a proxy whose requests record an event, or are refused and it is recorded for them."""

    def __init__(self, database: Database, clock: TurnedClock, entropy: Entropy) -> None:
        self.database, self.clock, self.entropy = database, clock, entropy
        routes = [
            endpoint("/do/{subject}", self._do, methods=["GET"]),
            endpoint("/refuse/{subject}", self._refuse, methods=["GET"], proxies=[PROXY], refused=self._refused),
        ]
        self.app = FromClient(Starlette(routes=routes), [PROXY])

    def record(self, subject: str, named: str = "") -> None:
        with self.database.transaction() as tx:
            trail.record(tx, self.clock, self.entropy, AuditEvent(NAME, "somebody", subject, source=named))

    def sources(self) -> dict[str, str]:
        """Return the source of each event by its subject."""
        with self.database.snapshot() as tx:
            return {found.event.subject: found.event.source for found in trail.page(tx, name=NAME)}

    async def ask(self, path: str, address: str, *forwarded: str) -> int:
        """Send a request from an address, with X-Forwarded-For as often as given; return the status."""
        scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
            "client": (address, 1),
            "server": ("site.test", 443),
        }
        status: list[int] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            status.extend([message["status"]] if "status" in message else [])

        await self.app(scope, receive, send)
        return status[0]

    def _do(self, request: Request) -> Response:
        self.record(request.path_parameters["subject"])
        return Response("done")

    def _refuse(self, request: Request) -> Response:
        raise NotPermitted("no", request.path_parameters["subject"])

    def _refused(self, refused: Refused) -> None:
        self.record(refused.path_parameters["subject"])


@pytest.fixture
def desk(database: Database, clock: TurnedClock, entropy: Entropy) -> Desk:
    return Desk(database, clock, entropy)


def test_the_address_is_the_clients_and_a_proxy_is_believed(desk: Desk) -> None:
    async def ask() -> None:
        await asyncio.gather(
            desk.ask("/do/straight", "192.0.2.1"),
            desk.ask("/do/fronted", PROXY, "203.0.113.9, 192.0.2.2"),
            desk.ask("/do/fronted-twice", PROXY, "203.0.113.9", "192.0.2.3"),
            desk.ask("/do/claimed", "192.0.2.4", "203.0.113.9"),
        )

    asyncio.run(ask())
    assert desk.sources() == {
        "straight": "192.0.2.1",
        "fronted": "192.0.2.2",
        "fronted-twice": "192.0.2.3",
        "claimed": "192.0.2.4",
    }


def test_a_source_that_an_event_names_itself_stays(desk: Desk) -> None:
    with source.coming_from("192.0.2.1"):
        desk.record("named", "worker")
        desk.record("unnamed")
    assert desk.sources() == {"named": "worker", "unnamed": "192.0.2.1"}


def test_refusals_written_down_later_have_each_their_own(desk: Desk) -> None:
    async def ask() -> None:
        for number in range(1, 4):
            assert await desk.ask(f"/refuse/{number}", PROXY, f"192.0.2.{number}") == 403

    asyncio.run(ask())
    patience.until(lambda: len(desk.sources()) == 3, "the refusals are written down")
    assert desk.sources() == {str(number): f"192.0.2.{number}" for number in range(1, 4)}


def work_off(desk: Desk, pool: ThreadPoolExecutor) -> None:
    """Run one job, which records an event."""

    def job(found: jobs.Job) -> None:
        desk.record("job")
        with desk.database.transaction() as tx:
            jobs.complete(tx, found)

    with desk.database.transaction() as tx:
        jobs.enqueue(tx, desk.clock, SystemEntropy(), "test.record", {})
    assert Worker(desk.database, desk.clock, {"test.record": job}, [], Metrics()).run_due_jobs(pool) == 1


def test_a_job_after_a_request_on_the_same_thread_has_none(desk: Desk) -> None:
    """Whether the thread served the request as an event loop, or is handed the job in the midst of one."""
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asyncio.run, desk.ask("/do/before", "192.0.2.1")).result() == 200
        with source.coming_from("192.0.2.2"):
            work_off(desk, pool)
    assert desk.sources() == {"before": "192.0.2.1", "job": ""}


def test_what_a_thread_of_requests_does_next_has_none(desk: Desk) -> None:
    async def ask(then: Callable[[], None]) -> None:
        limiter = to_thread.current_default_thread_limiter()
        limiter.total_tokens = 1
        assert await desk.ask("/do/before", "192.0.2.1") == 200
        await to_thread.run_sync(then)

    asyncio.run(ask(lambda: desk.record("after")))
    assert desk.sources() == {"before": "192.0.2.1", "after": ""}
