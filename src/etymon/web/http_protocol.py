# SPDX-License-Identifier: Apache-2.0
"""HTTP on one connection: uvicorn's, with the peer's certificate, a limit of headers, and an end to all waiting."""

import asyncio
import enum
from typing import Any, Final

import h11
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from etymon.kernel.errors import EtymonError, Malformed, Unavailable
from etymon.web.connections import ConnectionLimits, Crowd
from etymon.web.problem import HeadersTooLarge, ProblemDetails

HEADERS_LIMIT_BYTES: Final = 32 * 1024
"""Address and headers together, with room for a client certificate that a proxy sends."""

RETRY_AFTER_SECONDS: Final = 5


class Phase(enum.Enum):
    """What a connection waits for."""

    HEADERS = enum.auto()
    BODY = enum.auto()
    ANSWER = enum.auto()
    IDLE = enum.auto()


class HTTPProtocol(H11Protocol):
    """Puts the DER certificate of the TLS peer into the ASGI scope, and hangs up on whoever takes too long.

    Neither library has a time-out for a request that arrives slowly or an answer that is taken slowly.
    """

    def __init__(self, config: uvicorn.Config, state: ServerState, limits: ConnectionLimits, crowd: Crowd) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self._limits = limits
        self._crowd = crowd
        self._phase = Phase.IDLE
        self._hang_up: asyncio.TimerHandle | None = None
        self._number = -1

    def connection_made(self, transport: Any) -> None:  # asyncio's own class is not the one uvicorn names
        """Remember the peer's certificate for every request of this connection; wait for the first of them."""
        super().connection_made(transport)
        self._number = transport.get_extra_info("socket").fileno()
        self._begin(Phase.HEADERS)
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {}).update(
                {"etymon.peer_certificate": der, "etymon.require_room": self._require_room}
            )
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
            await inner(scope, receive, send)

        self.app = app

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._phase is Phase.IDLE:
            self._begin(Phase.HEADERS)
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request; it may be there already."""
        self._begin(Phase.IDLE)
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._hang_up is not None:
            self._hang_up.cancel()
        self._number = -1  # another connection's by now
        super().connection_lost(exc)

    def _look(self) -> None:
        """See what is being waited for now."""
        if self.conn.our_state not in {h11.SEND_RESPONSE, h11.SEND_BODY}:
            return
        phase = Phase.BODY if self.conn.their_state is h11.SEND_BODY else Phase.ANSWER
        if phase is not self._phase:
            self._begin(phase)

    def _begin(self, phase: Phase) -> None:
        self._phase = phase
        (self._crowd.is_answered if phase is Phase.ANSWER else self._crowd.is_waiting)(self._number)
        if self._hang_up is not None:
            self._hang_up.cancel()
        # an idle connection is closed by uvicorn, once what was sent is taken: this is for those who do not take it
        seconds = {
            Phase.HEADERS: self._limits.headers,
            Phase.BODY: self._limits.body,
            Phase.ANSWER: self._limits.answer,
            Phase.IDLE: self._limits.idle + self._limits.answer,
        }[phase]
        self._hang_up = self.loop.call_later(seconds, self.transport.abort)

    def _refusal(self, scope: Scope) -> Response | None:
        """Refuse in the form of our own protocols: which one is spoken was not looked at."""
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}:
            # a proxy in front may believe the other one, and take the end of this request for the next (RFC 9112 §6.1)
            return _closing(Malformed("body_framed_twice", "Send Content-Length or Transfer-Encoding, not both."))
        if _header_bytes(scope) > HEADERS_LIMIT_BYTES:
            limit = f"Address and headers of a request may have at most {HEADERS_LIMIT_BYTES} bytes."
            return _closing(HeadersTooLarge(detail=limit))
        try:
            self._require_room()
        except Unavailable as busy:
            refusal = _closing(busy)
            refusal.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
            return refusal
        return None

    def _require_room(self) -> None:
        """Raise Unavailable while too many requests are answered; ask again where a body has arrived since."""
        if self._crowd.is_busy:
            raise Unavailable("too_busy", "Too many requests are being answered. Try again in a moment.")


def _closing(error: EtymonError) -> Response:
    response = ProblemDetails().expected(error)
    response.headers["Connection"] = "close"
    return response


def _header_bytes(scope: Scope) -> int:
    fields = sum(len(name) + len(value) for name, value in scope["headers"])
    return len(scope["raw_path"]) + len(scope["query_string"]) + fields
