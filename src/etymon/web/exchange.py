# SPDX-License-Identifier: Apache-2.0
"""A request as a value, and the four moves of a face: authenticate, decode, call, encode.

Handlers are plain synchronous functions from `Request` to a response; they run in a worker thread, so that database
and signing work never holds the event loop. Bodies are bounded before they are read.
"""

import contextlib
import re
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from threading import BoundedSemaphore
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as ASGIRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from etymon.kernel import source
from etymon.kernel.errors import EtymonError, Malformed, TooLarge
from etymon.web.peer_certificate import PeerCertificate, from_proxy
from etymon.web.problem import ErrorFace, ProblemDetails, WrongMethod, status_of

log = structlog.get_logger("etymon.web")

SMALL_BODY_BYTES: Final = 64 * 1024
"""Enough for every form and JSON document of ours; faces that take more say so."""

MOST_FORM_FIELDS: Final = 50


@dataclass(frozen=True, slots=True)
class Request:
    """What a handler sees of an HTTP request. Header names are lower-case."""

    method: str
    path: str
    path_parameters: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    body: bytes = field(repr=False)
    peer: PeerCertificate | None
    client_address: str
    query_string: str = ""

    def parameters(self) -> Mapping[str, str]:
        """Decode the query; a parameter given twice is malformed (RFC 6749 §3.1). `query` holds the last of them."""
        return _decode_pairs(self.query_string, "repeated_parameter", "A parameter was sent more than once.")

    def form(self) -> Mapping[str, str]:
        """Decode an `application/x-www-form-urlencoded` body; a field given twice is malformed (RFC 6749 §3.2)."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise Malformed("wrong_media_type", "Send an application/x-www-form-urlencoded body.")
        try:
            text = self.body.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise Malformed("malformed_form", "The form body cannot be read.") from exc
        return _decode_pairs(text, "repeated_field", "A field was sent more than once.")


def _decode_pairs(text: str, code: str, detail: str) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FORM_FIELDS, errors="strict")
    except ValueError as exc:
        raise Malformed("malformed_form", "The form fields cannot be read.") from exc
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Malformed(code, detail)
    return fields


class Endpoint(Route):
    """A route that answers a wrong method in the form of its face."""

    def __init__(
        self,
        path: str,
        serve: Callable[[ASGIRequest], Any],
        *,
        methods: Collection[str],
        errors: ErrorFace,
        any_case: bool = False,
    ) -> None:
        super().__init__(path, serve, methods=list(methods))
        self._errors = errors
        if any_case:
            self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for this route's path."""
        if self.methods is None or scope["method"] in self.methods:
            await super().handle(scope, receive, send)
            return
        log.info("request_refused", path=self.path, code=WrongMethod.default_code)
        response = self._errors.expected(WrongMethod(detail="This address does not take that method."))
        response.status_code = 405
        response.headers["Allow"] = ", ".join(sorted(_allowed(scope)))
        await response(scope, receive, send)


def _allowed(scope: Scope) -> set[str]:
    """Return the methods of every route that has the path (RFC 9110 §10.2.1)."""
    routes = [route for route in scope["router"].routes if isinstance(route, Route)]
    return {method for route in routes if route.matches(scope)[0] is not Match.NONE for method in route.methods or ()}


