# SPDX-License-Identifier: Apache-2.0
"""Several listeners in one process, each with its own TLS rules; they start together and stop together.

TLS checks only that the peer holds the key of a certificate that one of the accepted CAs signed. Time, policy, purpose
and revocation are judged in `pki` with the injected clock, so that a refusal is an answer with a reason. What OpenSSL
refuses by itself (unknown CA, a certificate whose extended key usage excludes TLS clients) ends in an alert.
"""

import asyncio
import contextlib
import enum
import os
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import structlog
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from etymon.web.problem import HeadersTooLarge, ProblemDetails

NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME; Python's `ssl` has no name for it."""


HEADERS_LIMIT_BYTES: Final = 32 * 1024
"""Address and headers together, with room for a client certificate that a proxy sends."""


log = structlog.get_logger("etymon.web")


class ClientCertificate(enum.Enum):
    """Whether a listener asks its TLS clients for a certificate."""

    NEVER = "never"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """PEM files of a TLS server: its chain, up to the CA that phones pin, and its key."""

    chain_file: str
    key_file: str
    key_password: Secret[str] | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """One door. `client_cas` is the PEM text of every CA whose certificates TLS lets through."""

    name: str
    app: ASGIApp
    host: str
    port: int
    identity: ServerIdentity | None = None
    client_certificate: ClientCertificate = ClientCertificate.NEVER
    client_cas: str = ""
    keep_alive: bool = True
    tls13_only: bool = False


class PeerCertificateProtocol(H11Protocol):
    """Puts the DER certificate of the TLS peer into the ASGI scope."""

    def connection_made(self, transport: Any) -> None:  # asyncio's own class is not the one uvicorn names
        """Remember the peer's certificate for every request of this connection."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})["etymon.peer_certificate"] = der
            if _header_bytes(scope) > HEADERS_LIMIT_BYTES:
                await _headers_too_large()(scope, receive, send)
                return
            await inner(scope, receive, send)

        self.app = app


def _header_bytes(scope: Scope) -> int:
    fields = sum(len(name) + len(value) for name, value in scope["headers"])
    return len(scope["raw_path"]) + len(scope["query_string"]) + fields


def _headers_too_large() -> Response:
    """Refuse in the form of our own protocols: which one is spoken was not looked at."""
    limit = f"Address and headers of a request may have at most {HEADERS_LIMIT_BYTES} bytes."
    response = ProblemDetails().expected(HeadersTooLarge(detail=limit))
    response.headers["Connection"] = "close"
    return response


class TellingHandshake(ssl.SSLObject):
    """A handshake whose refusal reaches the peer.

    asyncio closes a connection whose handshake failed without sending the alert that OpenSSL wrote for it, and the
    browser has nothing to show but a broken connection. The first failure is told as "needs to read": asyncio then
    sends what is waiting, and closes when the peer says anything more, hangs up, or the handshake's time is over.
    """

    _told = False

    def do_handshake(self) -> None:
        """Go on with the handshake."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLSyscallError):
            raise
        except ssl.SSLError as refusal:
            if self._told:
                raise
            self._told = True
            raise ssl.SSLWantReadError from refusal


def server_context(listener: Listener) -> ssl.SSLContext:
    """Return the TLS context of `listener`."""
    if listener.identity is None:
        message = "a listener without identity has no TLS"
        raise ValueError(message)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if listener.tls13_only else ssl.TLSVersion.TLSv1_2
    context.sslobject_class = TellingHandshake
    present(context, listener.identity)
    context.num_tickets = 0  # a resumed session would outlive the card or key that made it
    context.options |= ssl.OP_NO_TICKET
    if listener.client_certificate is ClientCertificate.OPTIONAL:
        context.verify_mode = ssl.CERT_OPTIONAL
        accept(context, listener.client_cas)
    return context


def present(context: ssl.SSLContext, identity: ServerIdentity) -> None:
    """Show this certificate from the next handshake on; works while the listener runs."""
    password = identity.key_password.reveal() if identity.key_password else None
    context.load_cert_chain(identity.chain_file, identity.key_file, password)


