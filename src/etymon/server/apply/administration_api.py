# SPDX-License-Identifier: Apache-2.0
"""A client of the administration API (docs/protocols/administration.md): pages, requests, and what refusals mean."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeAlias

import httpx

from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotAuthenticated, NotFound, NotPermitted, Unavailable
from etymon.kernel.secret import Secret

JSONObject: TypeAlias = "Mapping[str, Any]"
Wait: TypeAlias = Callable[[float], None]
"""Lets so many seconds pass."""

PATH: Final = "/graph/beta"
LONGEST_PAUSE_SECONDS: Final = 60.0
MOST_PAGES: Final = 100_000
PAUSES_SECONDS: Final = (1.0, 2.0, 4.0, 8.0)
"""How long is waited before the same is tried again, unless the API says how long."""


NOT_OFFERED: Final = "not_offered"
"""The code where a site, older than this program perhaps, has no such address or method."""

_NO_ADDRESS: Final = frozenset({"nothing_here", "ResourceNotFound", "refused"})
"""Codes of a 404 that is no answer about a thing: the site's where no resource is, Graph's alone, or none."""

ROLES_ADVICE: Final = "Sign in as somebody who holds the role."


class TokenSource(Protocol):
    """Where access tokens come from."""

    def token(self) -> Secret[str]:
        """Return an access token that is good for a minute at least, after a new sign-in where that is needed."""
        ...


class AdministrationAPI:
    """The API of one site, as one person.

    Raises NotAuthenticated, NotPermitted, NotFound, Conflict, Malformed as the API answers, with its sentence, and
    Unavailable when it does not answer. What only reads is tried again; so is what the API says it did not do (429).
    """

    def __init__(self, http: httpx.Client, site_url: str, tokens: TokenSource, wait: Wait) -> None:
        self._http = http
        self._base = site_url + PATH
        self._tokens = tokens
        self._wait = wait

    def every(self, path: str) -> Iterator[JSONObject]:
        """Yield the items of a collection, page by page."""
        address = self._base + path
        for _ in range(MOST_PAGES):
            document = _object(self._send("GET", address, None))
            items = document.get("value")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise _not_understood(address)
            yield from items
            following = document.get("@odata.nextLink")
            if following is None:
                return
            if not isinstance(following, str) or not following.startswith(self._base + "/"):
                raise _not_understood(address)  # elsewhere, the token would be somebody else's
            address = following
        raise _not_understood(address)

    def item(self, path: str) -> JSONObject:
        """Return one item."""
        return _object(self._send("GET", self._base + path, None))

    def text(self, path: str) -> str:
        """Return what is no JSON: a file."""
        return self._send("GET", self._base + path, None).text

    def create(self, path: str, body: JSONObject) -> str:
        """Create an item and return its id."""
        address = self._base + path
        id_ = _object(self._send("POST", address, body)).get("id")
        if not isinstance(id_, str):
            raise _not_understood(address)
        return id_

    def post(self, path: str, body: JSONObject) -> None:
        """Do an action."""
        self._send("POST", self._base + path, body)

    def act(self, path: str, body: JSONObject) -> JSONObject:
        """Do an action and return what it answers."""
        return _object(self._send("POST", self._base + path, body))

    def patch(self, path: str, body: JSONObject) -> None:
        """Change properties of an item."""
        self._send("PATCH", self._base + path, body)

    def put(self, path: str, body: JSONObject) -> None:
        """Put an item under its name."""
        self._send("PUT", self._base + path, body)

    def delete(self, path: str) -> None:
        """Delete an item; one that is gone already is deleted."""
        try:
            self._send("DELETE", self._base + path, None)
        except NotFound:
            return

    def link_to(self, path: str) -> str:
        """Return the address by which other items refer to an item."""
        return self._base + path

    def _send(self, method: str, address: str, body: "JSONObject | None") -> httpx.Response:
        response = self._try(method, address, body)
        for pause in PAUSES_SECONDS:
            busy = response.status_code == httpx.codes.TOO_MANY_REQUESTS
            away = response.status_code in {502, 503, 504} and method == "GET"
            if not (busy or away):
                break
            self._wait(_pause(response, pause))
            response = self._try(method, address, body)
        if response.is_success:
            return response
        raise _refusal(response)

    def _try(self, method: str, address: str, body: "JSONObject | None") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._tokens.token().reveal()}", "Accept": "application/json"}
        try:
            return self._http.request(method, address, headers=headers, json=body)
        except httpx.TransportError as exc:
            raise Unavailable(
                "api_unreachable",
                f"The administration API does not answer ({exc}). When it does, run the same command again: what is "
                "done already is not done twice.",
            ) from exc


def _pause(response: httpx.Response, otherwise: float) -> float:
    told = response.headers.get("retry-after", "")
    return min(float(told), LONGEST_PAUSE_SECONDS) if told.isascii() and told.isdigit() else otherwise


def _object(response: httpx.Response) -> JSONObject:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _not_understood(str(response.request.url))
    return document


def _refusal(response: httpx.Response) -> EtymonError:
    code, told = _error_of(response)
    match response.status_code:
        case 400 | 413 | 415 | 422:
            return Malformed(code, told or "The API does not understand what was sent.")
        case 401:
            return NotAuthenticated(
                "sign_in_refused",
                f"The API does not take this sign-in. {told} Sign in again with a smart card.",
            )
        case 403:
            return NotPermitted(code, f"{told} {ROLES_ADVICE}" if code == "role_missing" else told)
        case 404:
            return NotFound(NOT_OFFERED if code in _NO_ADDRESS else code, told or "There is no such thing.")
        case 409 | 412:
            return Conflict(code, told or "It exists in a state that does not allow this.")
        case _:
            return Unavailable(
                NOT_OFFERED if response.status_code == httpx.codes.METHOD_NOT_ALLOWED else "api_failed",
                f"The administration API failed ({response.status_code}). {told} Run the same command again later: "
                "what is done already is not done twice.",
            )


def _error_of(response: httpx.Response) -> tuple[str, str]:
    """Return our own code of an error in Graph's form, or Graph's where there is none, and its sentence."""
    try:
        error = response.json()["error"]
        details = error.get("details") or [error]
        return str(details[0]["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "refused", ""


def _not_understood(address: str) -> Unavailable:
    return Unavailable("api_not_understood", f"What {address} answers is not an answer of the administration API.")
