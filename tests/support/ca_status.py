# SPDX-License-Identifier: Apache-2.0
"""The status listener on a port of its own: its address is known before the authorities that name it are made."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from etymon.ca.dependencies import Dependencies
from etymon.ca.http import status_routes
from etymon.web.listeners import Listener, Listeners

START_LIMIT_SECONDS = 30


class StatusListener:
    """A running listener; `serve` gives it the authorities it answers for."""

    def __init__(self) -> None:
        self._app: Starlette | None = None

        async def late(scope: Scope, receive: Receive, send: Send) -> None:
            assert self._app is not None
            await self._app(scope, receive, send)

        self._listeners = Listeners([Listener("status", late, "127.0.0.1", 0)])
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listeners.run()), daemon=True)
        self._thread.start()
        started = threading.Event()
        for _ in range(START_LIMIT_SECONDS * 100):
            if self._listeners.started or not self._thread.is_alive():
                break
            started.wait(0.01)
        assert self._listeners.started

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listeners.ports()['status']}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def serve(self, deps: Dependencies) -> None:
        self._app = Starlette(routes=status_routes(deps))

    def close(self) -> None:
        self._listeners.stop()
        self._thread.join()


@contextmanager
def status_listener() -> Iterator[StatusListener]:
    listener = StatusListener()
    try:
        yield listener
    finally:
        listener.close()