def accept(context: ssl.SSLContext, client_cas: str) -> None:
    """Let certificates of these CAs (PEM text) through TLS as well; works while the listener runs."""
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    if client_cas:
        context.load_verify_locations(cadata=client_cas)


class Listeners:
    """A running set of listeners."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._servers: list[uvicorn.Server] = []

    def accept(self, name: str, client_cas: str) -> None:
        """Accept further client CAs at a running listener."""
        accept(self._contexts[name], client_cas)

    def present(self, identity: ServerIdentity) -> None:
        """Show another server certificate at every running TLS listener."""
        for context in self._contexts.values():
            present(context, identity)

    def stop(self) -> None:
        """Ask every listener to finish what it is answering and close."""
        for server in self._servers:
            server.should_exit = True

    @property
    def started(self) -> bool:
        """Whether every listener answers."""
        return bool(self._servers) and all(server.started for server in self._servers)

    def ports(self) -> dict[str, int]:
        """Return the port each listener is bound to; useful where port 0 was asked for."""
        return {
            listener.name: server.servers[0].sockets[0].getsockname()[1]
            for listener, server in zip(self._listeners, self._servers, strict=True)
        }

    async def run(self) -> None:
        """Serve until `stop`; the caller owns signal handling. Raises Unavailable where nothing can listen."""
        self._servers = [_Server(self._configuration(listener), listener.name) for listener in self._listeners]
        for ended in await asyncio.gather(*(self._serve(server) for server in self._servers), return_exceptions=True):
            if ended is not None:
                raise ended

    async def _serve(self, server: uvicorn.Server) -> None:
        """Serve at one listener; when one cannot, none does."""
        try:
            await server.serve()
        except BaseException:
            self.stop()
            raise

    def _configuration(self, listener: Listener) -> uvicorn.Config:
        options: dict[str, Any] = {
            "host": listener.host,
            "port": listener.port,
            "http": PeerCertificateProtocol,
            # the library's limit holds for what is still arriving; ours, below it, does not depend on how it arrives
            "h11_max_incomplete_event_size": 2 * HEADERS_LIMIT_BYTES,
            "ws": "none",
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            # the library would let anybody at the loopback say where a request comes from; `exchange` reads the
            # header, and must see the neighbour that sent it
            "proxy_headers": False,
            "timeout_graceful_shutdown": 5,
            "timeout_keep_alive": 30 if listener.keep_alive else 0,
            "headers": [] if listener.keep_alive else [("Connection", "close")],
        }
        if listener.identity is not None:
            context = self._contexts[listener.name] = server_context(listener)
            options["ssl_certfile"] = listener.identity.chain_file
            options["ssl_keyfile"] = listener.identity.key_file
            options["ssl_context_factory"] = lambda _config, _default: context
        return uvicorn.Config(listener.app, **options)


class _Server(uvicorn.Server):
    """A server that leaves signals to the process that runs it, and says where it listens."""

    def __init__(self, configuration: uvicorn.Config, name: str) -> None:
        super().__init__(configuration)
        self._name = name

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; raises Unavailable where that cannot be, where the library would end the process."""
        host, port = self.config.host, self.config.port
        try:
            await super().startup(sockets)
        except SystemExit as end:
            raise Unavailable(
                "cannot_listen",
                f"The {self._name} listener cannot be at {host}:{port}: {_reason(end.__context__)}. "
                "Stop what is there, or choose another address or port.",
            ) from end
        log.info("listening", listener=self._name, host=host, port=self.servers[0].sockets[0].getsockname()[1])

    def install_signal_handlers(self) -> None:
        """Install nothing."""

    def capture_signals(self) -> Any:
        """Capture nothing; one signal must stop all listeners, not the first."""
        return contextlib.nullcontext()


def _reason(fault: BaseException | None) -> str:
    if isinstance(fault, OSError) and fault.errno and fault.errno > 0:
        return os.strerror(fault.errno)
    return str(fault)
