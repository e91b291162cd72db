# SPDX-License-Identifier: Apache-2.0
"""How the phone talks to servers: whom it believes, who it says it is, and what their refusals mean here."""

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

import httpx

from etymon.card.server_trust import ServerNotTrusted, ServerTrust
from etymon.card.tls import CardTLSTransport, TLSIdentity
from etymon.kernel.clock import Clock
from etymon.kernel.errors import (
    Conflict,
    DecodeError,
    EtymonError,
    Expired,
    Malformed,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    Throttled,
    TooLarge,
    Unavailable,
)
from etymon.kernel.secret import Secret
from etymon.phone import document
from etymon.phone.device import Device
from etymon.phone.document import Document
from etymon.phone.profiles.desired_state import trusted_servers

ANSWER_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""Longest answer read; a desired state with many policies and a logo stays far below."""

TIMEOUT_SECONDS: Final = 20.0
LONGEST_DETAIL: Final = 300
PROBLEM: Final = "urn:etymon:problem:"

_CODE: Final = re.compile(r"[a-z_]{1,60}")

_STATUS: Final[Mapping[int, type[EtymonError]]] = {
    400: Malformed,
    401: NotAuthenticated,
    403: NotPermitted,
    404: NotFound,
    409: Conflict,
    410: Expired,
    413: TooLarge,
}


class Caller(Enum):
    """Who on the phone talks to a server."""

    AGENT = "agent"
    """For a host with a pin nothing but the pin counts."""
    APP = "app"
    """The pin is the agent's: a host that an app opens may as well be trusted like any other."""


class DeviceTransport(httpx.BaseTransport):
    """Carries requests over TLS 1.2 or 1.3; each server is believed as far as the phone was told.

    A host with a pin must show a chain that stands on the pinned key. Other hosts are judged by the roots the phone
    came with and those its policies brought.
    """

    def __init__(
        self,
        device: Device,
        identity: TLSIdentity | None,
        *,
        caller: Caller,
        pins: Mapping[str, bytes] | None = None,
    ) -> None:
        self._device = device
        self._identity = identity
        self._caller = caller
        self._pins = pins or {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        refused: ServerNotTrusted | None = None
        for trust in self._trusts(request.url.host):
            try:
                return self._send(request, trust)
            except ServerNotTrusted as exc:  # nothing was sent: the server is judged within the handshake
                refused = refused or exc
        raise refused or ServerNotTrusted(detail=f"The phone has no reason to trust {request.url.host}.")

    def _send(self, request: httpx.Request, trust: ServerTrust) -> httpx.Response:
        transport = CardTLSTransport(
            trust=trust,
            clock=self._device.surroundings.clock,
            identity=self._identity,
            answer_limit_bytes=ANSWER_LIMIT_BYTES,
        )
        return transport.handle_request(request)

    def _trusts(self, host: str) -> Iterator[ServerTrust]:
        pin = self._pins.get(host) or self._device.state.pins.get(host)
        if pin is not None:
            yield ServerTrust(pin=pin)
        if pin is None or self._caller is Caller.APP:
            roots = trusted_servers(self._device)
            if roots:
                yield ServerTrust(anchors=roots)


class Connection:
    """Requests of one flow: as nobody, or as a client certificate; with the pins of the code that began it."""

    def __init__(
        self, device: Device, *, identity: TLSIdentity | None = None, pins: Mapping[str, bytes] | None = None
    ) -> None:
        self._client = httpx.Client(
            transport=DeviceTransport(device, identity, caller=Caller.AGENT, pins=pins),
            timeout=TIMEOUT_SECONDS,
            headers={"User-Agent": "etymon-phone"},
            trust_env=False,
        )
        self._clock: Final[Clock] = device.surroundings.clock

    def send(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        wait_seconds: int = 0,
    ) -> httpx.Response:
        """Return the answer whatever its status; `Unavailable` `server_unreachable` where none came.

        `wait_seconds` is how long the server was asked to hold its answer back.
        """
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=TIMEOUT_SECONDS + wait_seconds)
        try:
            return self._client.request(method, url, content=content, data=form, headers=headers, timeout=timeout)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise Unavailable("server_unreachable", f"The server does not answer: {exc}") from exc

    def call(
        self,
        method: str,
        url: str,
        members: Mapping[str, object] | None = None,
        *,
        bearer: Secret[str] | None = None,
        wait_seconds: int = 0,
    ) -> Document | None:
        """Send JSON and return the JSON of a 2xx answer (None for 204); raise what a refusal means."""
        headers = {"Accept": "application/json"}
        content = None
        if members is not None:
            headers["Content-Type"] = "application/json"
            content = document.encode(members)
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer.reveal()}"
        answer = self.send(method, url, content=content, headers=headers, wait_seconds=wait_seconds)
        if not answer.is_success:
            raise refusal(answer)
        return None if answer.status_code == httpx.codes.NO_CONTENT else Document.parse(answer.content)

    def ask(
        self,
        method: str,
        url: str,
        members: Mapping[str, object] | None = None,
        *,
        bearer: Secret[str] | None = None,
        wait_seconds: int = 0,
    ) -> Document:
        """Like `call`, for an answer that must say something."""
        answer = self.call(method, url, members, bearer=bearer, wait_seconds=wait_seconds)
        if answer is None:
            raise DecodeError("unexpected_answer", "The server's answer is empty.")
        return answer


def refusal(answer: httpx.Response) -> EtymonError:
    """Return a refusal as an error: the class by status, code and sentence from its problem details (RFC 9457)."""
    code, detail = f"http_{answer.status_code}", f"The server refused with status {answer.status_code}."
    kind = answer.headers.get("content-type", "")
    if kind.startswith("text/plain"):  # EST's refusals (RFC 7030 §4.2.3), and how ours calls them
        detail = answer.text.strip()[:LONGEST_DETAIL] or detail
        named = answer.headers.get("error-code", "")
        code = named if _CODE.fullmatch(named) else code
    elif kind.startswith("application/problem+json"):
        try:
            problem = Document.parse(answer.content)
            code = problem.text("type", code).removeprefix(PROBLEM)
            detail = problem.text("detail", detail)
        except DecodeError:
            pass
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return Throttled(code, detail, retry_after_seconds=_retry_after(answer))
    if answer.is_server_error:
        return Unavailable(code, detail)
    return _STATUS.get(answer.status_code, NotPermitted)(code, detail)


def https_address(url: str) -> str:
    """Return an address a server named; `DecodeError` unless it is https with nothing odd in it."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise DecodeError("unexpected_answer", "The server names an address that is not https.")
    return url


def _retry_after(answer: httpx.Response) -> int:
    value = answer.headers.get("retry-after", "")
    return min(int(value), 3600) if value.isascii() and value.isdigit() else 60
