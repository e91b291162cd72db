# SPDX-License-Identifier: Apache-2.0
"""Errors in Graph's form."""

import uuid
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from etymon.audit.refusals import ANONYMOUS
from etymon.graph.dependencies import Dependencies
from etymon.kernel.errors import EtymonError, NotAuthenticated, NotPermitted, Throttled
from etymon.web.exchange import address_of
from etymon.web.problem import status_of

log = structlog.get_logger("etymon.graph")

CODES: Final = {
    400: "BadRequest",
    401: "InvalidAuthenticationToken",
    403: "Authorization_RequestDenied",
    404: "ResourceNotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Gone",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
}
OF_THE_FRAMEWORK: Final = {
    404: ("nothing_here", "There is no such resource."),
    405: ("wrong_method", "The resource does not take this method."),
}
LONGEST_ECHO: Final = 64


class ErrorDetail(BaseModel):
    """Our own stable code beside Graph's."""

    code: str
    message: str


class InnerError(BaseModel):
    """What finds the request in the log."""

    date: str
    request_id: str = Field(alias="request-id")
    client_request_id: str = Field(alias="client-request-id")


class MainError(BaseModel):
    """What went wrong."""

    code: str
    message: str
    details: list[ErrorDetail]
    inner_error: InnerError = Field(alias="innerError")


class ODataError(BaseModel):
    """The body of every refusal."""

    error: MainError


RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ODataError, "description": name} for status, name in {**CODES, 500: "InternalServerError"}.items()
}
"""Every operation's refusals, for the description of the API."""


def add_handlers(app: FastAPI, deps: Dependencies) -> None:
    """Have every error of `app` answered in Graph's form."""

    def expected(request: Request, error: Exception) -> Response:
        if not isinstance(error, EtymonError):
            return unexpected(request, error)
        status = status_of(error)
        log_as = log.warning if status >= 500 else log.info
        log_as("request_refused", path=_pattern(request), code=error.code, **error.facts)
        if isinstance(error, NotPermitted | NotAuthenticated) and error.code != "token_missing":
            _record(deps, request, error)
        headers: dict[str, str] = {}
        if isinstance(error, Throttled):
            headers["Retry-After"] = str(error.retry_after_seconds)
        if isinstance(error, NotAuthenticated):
            headers["WWW-Authenticate"] = "Bearer"
        return _answer(deps, request, status, error.code, error.detail, headers)

    def not_valid(request: Request, error: Exception) -> Response:
        return _answer(deps, request, 400, "malformed", _told(error))

    def of_the_framework(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        code, detail = OF_THE_FRAMEWORK.get(status, ("malformed", "The request cannot be read."))
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return _answer(deps, request, status, code, detail, headers)

    def unexpected(request: Request, error: Exception) -> Response:
        answer = _answer(
            deps, request, 500, "internal", "Something failed on our side. Give the operator the request-id."
        )
        log.error("request_crashed", path=_pattern(request), request_id=answer.headers["request-id"], exc_info=error)
        return answer

    app.add_exception_handler(EtymonError, expected)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(HTTPException, of_the_framework)
    app.add_exception_handler(Exception, unexpected)


def _answer(
    deps: Dependencies, request: Request, status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> Response:
    request_id = str(uuid.uuid4())
    body = {
        "error": {
            "code": CODES.get(status, "InternalServerError"),
            "message": detail,
            "details": [{"code": code, "message": detail}],
            "innerError": {
                "date": f"{deps.clock.now():%Y-%m-%dT%H:%M:%S}",
                "request-id": request_id,
                "client-request-id": _echo(request) or request_id,
            },
        }
    }
    return JSONResponse(body, status, {"Cache-Control": "no-store", "request-id": request_id, **(headers or {})})


def _record(deps: Dependencies, request: Request, refusal: EtymonError) -> None:
    deps.refusals.record(
        "graph:request:refused",
        actor=getattr(request.state, "actor", ANONYMOUS),
        subject=f"{request.method} {_pattern(request)}",
        source=address_of(request, deps.mdm.proxies),
        code=refusal.code,
    )


def _pattern(request: Request) -> str:
    """Return the address as it is routed: the one that was asked for may name a person, which no log does."""
    return str(getattr(request.scope.get("route"), "path", "unknown"))


def _echo(request: Request) -> str:
    given = request.headers.get("client-request-id", "")
    return given if given.isascii() and given.isprintable() and len(given) <= LONGEST_ECHO else ""


def _told(error: Exception) -> str:
    """Say which part of a request cannot be read, without repeating what was sent."""
    faults: list[Any] = list(error.errors()) if isinstance(error, RequestValidationError) else []
    parts = [f"{'.'.join(map(str, fault['loc'][1:])) or fault['loc'][0]}: {_words(fault)}" for fault in faults[:3]]
    return "; ".join(parts)[:500] or "The request cannot be read."


def _words(fault: dict[str, Any]) -> str:
    if str(fault["type"]).startswith("uuid"):
        return "no id; `list` shows ids"
    return str(fault["msg"]).removeprefix("Value error, ")
