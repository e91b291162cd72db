# SPDX-License-Identifier: Apache-2.0
"""All HTTP that goes through a site's listeners, written down between TLS and the application."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from etymon.web.listeners import Listener

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Exchange:
    """One request and its answer. Header names are lower-case."""

    listener: str
    method: str
    path: str
    query: str
    headers: Headers
    body: bytes = b""
    status: int = 0
    answer_headers: Headers = ()
    answer: bytes = b""

    def octets(self) -> bytes:
        """Return everything that was sent either way."""
        lines = [self.method, self.path, self.query]
        lines += [f"{name}: {value}" for name, value in (*self.headers, *self.answer_headers)]
        return "\n".join(lines).encode() + b"\n" + self.body + b"\n" + self.answer


class Traffic:
    """What went through, in order of arrival."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self._lock = threading.Lock()

    def position(self) -> int:
        """Return how many exchanges there were."""
        with self._lock:
            return len(self.exchanges)

    def since(self, position: int = 0) -> Sequence[Exchange]:
        """Return the exchanges after a position."""
        with self._lock:
            return tuple(self.exchanges[position:])

    def at(self, listener: Listener) -> Listener:
        """Return the listener with everything it hears and says written down."""
        return replace(listener, app=self._writing_down(listener.name, listener.app))

    def _writing_down(self, name: str, app: ASGIApp) -> ASGIApp:
        async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            exchange = Exchange(
                name, scope["method"], scope["path"], scope["query_string"].decode("latin-1"), _text(scope["headers"])
            )
            with self._lock:
                self.exchanges.append(exchange)

            async def received() -> Message:
                message = await receive()
                exchange.body += message.get("body", b"")
                return message

            async def sent(message: Message) -> None:
                if message["type"] == "http.response.start":
                    exchange.status = message["status"]
                    exchange.answer_headers = _text(message.get("headers", ()))
                exchange.answer += message.get("body", b"")
                await send(message)

            await app(scope, received, sent)

        return recorded


def _text(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers)
