# SPDX-License-Identifier: Apache-2.0
"""What a listener tells the application of who is at the other end, and a client of an address that nothing has."""

from functools import partial

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from etymon.web.listeners import Listener, Listeners
from etymon.web.unknown_address import nothing_here
from support.card_office import serving


async def neighbour(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the address that the request came from."""
    await PlainTextResponse(f"{scope['client'][0]} {scope['scheme']}")(scope, receive, send)


@pytest.mark.parametrize("believed", [None, "*"])
def test_no_header_and_no_variable_moves_where_a_request_came_from(
    monkeypatch: pytest.MonkeyPatch, believed: str | None
) -> None:
    """The neighbour's address decides whose Client-Cert counts; the server library has a rule of its own for it."""
    if believed is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", believed)
    listeners = Listeners([Listener("plain", neighbour, "127.0.0.1", 0)])
    with serving(listeners):
        headers = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https", "Forwarded": "for=10.0.0.1"}
        answer = httpx.get(f"http://127.0.0.1:{listeners.ports()['plain']}/", headers=headers)
    assert answer.text == "127.0.0.1 http"


def test_an_address_that_nothing_has_is_answered_with_a_problem() -> None:
    app = Starlette(exception_handlers={404: partial(nothing_here, None)})
    listeners = Listeners([Listener("status", app, "127.0.0.1", 0)])
    with serving(listeners):
        answer = httpx.get(f"http://127.0.0.1:{listeners.ports()['status']}/nothing", trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["title"] == "nothing_here"
