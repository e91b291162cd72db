# SPDX-License-Identifier: Apache-2.0
"""What is counted cannot be made to grow by whoever asks."""

import asyncio

from starlette.responses import PlainTextResponse
from starlette.types import Message, Scope

from etymon.server.metrics import Measured, Metrics


def ask(measured: Measured, method: str) -> None:
    scope: Scope = {"type": "http", "method": method, "path": "/", "headers": [], "query_string": b""}

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Message) -> None:
        return

    asyncio.run(measured(scope, receive, send))


def test_methods_that_nobody_has_heard_of_are_counted_together() -> None:
    metrics = Metrics()
    measured = Measured(PlainTextResponse("ok"), "site", metrics)
    for number in range(50):
        ask(measured, f"METHOD{number}")
    ask(measured, "GET")

    counted = [line for line in bytes(metrics.exposition().body).decode().splitlines() if "requests_total{" in line]

    assert sorted(counted) == [
        'etymon_http_requests_total{listener="site",method="GET",status="200"} 1.0',
        'etymon_http_requests_total{listener="site",method="other",status="200"} 50.0',
    ]