Handler = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal at an address, and what is known of who was refused, however little of the request could be read."""

    error: EtymonError
    path: str
    path_parameters: Mapping[str, str]
    client_address: str


RefusalRecorder = Callable[[Refused], None]
"""Told of each error that leaves a handler, or kept its request from one; may ask the database."""


def endpoint(
    path: str,
    handler: Handler,
    *,
    methods: Collection[str],
    errors: ErrorFace | None = None,
    body_limit_bytes: int = SMALL_BODY_BYTES,
    proxies: Collection[str] = (),
    any_case: bool = False,
    refused: RefusalRecorder | None = None,
) -> Route:
    """Return a route that serves `handler` and answers every error in the form of `errors`, `refused` told of it.

    With `any_case` the path is found however it is written, as on the servers whose addresses it takes over.
    """
    face: ErrorFace = errors or ProblemDetails()

    async def answer(request: ASGIRequest) -> Response:
        return await run_in_threadpool(handler, await _read(request, body_limit_bytes, proxies))

    async def serve(request: ASGIRequest) -> Response:
        return await _guarded(path, face, _told(path, request, answer(request), refused, proxies))

    serve.__name__ = getattr(handler, "__name__", "serve")
    return Endpoint(path, serve, methods=methods, errors=face, any_case=any_case)


W = TypeVar("W")


class Waiting(Response, Generic[W]):
    """What the first look of a long poll answers when there is nothing to tell yet; it never reaches the socket."""

    def __init__(self, wait: W) -> None:
        super().__init__()
        self.wait = wait


def waiting_endpoint(
    path: str,
    first: Callable[[Request], Response | Waiting[W]],
    until: Callable[[ASGIRequest, W], Awaitable[Response]],
    *,
    errors: ErrorFace,
    proxies: Collection[str] = (),
    refused: RefusalRecorder | None = None,
) -> Route:
    """Return a route for a POST that may be kept open: `first` is a handler, `until` waits, holding no thread."""

    async def answer(request: ASGIRequest) -> Response:
        response = await run_in_threadpool(first, await _read(request, SMALL_BODY_BYTES, proxies))
        return await until(request, response.wait) if isinstance(response, Waiting) else response

    async def serve(request: ASGIRequest) -> Response:
        return await _guarded(path, errors, _told(path, request, answer(request), refused, proxies))

    return Endpoint(path, serve, methods=["POST"], errors=errors)


async def _told(
    path: str,
    request: ASGIRequest,
    answer: Awaitable[Response],
    refused: RefusalRecorder | None,
    proxies: Collection[str],
) -> Response:
    """Return the answer; an error is told to whoever records refusals, and raised on.

    Who only looked waits for nobody who writes: that is told while the answer goes out.
    """
    try:
        return await answer
    except EtymonError as error:
        if refused is not None:
            what = Refused(error, path, _parameters(request), address_of(request, proxies))
            if request.method == "GET":
                _tell_meanwhile(refused, what)
            else:
                await run_in_threadpool(refused, what)
        raise


_TELLING: Final = ThreadPoolExecutor(1, thread_name_prefix="refusals")
"""One after the other, so that what waits to be written down takes nothing from those who read."""
MOST_WAITING: Final = 200
"""Refusals that may wait to be written down; further ones are in the log alone."""
_PLACES: Final = BoundedSemaphore(MOST_WAITING)


def _tell_meanwhile(refused: RefusalRecorder, what: Refused) -> None:
    if _PLACES.acquire(blocking=False):
        _TELLING.submit(_tell, refused, what)
    else:
        log.warning("refusal_not_recorded", path=what.path, error_code=what.error.code)


def _tell(refused: RefusalRecorder, what: Refused) -> None:
    try:
        with source.coming_from(what.client_address):  # the thread is nobody's
            refused(what)
    except EtymonError as error:
        log.warning("refusal_not_recorded", path=what.path, error_code=error.code)
    except Exception:  # the thread's edge: nobody else would see it
        log.exception("refusal_not_recorded", path=what.path)
    finally:
        _PLACES.release()


async def _guarded(path: str, face: ErrorFace, answer: Awaitable[Response]) -> Response:
    """Return the answer, or an error in the form of the face."""
    try:
        return await answer
    except EtymonError as error:
        if status_of(error) >= 500:
            log.warning("request_failed", path=path, code=error.code, **error.facts)
        else:
            log.info("request_refused", path=path, code=error.code, **error.facts)
        return face.expected(error)
    except ClientDisconnect:
        return Response(status_code=499)
    except Exception:  # the process edge: everything unexpected becomes a reference number
        reference = uuid.uuid4().hex[:12]
        log.exception("request_crashed", path=path, reference=reference)
        return face.unexpected(reference)


async def _read(request: ASGIRequest, limit: int, proxies: Collection[str]) -> Request:
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > limit:
        raise TooLarge("body_too_large", f"The body may have at most {limit} bytes.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge("body_too_large", f"The body may have at most {limit} bytes.")
    if body:
        request.scope.get("extensions", {}).get("etymon.require_room", _no_limit)()
    return Request(
        method=request.method,
        path=request.url.path,
        path_parameters=_parameters(request),
        query=dict(request.query_params),
        headers=_headers(request),
        cookies=request.cookies,
        body=bytes(body),
        peer=_peer(request) or from_proxy(request.headers.getlist("client-cert"), _neighbour(request), proxies),
        client_address=address_of(request, proxies),
        query_string=request.url.query,
    )


def _parameters(request: ASGIRequest) -> Mapping[str, str]:
    return {name: str(value) for name, value in request.path_params.items()}


def _headers(request: ASGIRequest) -> Mapping[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _neighbour(request: ASGIRequest) -> str:
    return request.client.host if request.client else ""


def address_of(request: ASGIRequest, proxies: Collection[str]) -> str:
    """Return the address of whoever sent a request; of a header that came twice the last counts."""
    return client_address(_headers(request), _neighbour(request), proxies)


def client_address(headers: Mapping[str, str], neighbour: str, proxies: Collection[str]) -> str:
    """Return the client's address: the neighbour's, or the one that a configured proxy added last.

    What the proxy added may come with a port, or with a zone, which names nobody; what is no address then is taken for
    none.
    """
    if neighbour not in proxies:
        return neighbour
    added = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    for text in (added, added.partition("]")[0].removeprefix("["), added.rpartition(":")[0]):
        with contextlib.suppress(ValueError):
            return str(ip_address(text.partition("%")[0]))
    return neighbour


def _no_limit() -> None:
    """Stand in for the limit of a listener where the application runs without one."""


def _peer(request: ASGIRequest) -> PeerCertificate | None:
    der = request.scope.get("extensions", {}).get("etymon.peer_certificate")
    return PeerCertificate(der) if der else None


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return JSON that no cache keeps."""
    return JSONResponse(body, status, {"Cache-Control": "no-store", **(headers or {})})
