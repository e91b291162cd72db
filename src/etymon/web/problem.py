# SPDX-License-Identifier: Apache-2.0
"""Errors as problem details (RFC 9457): the default table that faces of our own protocols use."""

from collections.abc import Mapping
from typing import Final, Protocol

from starlette.responses import JSONResponse, Response

from etymon.kernel.errors import (
    Conflict,
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


class WrongMethod(Malformed):
    """The address does not take this method (RFC 9110 §15.5.6)."""

    default_code = "wrong_method"


class HeadersTooLarge(TooLarge):
    """The request's headers are over the limit (RFC 6585 §5)."""

    default_code = "headers_too_large"


STATUS: Final[Mapping[type[EtymonError], int]] = {
    HeadersTooLarge: 431,
    TooLarge: 413,
    WrongMethod: 405,
    Malformed: 400,
    NotAuthenticated: 401,
    NotPermitted: 403,
    NotFound: 404,
    Expired: 410,
    Conflict: 409,
    Throttled: 429,
    Unavailable: 503,
}
"""HTTP status by meaning; the first ancestor in the error's own class order counts."""


class ErrorFace(Protocol):
    """Turns errors into a protocol's own form."""

    def expected(self, error: EtymonError) -> Response:
        """Answer an error of ours."""
        ...

    def unexpected(self, reference: str) -> Response:
        """Answer a plain failure; `reference` finds its text in the log."""
        ...


def status_of(error: EtymonError) -> int:
    """Return the HTTP status for `error`; 500 for a meaning no table names."""
    for ancestor in type(error).__mro__:
        if ancestor in STATUS:
            return STATUS[ancestor]
    return 500


class ProblemDetails:
    """`application/problem+json` with the error's stable code as the last part of `type`."""

    def expected(self, error: EtymonError) -> Response:
        """Answer with the error's code and the sentence that says what to do next."""
        headers = {"Cache-Control": "no-store"}
        if isinstance(error, Throttled):
            headers["Retry-After"] = str(error.retry_after_seconds)
        if isinstance(error, NotAuthenticated):
            headers["WWW-Authenticate"] = "Bearer"
        status = status_of(error)
        body = {"type": f"urn:etymon:problem:{error.code}", "title": error.code, "status": status}
        if error.detail:
            body["detail"] = error.detail
        return JSONResponse(body, status, headers, media_type="application/problem+json")

    def unexpected(self, reference: str) -> Response:
        """Answer 500 with a reference number and nothing of the cause."""
        return JSONResponse(
            {
                "type": "urn:etymon:problem:internal",
                "title": "internal",
                "status": 500,
                "detail": f"Something failed on our side. Give the operator this reference: {reference}",
                "reference": reference,
            },
            500,
            {"Cache-Control": "no-store"},
            media_type="application/problem+json",
        )
