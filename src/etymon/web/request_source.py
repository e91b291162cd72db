# SPDX-License-Identifier: Apache-2.0
"""Between a listener and its application: each request is served as coming from its client."""

from collections.abc import Collection

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from etymon.kernel import source
from etymon.web.exchange import address_of


class FromClient:
    """Gives all that a request does its client's address as source, whichever face serves it."""

    def __init__(self, app: ASGIApp, proxies: Collection[str]) -> None:
        self._app, self._proxies = app, frozenset(proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with source.coming_from(address_of(Request(scope), self._proxies)):
            await self._app(scope, receive, send)
