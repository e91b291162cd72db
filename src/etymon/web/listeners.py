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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from etymon.kernel.secret import Secret
from etymon.web.connections import BACKLOG, USUAL, CannotListen, ConnectionLimits, Entrance
from etymon.web.http_protocol import HEADERS_LIMIT_BYTES, HTTPProtocol

NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME; Python's `ssl` has no name for it."""


CIPHERS: Final = "@SECLEVEL=2:ECDH+AESGCM:ECDH+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
"""AES with a fresh key agreement, for TLS 1.2; the level refuses keys of RSA below 2048 bits (Common Policy 6.1.5)."""

PRESENTED_WITHIN_SECONDS: Final = 10.0


class ClientCertificate(enum.Enum):
    """Whether a listener asks its TLS clients for a certificate."""

    NEVER = "never"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """PEM files of a TLS server: its chain, up to the CA that phones pin, and its key, which no password protects."""

    chain_file: str
    key_file: str

    def present(self, context: ssl.SSLContext) -> None:
        """Show this certificate from the next handshake on; raises OSError (SSLError is one) for unusable files."""
        # without a password OpenSSL would ask for one at the terminal
        context.load_cert_chain(self.chain_file, self.key_file, password="")


@dataclass(frozen=True, slots=True)
class IssuedIdentity:
    """The same as PEM that is in no file: the key ends with the process that made it, however that ends."""

    chain: bytes
    key: Secret[bytes]

    def present(self, context: ssl.SSLContext) -> None:
        """Show this certificate from the next handshake on."""
        with _in_memory(self.chain) as chain, _in_memory(self.key.reveal()) as key:
            context.load_cert_chain(chain, key)


@contextlib.contextmanager
def _in_memory(octets: bytes) -> Iterator[str]:
    """Lend a path for what OpenSSL reads from paths only."""
    number = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(octets)
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)


Identity = ServerIdentity | IssuedIdentity


@dataclass(frozen=True, slots=True)
class Listener:
    """One door. `client_cas` is the PEM text of every CA whose certificates TLS lets through."""

    name: str
    app: ASGIApp
    host: str
    port: int
    identity: Identity | None = None
    client_certificate: ClientCertificate = ClientCertificate.NEVER
    client_cas: str = ""
    keep_alive: bool = True
    tls13_only: bool = False


