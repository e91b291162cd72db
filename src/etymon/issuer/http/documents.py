# SPDX-License-Identifier: Apache-2.0
"""JSON documents of the issuer's own protocols: read strictly, answered with problem details."""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from starlette.responses import JSONResponse, Response

from etymon.kernel.errors import EtymonError, Malformed
from etymon.web.exchange import Request
from etymon.web.problem import ProblemDetails, status_of

PROTOCOL: Final = 1
SUPPORTED: Final = [PROTOCOL]
UNSUPPORTED_VERSION: Final = "unsupported_version"

Document = Mapping[str, object]


class Problems:
    """Problem details; one for an unknown version lists the versions there are (docs/protocols/README.md)."""

    def __init__(self) -> None:
        self._plain = ProblemDetails()

    def expected(self, error: EtymonError) -> Response:
        """Answer with the error's code and its sentence."""
        if error.code != UNSUPPORTED_VERSION:
            return self._plain.expected(error)
        body = {
            "type": f"urn:etymon:problem:{error.code}",
            "title": error.code,
            "status": status_of(error),
            "detail": error.detail,
            "supported": SUPPORTED,
        }
        headers = {"Cache-Control": "no-store"}
        return JSONResponse(body, status_of(error), headers, media_type="application/problem+json")

    def unexpected(self, reference: str) -> Response:
        """Answer 500 with a reference number."""
        return self._plain.unexpected(reference)


def read(request: Request) -> Document:
    """Read a JSON object; members that are not known are left alone."""
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError) as exc:
        raise Malformed("malformed", "The body is not JSON.") from exc
    if not isinstance(document, dict):
        raise Malformed("malformed", "The body is not a JSON object.")
    return document


def require_version(document: Document) -> None:
    """Refuse a document of another version."""
    protocol = document.get("protocol")
    if isinstance(protocol, bool) or protocol != PROTOCOL:
        raise Malformed(UNSUPPORTED_VERSION, "This version of the protocol is not spoken here. Update the app.")


def text(document: Document, name: str, *, limit: int, default: str | None = None) -> str:
    """Return a text of at most `limit` printable characters."""
    value = document.get(name, default)
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise Malformed("malformed", f"{name} is a text of at most {limit} characters.")
    return value


def identifier(document: Document, name: str) -> UUID:
    """Return a UUID."""
    try:
        return UUID(text(document, name, limit=36))
    except ValueError as exc:
        raise Malformed("malformed", f"{name} is a UUID.") from exc


def octets(document: Document, name: str, *, limit: int) -> bytes:
    """Return what base64 text says, at most `limit` bytes."""
    value = text(document, name, limit=limit * 4 // 3 + 4)
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as exc:
        raise Malformed("malformed", f"{name} is base64.") from exc


def member(document: Document, name: str) -> Document:
    """Return an object within the document; an empty one where there is none."""
    value = document.get(name, {})
    if not isinstance(value, dict):
        raise Malformed("malformed", f"{name} is an object.")
    return value


def number(document: Document, name: str, *, largest: int) -> int:
    """Return a number from 0 to `largest`; 0 where there is none."""
    value = document.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
        raise Malformed("malformed", f"{name} is a whole number from 0 to {largest}.")
    return value


def thumbprint(value: str, name: str) -> bytes:
    """Return the 32 bytes of a thumbprint in lower-case hex."""
    if len(value) != 64 or value != value.lower():
        raise Malformed("malformed", f"{name} is a SHA-256 in lower-case hex.")
    try:
        return bytes.fromhex(value)
    except ValueError as exc:
        raise Malformed("malformed", f"{name} is a SHA-256 in lower-case hex.") from exc


def moment(value: datetime | None) -> str | None:
    """Return a time as RFC 3339 in UTC with `Z`, to the second."""
    return None if value is None else f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
