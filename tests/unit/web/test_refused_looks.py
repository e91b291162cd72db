# SPDX-License-Identifier: Apache-2.0
"""Refusals of who only looks are told beside the answer: nobody waits, so many wait to be told, a fault is logged."""

import asyncio
import threading

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from structlog.testing import capture_logs

from etymon.kernel.errors import NotFound
from etymon.web.exchange import MOST_WAITING, RefusalRecorder, Refused, Request, endpoint
from support import patience


def look(recorder: RefusalRecorder, times: int = 1) -> list[int]:
    """Ask for what is not there; return the answers' status codes."""

    def nothing(_: Request) -> Response:
        raise NotFound("nothing_here", "There is nothing.")

    application = Starlette(routes=[endpoint("/looked-at", nothing, methods=["GET"], refused=recorder)])

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="https://site.test") as client:
            return [(await client.get("/looked-at")).status_code for _ in range(times)]

    return asyncio.run(ask())


def test_nobody_waits_for_the_record_and_so_many_wait_for_it() -> None:
    free, told = threading.Event(), list[str]()

    def record(refused: Refused) -> None:
        assert free.wait(30)
        told.append(refused.error.code)

    with capture_logs() as logged:
        assert look(record, MOST_WAITING + 3) == [404] * (MOST_WAITING + 3)
    free.set()
    patience.until(lambda: len(told) == MOST_WAITING, "what waited is told")
    assert [entry["error_code"] for entry in logged if entry["event"] == "refusal_not_recorded"] == ["nothing_here"] * 3
    assert look(record) == [404]
    patience.until(lambda: len(told) == MOST_WAITING + 1, "there is room again")


@pytest.mark.parametrize("fault", [NotFound("gone", "Gone."), ZeroDivisionError()])
def test_a_record_that_fails_is_logged_and_gives_its_place_back(fault: Exception) -> None:
    def record(_: Refused) -> None:
        raise fault

    with capture_logs() as logged:
        assert look(record) == [404]
        patience.until(lambda: any(entry["event"] == "refusal_not_recorded" for entry in logged), "it is logged")
