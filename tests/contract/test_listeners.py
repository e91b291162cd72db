# SPDX-License-Identifier: Apache-2.0
"""Listeners and clients that are slow, say nothing, or are too many: over real sockets, with short time-outs."""

import asyncio
import contextlib
import errno
import itertools
import json
import select
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from email.message import Message
from http.client import HTTPResponse
from typing import Final, NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.requests import Request as ASGIRequest
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from etymon.web.connections import CannotListen, ConnectionLimits, Entrance
from etymon.web.exchange import Request, endpoint
from etymon.web.listeners import ClientCertificate, Listener, Listeners, ServerIdentity, entrances_of
from support import patience
from support.card_issuer import authority, server_certificate
from support.tls_files import trusting, write_identity

HOST: Final = "127.0.0.1"
LONG: Final = 600.0
SLOW: Final = ConnectionLimits(handshake=LONG, card_handshake=LONG, headers=LONG, body=LONG, answer=LONG, idle=600)
LARGE: Final = 64 * 1024 * 1024
GET: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
TLS_CA = authority("Test TLS CA")


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes
    headers: Message


class Running:
    """Two listeners of one application: `plain`, and `tls`, which asks for a client certificate."""

    def __init__(self, limits: ConnectionLimits, identity: ServerIdentity) -> None:
        self.released = threading.Event()
        self.waiting = 0
        self.ended: list[str] = []
        routes = [
            Route("/", lambda _: PlainTextResponse("fine")),
            Route("/wait", self._wait),
            Route("/stream", lambda _: StreamingResponse(self._stream())),
            Route("/at-once", lambda _: PlainTextResponse(bytes(LARGE))),
            endpoint("/body", self._read, methods=("POST",)),
        ]
        app = Starlette(routes=routes)
        listeners = [
            Listener("plain", app, HOST, 0),
            Listener("tls", app, HOST, 0, identity, ClientCertificate.OPTIONAL),
        ]
        self.entrances = entrances_of(listeners, limits)
        self._listeners = Listeners(listeners, limits)
        ready = threading.Event()
        run = self._listeners.run(self.entrances, ready=ready.set)
        self._thread = threading.Thread(target=asyncio.run, args=(run,))
        self._thread.start()
        assert ready.wait(patience.LIMIT_SECONDS)
        self.ports = self._listeners.ports()

    def open(self, sent: bytes = b"", name: str = "plain") -> socket.socket:
        """Connect and say something."""
        connection = socket.create_connection((HOST, self.ports[name]), timeout=patience.LIMIT_SECONDS)
        connection.sendall(sent)
        return connection

    def is_fine(self) -> bool:
        """Whether somebody who comes now is answered at both listeners."""
        plain, tls = self.open(), self.open(name="tls")
        secured = trusting([TLS_CA.certificate]).wrap_socket(tls, server_hostname="localhost")
        statuses = []
        for connection in (plain, secured):
            with connection:
                connection.sendall(GET)
                statuses.append(answer(connection).status)
        return statuses == [200, 200]

    def close(self) -> None:
        self.released.set()
        self._listeners.stop()
        self._thread.join()

    async def _wait(self, _: ASGIRequest) -> Response:
        self.waiting += 1
        await asyncio.to_thread(self.released.wait)
        return PlainTextResponse("at last")

    async def _stream(self) -> AsyncIterator[bytes]:
        for _ in range(LARGE // 65536):
            yield bytes(65536)
        self.ended.append("streamed")

    def _read(self, request: Request) -> Response:
        self.ended.append("read")
        return PlainTextResponse(str(len(request.body)))


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> ServerIdentity:
    certificate, key = server_certificate(TLS_CA, dns=("localhost",), addresses=(HOST,))
    return ServerIdentity(*write_identity(tmp_path_factory.mktemp("tls"), "server", certificate, key))


@contextmanager
def running(identity: ServerIdentity, limits: ConnectionLimits) -> Iterator[Running]:
    found = Running(limits, identity)
    try:
        yield found
    finally:
        found.close()


def answer(connection: socket.socket) -> Answer:
    """Return one answer, read to its end; the connection stays open."""
    with HTTPResponse(connection) as found:
        found.begin()
        return Answer(found.status, found.read(), found.headers)


def rest(connection: socket.socket) -> bytes:
    """Return everything up to the end of a connection, however it ends."""
    octets = b""
    with contextlib.suppress(ConnectionError):
        while received := connection.recv(1 << 20):
            octets += received
    return octets


def say_slowly(connection: socket.socket, octets: Iterator[bytes]) -> bytes:
    """Say one byte whenever nothing has come for a moment; return what came instead of the end."""
    with contextlib.suppress(ConnectionError):
        for octet in octets:
            if select.select([connection], [], [], 0.02)[0]:
                return rest(connection)
            connection.sendall(octet)
    return rest(connection)


@pytest.mark.parametrize("name", ["plain", "tls"])
@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_a_handshake_or_a_request_that_does_not_go_on_is_ended(
    name: str, said: bytes, identity: ServerIdentity
) -> None:
    with running(identity, replace(SLOW, card_handshake=0.2, headers=0.2)) as site, site.open(said, name) as quiet:
        rest(quiet)
        assert site.is_fine()


def test_headers_that_arrive_byte_by_byte_are_ended(identity: ServerIdentity) -> None:
    with running(identity, replace(SLOW, headers=0.3)) as site, site.open(GET[:-2]) as slow:
        assert say_slowly(slow, itertools.cycle([b"X", b":", b"y", b"\r", b"\n"])) == b""
        assert site.is_fine()


def test_the_next_request_of_a_connection_must_arrive_in_time_too(identity: ServerIdentity) -> None:
    with running(identity, replace(SLOW, headers=0.3)) as site, site.open(GET) as slow:
        assert answer(slow).body == b"fine"
        assert say_slowly(slow, itertools.cycle([b"X"])) == b""


def test_a_body_that_arrives_byte_by_byte_reaches_no_handler(identity: ServerIdentity) -> None:
    head = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n"
    with running(identity, replace(SLOW, body=0.3)) as site:
        with site.open(head) as slow:
            assert say_slowly(slow, itertools.repeat(b"x")) == b""
        assert site.ended == []
        with site.open(head + bytes(60000)) as quick:
            assert answer(quick).body == b"60000"
        assert site.ended == ["read"]


def test_a_request_that_was_refused_before_its_body_came_does_not_go_on_for_ever(identity: ServerIdentity) -> None:
    head = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6000000\r\n\r\n"
    with running(identity, replace(SLOW, headers=0.3)) as site, site.open(head) as slow:
        assert answer(slow).status == 413
        assert say_slowly(slow, itertools.repeat(b"x")) == b""


def test_a_body_whose_end_is_told_in_two_ways_reaches_no_handler(identity: ServerIdentity) -> None:
    """A proxy in front that believes the other way sends the next request as somebody else's (RFC 9112 §6.1)."""
    head = b"POST /body HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
    with running(identity, SLOW) as site, site.open(head + b"0\r\n\r\n" + GET) as both:
        refusal = answer(both)
        assert (refusal.status, refusal.headers["connection"]) == (400, "close")
        assert json.loads(refusal.body)["type"] == "urn:etymon:problem:body_framed_twice"
        assert rest(both) == b""
        assert site.ended == []


def test_an_answer_may_take_longer_than_its_request(identity: ServerIdentity) -> None:
    with running(identity, replace(SLOW, headers=0.2, body=0.2)) as site:
        patient = site.open(GET.replace(b"/", b"/wait", 1))
        patience.until(lambda: site.waiting == 1, "the request is there")
        with patient, site.open(b"GET") as slow:
            rest(slow)  # so long that a request's time is over
            site.released.set()
            assert answer(patient).body == b"at last"


@pytest.mark.parametrize("path", [b"/stream", b"/at-once"])
def test_an_answer_that_is_not_taken_is_given_up(path: bytes, identity: ServerIdentity) -> None:
    with running(identity, replace(SLOW, answer=0.3, idle=0)) as site, site.open(GET.replace(b"/", path, 1)) as idler:
        crowd = site.entrances["plain"].crowd
        patience.until(lambda: len(crowd) == 1, "the connection is there")
        patience.until(lambda: len(crowd) == 0, "it is given up")
        assert 0 < len(rest(idler)) < LARGE


FEW: Final = replace(SLOW, connections=16)
"""Of them, 14 are answered at a time."""


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: loc", GET])
@pytest.mark.parametrize("name", ["plain", "tls"])
def test_whoever_has_waited_longest_gives_way_to_a_newcomer(name: str, said: bytes, identity: ServerIdentity) -> None:
    """A handshake that was not begun, one that says nonsense, headers that do not end, and idle connections alike."""
    with running(identity, FEW) as site, ExitStack() as stack, capture_logs() as logs:
        many = []
        for _ in range(40):
            many.append(stack.enter_context(site.open(said, name)))
            if said == GET and name == "plain":
                assert answer(many[-1]).status == 200
        rest(many[0])  # it is hung up on
        assert site.is_fine()
        assert len(site.entrances[name].crowd) <= FEW.connections
    assert {one["listener"] for one in logs if one["event"] == "listener_crowded"} <= {name}


def test_who_is_being_answered_is_answered_and_further_requests_are_told_to_come_back(
    identity: ServerIdentity,
) -> None:
    wait = GET.replace(b"/", b"/wait", 1)
    with running(identity, FEW) as site, ExitStack() as stack:
        answered = [stack.enter_context(site.open(wait)) for _ in range(FEW.answered)]
        patience.until(lambda: site.waiting == FEW.answered, "all are being answered")
        quiet = [stack.enter_context(site.open()) for _ in range(10)]
        with site.open(GET) as further:
            refusal = answer(further)
            assert rest(further) == b""
        rest(quiet[0])
        assert (refusal.status, refusal.headers["content-type"]) == (503, "application/problem+json")
        assert json.loads(refusal.body)["type"] == "urn:etymon:problem:too_busy"
        assert refusal.headers["retry-after"] == "5"
        site.released.set()
        assert {answer(one).body for one in answered} == {b"at last"}
        assert site.is_fine()


def test_a_listener_says_once_that_it_is_crowded_and_once_that_it_is_not(identity: ServerIdentity) -> None:
    with running(identity, FEW) as site, capture_logs() as logs:
        with ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(site.open())
            patience.until(lambda: bool(logs), "it is told")
        patience.until(lambda: len(logs) > 1, "it is told that there is room")
    assert [(one["event"], one["listener"]) for one in logs] == [
        ("listener_crowded", "plain"),
        ("listener_has_room_again", "plain"),
    ]


def test_of_two_listeners_on_a_port_the_second_says_which_it_is(identity: ServerIdentity) -> None:
    with running(identity, SLOW) as site, pytest.raises(CannotListen) as caught:
        Entrance("device", HOST, site.ports["plain"], SLOW)
    assert (caught.value.listener, caught.value.number) == ("device", errno.EADDRINUSE)
    assert caught.value.detail.endswith(f"port {site.ports['plain']} of {HOST}: Address already in use.")


def test_a_listener_that_was_stopped_before_it_ran_does_not_run() -> None:
    listeners = Listeners([Listener("plain", Starlette(), HOST, 0)])
    listeners.stop()
    asyncio.run(listeners.run(ready=lambda: pytest.fail("it is not ready")))