class TellingHandshake(ssl.SSLObject):
    """A handshake whose refusal reaches the peer, and that ends with AES or not at all.

    asyncio closes a connection whose handshake failed without sending the alert that OpenSSL wrote for it, and the
    browser has nothing to show but a broken connection. The first failure is told as "needs to read": asyncio then
    sends what is waiting, and closes when the peer says anything more, hangs up, or the handshake's time is over.

    Python's `ssl` cannot choose the ciphers of TLS 1.3 (before 3.15). AES is preferred, so that ChaCha20 is agreed on
    only with a peer that offers no AES of 256 bits; the connection is closed before anything is read from it.
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
        agreed = self.cipher()
        if agreed is None or "AES" not in agreed[0]:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the peer offers no cipher that is taken here")


def server_context(listener: Listener) -> ssl.SSLContext:
    """Return the TLS context of `listener`."""
    if listener.identity is None:
        message = "a listener without identity has no TLS"
        raise ValueError(message)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if listener.tls13_only else ssl.TLSVersion.TLSv1_2
    context.sslobject_class = TellingHandshake
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    listener.identity.present(context)
    context.num_tickets = 0  # a resumed session would outlive the card or key that made it
    context.options |= ssl.OP_NO_TICKET
    if listener.client_certificate is ClientCertificate.OPTIONAL:
        context.verify_mode = ssl.CERT_OPTIONAL
        accept(context, listener.client_cas)
    return context


def accept(context: ssl.SSLContext, client_cas: str) -> None:
    """Let certificates of these CAs (PEM text) through TLS as well; works while the listener runs."""
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    if client_cas:
        context.load_verify_locations(cadata=client_cas)


class Listeners:
    """A running set of listeners."""

    def __init__(self, listeners: Iterable[Listener], limits: ConnectionLimits = USUAL) -> None:
        self._listeners = tuple(listeners)
        self._limits = limits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._servers: list[_Server] = []
        self._is_stopping = False

    def accept(self, name: str, client_cas: str) -> None:
        """Accept further client CAs at a running listener."""
        accept(self._contexts[name], client_cas)

    def present(self, identity: Identity) -> None:
        """Show another server certificate at every running TLS listener; call it from another thread than `run`'s.

        The event loop does it: in the middle, a handshake would show the one certificate and use the other's key.
        """

        async def exchange() -> None:
            for context in self._contexts.values():
                identity.present(context)

        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(exchange(), self._loop).result(PRESENTED_WITHIN_SECONDS)

    def stop(self) -> None:
        """Ask every listener to finish what it is answering and close."""
        self._is_stopping = True
        for server in self._servers:
            server.should_exit = True

    @property
    def started(self) -> bool:
        """Whether every listener answers."""
        return bool(self._servers) and all(server.started for server in self._servers)

    def ports(self) -> dict[str, int]:
        """Return the port each listener is bound to; useful where port 0 was asked for."""
        return {
            listener.name: server.entrance.doors[0].getsockname()[1]
            for listener, server in zip(self._listeners, self._servers, strict=True)
        }

    async def run(
        self, entrances: Mapping[str, Entrance] | None = None, *, ready: Callable[[], None] = lambda: None
    ) -> None:
        """Serve until `stop`; the caller owns signal handling.

        `entrances` are those of these listeners, by name; without them they are opened here (raises CannotListen).
        `ready` is called once every listener answers.
        """
        if entrances is None:
            entrances = entrances_of(self._listeners, self._limits)
        self._loop = asyncio.get_running_loop()
        self._contexts = {one.name: server_context(one) for one in self._listeners if one.identity is not None}

        def one_more() -> None:
            if self.started and not self._is_stopping:
                ready()

        servers = [
            _Server(one, entrances[one.name], self._contexts.get(one.name), self._limits, one_more)
            for one in self._listeners
        ]
        self._servers = servers
        for server in servers:
            server.should_exit = self._is_stopping
        await asyncio.gather(*(server.serve() for server in servers))


def entrances_of(listeners: Iterable[Listener], limits: ConnectionLimits = USUAL) -> dict[str, Entrance]:
    """Open what listeners are reached by: all of them, or none and raise CannotListen."""
    opened: dict[str, Entrance] = {}
    try:
        for one in listeners:
            opened[one.name] = Entrance(one.name, one.host, one.port, limits)
    except CannotListen:
        for entrance in opened.values():
            entrance.close()
        raise
    return opened


class _Server(uvicorn.Server):
    """A server that leaves signals to the process that runs it, and sockets to its entrance."""

    def __init__(
        self,
        listener: Listener,
        entrance: Entrance,
        context: ssl.SSLContext | None,
        limits: ConnectionLimits,
        started: Callable[[], None],
    ) -> None:
        super().__init__(
            uvicorn.Config(
                listener.app,
                # holds for what is still arriving; our own limit, below it, does not depend on how it arrives
                h11_max_incomplete_event_size=2 * HEADERS_LIMIT_BYTES,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # the library would let anybody at the loopback say where a request comes from; `exchange` reads the
                # header, and must see the neighbour that sent it
                proxy_headers=False,
                timeout_graceful_shutdown=5,
                timeout_keep_alive=limits.idle if listener.keep_alive else 0,
                headers=[] if listener.keep_alive else [("Connection", "close")],
            )
        )
        self.entrance = entrance
        self._context = context
        self._limits = limits
        self._asks = listener.client_certificate is not ClientCertificate.NEVER
        self._tell_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer at the entrance; uvicorn's own has no time-out for handshakes."""
        del sockets
        loop = asyncio.get_running_loop()
        handshake = self._limits.card_handshake if self._asks else self._limits.handshake
        self.servers = [
            await loop.create_server(
                self._protocol,
                sock=door,
                ssl=self._context,
                backlog=BACKLOG,
                ssl_handshake_timeout=handshake if self._context else None,
            )
            for door in self.entrance.doors
        ]
        self.started = True
        self._tell_started()

    def _protocol(self) -> HTTPProtocol:
        return HTTPProtocol(self.config, self.server_state, self._limits, self.entrance.crowd)

    def install_signal_handlers(self) -> None:
        """Install nothing."""

    def capture_signals(self) -> Any:
        """Capture nothing; one signal must stop all listeners, not the first."""
        return contextlib.nullcontext()
