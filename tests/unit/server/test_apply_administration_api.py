# SPDX-License-Identifier: Apache-2.0
"""The client of the administration API: pages, patience, and what answers mean."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import httpx
import pytest

from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotAuthenticated, NotFound, NotPermitted, Unavailable
from etymon.kernel.secret import Secret
from etymon.server.apply import present_state, prospects
from etymon.server.apply.administration_api import AdministrationAPI
from etymon.server.apply.applying import counts
from etymon.server.apply.change import Create, Plan
from etymon.server.apply.names import Names
from etymon.server.apply.resource import Kind, Resource
from etymon.server.command_line.officers import batches
from support.clock import TurnedClock

SITE = "https://site.test:8443"
BASE = SITE + "/graph/beta"


class Tokens:
    def token(self) -> Secret[str]:
        return Secret("token")


class API:
    """A client whose other end answers what a test says, in order; the last answer again and again."""

    def __init__(self, answers: Iterable[httpx.Response] | Callable[[httpx.Request], httpx.Response]) -> None:
        self.waited: list[float] = []
        self.asked: list[httpx.Request] = []
        self._answers = answers if callable(answers) else list(answers)
        http = httpx.Client(transport=httpx.MockTransport(self._answer))
        self.client = AdministrationAPI(http, SITE, Tokens(), self.waited.append)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if callable(self._answers):
            return self._answers(request)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def page(*items: object, following: str | None = None) -> httpx.Response:
    body: dict[str, object] = {"value": list(items)}
    return httpx.Response(200, json=body | ({"@odata.nextLink": following} if following else {}))


def error(status: int, code: str, message: str, own: str | None = None) -> httpx.Response:
    body: dict[str, Any] = {"code": code, "message": message}
    if own:
        body["details"] = [{"code": own, "message": message}]
    return httpx.Response(status, json={"error": body})


def test_pages_are_followed_to_the_end_also_empty_ones() -> None:
    api = API(
        [
            page({"id": 1}, following=f"{BASE}/users?$skiptoken=a"),
            page(following=f"{BASE}/users?$skiptoken=b"),
            page({"id": 2}),
        ]
    )
    assert [item["id"] for item in api.client.every("/users?$top=100")] == [1, 2]
    assert str(api.asked[1].url).endswith("skiptoken=a")
    assert all(request.headers["authorization"] == "Bearer token" for request in api.asked)


@pytest.mark.parametrize("elsewhere", ["https://evil.test/graph/beta/users", f"{SITE}.evil.test/graph/beta/users", 7])
def test_a_next_page_elsewhere_is_not_followed(elsewhere: Any) -> None:
    api = API([page(following=elsewhere)])
    with pytest.raises(Unavailable, match="not an answer of the administration API"):
        list(api.client.every("/users"))
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"value": [1]}),
        httpx.Response(200, json={"value": {}}),
    ],
)
def test_what_is_no_collection_is_told(answer: httpx.Response) -> None:
    with pytest.raises(Unavailable) as caught:
        list(API([answer]).client.every("/users"))
    assert caught.value.code == "api_not_understood"


def test_something_made_without_an_id_is_told() -> None:
    with pytest.raises(Unavailable, match="not an answer"):
        API([httpx.Response(201, json={"id": None})]).client.create("/users", {})


def test_a_busy_api_is_asked_again_after_as_long_as_it_says() -> None:
    busy = error(429, "TooManyRequests", "Slowly.")
    busy.headers["retry-after"] = "7"
    api = API([busy, error(429, "TooManyRequests", "Slowly."), httpx.Response(201, json={"id": "x"})])
    assert api.client.create("/users", {}) == "x"
    assert api.waited == [7.0, 2.0]


def test_it_is_not_asked_for_ever_and_never_waited_for_long() -> None:
    busy = error(429, "TooManyRequests", "Slowly.")
    busy.headers["retry-after"] = "86400"
    api = API([busy])
    with pytest.raises(Unavailable, match="429"):
        list(api.client.every("/users"))
    assert api.waited == [60.0] * 4


def test_only_what_reads_is_tried_again_when_a_gateway_fails() -> None:
    api = API([httpx.Response(503), page()])
    assert list(api.client.every("/users")) == []
    api = API([httpx.Response(503), httpx.Response(201, json={"id": "x"})])
    with pytest.raises(Unavailable, match="what is done already is not done twice"):
        api.client.create("/users", {})
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "code", "told"),
    [
        (error(400, "BadRequest", "A name is missing.", "name"), Malformed, "name", "A name is missing."),
        (error(401, "InvalidAuthenticationToken", "Expired."), NotAuthenticated, "sign_in_refused", "Sign in again"),
        (
            error(403, "Authorization_RequestDenied", "This needs the role officer.", "role_missing"),
            NotPermitted,
            "role_missing",
            "Sign in as somebody who holds the role",
        ),
        (
            error(403, "Authorization_RequestDenied", "Sign in with the card.", "card_required"),
            NotPermitted,
            "card_required",
            "Sign in with the card.",
        ),
        (
            error(404, "ResourceNotFound", "No such user.", "person_unknown"),
            NotFound,
            "person_unknown",
            "No such user.",
        ),
        (error(404, "ResourceNotFound", "No resource.", "nothing_here"), NotFound, "not_offered", "No resource."),
        (httpx.Response(404, text="?"), NotFound, "not_offered", "There is no such thing"),
        (error(405, "MethodNotAllowed", "Not so.", "wrong_method"), Unavailable, "not_offered", "Not so."),
        (error(409, "Conflict", "It is somebody else's.", "identifier_bound"), Conflict, "identifier_bound", "else's"),
        (httpx.Response(409, text="?"), Conflict, "refused", "does not allow this"),
        (httpx.Response(500, json={"error": "?"}), Unavailable, "api_failed", "500"),
        (httpx.Response(302, headers={"location": "https://evil.test"}), Unavailable, "api_failed", "302"),
    ],
)
def test_a_refusal_is_told_by_its_meaning(
    answer: httpx.Response, kind: type[EtymonError], code: str, told: str
) -> None:
    with pytest.raises(kind) as caught:
        API([answer]).client.put("/etymon/trustEntries/x", {})
    assert caught.value.code == code
    assert told in caught.value.detail


@pytest.mark.parametrize(
    ("answer", "cannot_be_done"),
    [
        (error(404, "ResourceNotFound", "No resource.", "nothing_here"), None),
        (httpx.Response(405, text="?"), None),
        (error(404, "ResourceNotFound", "No such client.", "client_unknown"), Malformed),
        (httpx.Response(500, text="?"), Unavailable),
    ],
)
def test_what_an_older_site_cannot_be_asked_stands_in_nobodys_way(
    answer: httpx.Response, cannot_be_done: type[EtymonError] | None
) -> None:
    wanted = Resource(
        Kind.CONNECTOR, "estate", properties={"challengeSource": "page", "clientId": "", "lifetimeDays": 30}
    )
    ask = partial(prospects.require, API([answer]).client, Plan((Create(wanted),), ()), Names())
    if cannot_be_done is None:
        ask()
    else:
        with pytest.raises(cannot_be_done):
            ask()


def test_an_older_site_counts_what_remains_each_time_and_has_no_cursor() -> None:
    answers = [httpx.Response(200, json={"ended": 1, "remaining": left}) for left in (1, 0)]
    assert [left for _, left in batches(API(answers).client, "/etymon/x", {}, "ended")] == [1, 0]


def test_an_older_site_lists_appointments_that_count_once_they_are_confirmed() -> None:
    assert counts({"confirmedBy": "somebody"})
    assert not counts({"confirmedBy": None})
    assert not counts({"confirmedBy": "somebody", "counts": False})


def test_what_is_gone_already_is_deleted() -> None:
    API([error(404, "ResourceNotFound", "No such group.")]).client.delete("/groups/x")


def test_an_item_without_what_it_owes_is_told() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return page() if "roles" in request.url.path else page({"id": "1", "displayName": "G"})

    api = API(answer)
    with pytest.raises(Unavailable, match="without what it owes"):
        present_state.fetch(api.client, {Kind.GROUP: ()}, TurnedClock().now())


@pytest.mark.parametrize("text", ["not base64!", "AAAA"])
def test_a_certificate_that_cannot_be_read_is_told(text: str) -> None:
    entry = {
        "name": "cards",
        "kind": "card",
        "anchors": [text],
        "intermediates": [],
        "policies": [],
        "identifier": "uuid",
        "upnSuffixes": [],
        "statusHosts": [],
    }
    api = API(lambda request: page() if "roles" in request.url.path else page(entry))
    with pytest.raises(Unavailable, match="certificate that cannot be read"):
        present_state.fetch(api.client, {Kind.TRUST_ENTRY: ()}, TurnedClock().now())
