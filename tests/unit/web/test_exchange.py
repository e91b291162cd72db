# SPDX-License-Identifier: Apache-2.0
"""Requests as values: bodies bounded, parameters once, proxies believed only where they are configured."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Message, Scope

from etymon.kernel.errors import Malformed
from etymon.web.exchange import Request, endpoint

PROXY = "10.0.0.1"


def ask(
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    chunks: tuple[bytes, ...] = (b"",),
    address: str = PROXY,
    further: Sequence[tuple[str, str]] = (),
) -> tuple[int, Request | None]:
    """Send a request through a route; return the status and what the handler saw."""
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response("ok")

    route = endpoint("/", handler, methods=["POST"], body_limit_bytes=10, proxies=[PROXY])
    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/",
        "raw_path": b"/",
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in [*(headers or {}).items(), *further]],
        "client": (address, 1),
        "server": ("site.test", 443),
    }
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting[-1]["more_body"] = False
    sent: list[Any] = []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def serve() -> None:
        await route.app(scope, receive, send)

    asyncio.run(serve())
    return int(sent[0]["status"]), seen[0] if seen else None


def test_a_body_of_the_limit_is_read_and_one_byte_more_is_not() -> None:
    status, request = ask(chunks=(b"12345", b"67890"))
    assert request is not None
    assert (status, request.body) == (200, b"1234567890")

    assert ask(chunks=(b"12345", b"678901")) == (413, None)
    assert ask(headers={"content-length": "11"}) == (413, None)
    assert ask(headers={"content-length": "-1"})[0] == 413
    assert ask(headers={"content-length": "x"})[0] == 413


def test_a_parameter_given_twice_is_malformed_where_it_matters() -> None:
    _, request = ask(query="a=1&b=2&a=3")
    assert request is not None

    assert request.query == {"a": "3", "b": "2"}
    with pytest.raises(Malformed, match="repeated_parameter"):
        request.parameters()


def test_parameters_are_decoded_once() -> None:
    _, request = ask(query="a=%2561&b=&c=x+y")
    assert request is not None

    assert request.parameters() == {"a": "%61", "b": "", "c": "x y"}


@pytest.mark.parametrize(
    ("address", "headers", "believed"),
    [
        (PROXY, {"x-forwarded-for": "203.0.113.7"}, "203.0.113.7"),
        (PROXY, {"x-forwarded-for": "6.6.6.6, 203.0.113.7"}, "203.0.113.7"),
        (PROXY, {"x-forwarded-for": "203.0.113.7:4711"}, "203.0.113.7"),
        (PROXY, {"x-forwarded-for": "[2001:db8::7]:4711"}, "2001:db8::7"),
        (PROXY, {"x-forwarded-for": "2001:db8::7"}, "2001:db8::7"),
        (PROXY, {"x-forwarded-for": f"fe80::7%{'e' * 400}"}, "fe80::7"),
        (PROXY, {"x-forwarded-for": "unknown"}, PROXY),
        (PROXY, {}, PROXY),
        ("198.51.100.1", {"x-forwarded-for": "203.0.113.7"}, "198.51.100.1"),
    ],
)
def test_the_clients_address_is_what_a_configured_proxy_added_last(
    address: str, headers: dict[str, str], believed: str
) -> None:
    _, request = ask(address=address, headers=headers)

    assert request is not None
    assert request.client_address == believed


def test_a_certificate_header_counts_from_a_configured_proxy_only() -> None:
    headers = {"client-cert": ":AAEC:"}
    _, through = ask(headers=headers)
    _, direct = ask(headers=headers, address="198.51.100.1")

    assert through is not None
    assert through.peer is not None
    assert through.peer.der == b"\x00\x01\x02"
    assert direct is not None
    assert direct.peer is None


@pytest.mark.parametrize(
    "escaped",
    [
        "-----BEGIN%20CERTIFICATE-----%0AAAEC%0A-----END%20CERTIFICATE-----%0A",
        "-----BEGIN CERTIFICATE-----%0AAAEC%0A-----END CERTIFICATE-----%0A",
    ],
)
def test_nginx_hands_a_certificate_on_as_escaped_pem(escaped: str) -> None:
    _, seen = ask(headers={"client-cert": escaped})

    assert seen is not None
    assert seen.peer is not None
    assert seen.peer.der == b"\x00\x01\x02"


@pytest.mark.parametrize("name", ["x-ssl-client-cert", "ssl-client-cert", "x-client-cert", "client_cert"])
def test_a_certificate_under_another_name_is_the_word_of_the_proxys_own_client(name: str) -> None:
    """Certificates are no secret: whoever asks through a proxy may name anybody's."""
    _, seen = ask(headers={name: ":AAEC:"})

    assert seen is not None
    assert seen.peer is None


@pytest.mark.parametrize("values", [(":AAEC:", ":AwQF:"), ("AAEC",), (":AAEC",), (":A:",), (":" + "A" * 40_000 + ":",)])
def test_a_certificate_header_that_comes_twice_or_cannot_be_read_is_refused(values: tuple[str, ...]) -> None:
    status, seen = ask(further=[("client-cert", value) for value in values])

    assert (status, seen) == (400, None)
