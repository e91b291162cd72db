# SPDX-License-Identifier: Apache-2.0
"""JSON documents of our own protocols (docs/protocols/README.md): read strictly, answered with problem details."""

import base64
import json
import re
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

RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)

UNWRITABLE: Final = re.compile("[\ud800-\udfff]")
"""Half a surrogate pair: JSON can spell it, and no encoding has it."""

Document = Mapping[str, object]


class Problems:
    """Problem details; one for an unknown version lists the versions there are."""

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


def read_versioned(request: Request) -> Document:
    """Read a JSON object of the version spoken here."""
    document = read(request)
    protocol = document.get("protocol")
    if isinstance(protocol, bool) or protocol != PROTOCOL:
        raise Malformed(UNSUPPORTED_VERSION, "This version of the protocol is not spoken here. Update the app.")
    return document


def text(document: Document, name: str, *, limit: int, default: str | None = None) -> str:
    """Return a text of at most `limit` characters, each of which can be written."""
    value = document.get(name, default)
    if not isinstance(value, str) or len(value) > limit or UNWRITABLE.search(value):
        raise Malformed("malformed", f"{name} is a text of at most {limit} characters.")
    return value


def line(document: Document, name: str, *, limit: int, default: str | None = None) -> str:
    """Return a text of at most `limit` characters, all of them printable."""
    value = text(document, name, limit=limit, default=default)
    if not value.isprintable():
        raise Malformed("malformed", f"{name} is a line of at most {limit} printable characters.")
    return value


def identifier(value: object, name: str) -> UUID:
    """Return a UUID."""
    try:
        return UUID(value if isinstance(value, str) and len(value) <= 36 else "")
    except ValueError as exc:
        raise Malformed("malformed", f"{name} is a UUID.") from exc


def octets(document: Document, name: str, *, limit: int) -> bytes:
    """Return what base64 text says, at most `limit` bytes."""
    value = text(document, name, limit=limit * 4 // 3 + 4)
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as exc:
        raise Malformed("malformed", f"{name} is base64.") from exc


def member(document: Document, name: str) -> Document | None:
    """Return an object within the document; None where there is none."""
    value = document.get(name)
    if value is not None and not isinstance(value, dict):
        raise Malformed("malformed", f"{name} is an object.")
    return value


def members(document: Document, name: str, *, most: int) -> list[Document] | None:
    """Return a list of objects within the document; None where there is none."""
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > most or not all(isinstance(item, dict) for item in value):
        raise Malformed("malformed", f"{name} is a list of at most {most} objects.")
    return value


def number(document: Document, name: str, *, largest: int) -> int:
    """Return a number from 0 to `largest`; 0 where there is none."""
    value = document.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
        raise Malformed("malformed", f"{name} is a whole number from 0 to {largest}.")
    return value


def thumbprint(value: object, name: str) -> bytes:
    """Return the 32 bytes of a thumbprint."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise Malformed("malformed", f"{name} is a SHA-256 in lower-case hex.")
    return bytes.fromhex(value)


def moment(document: Document, name: str) -> datetime:
    """Return a time."""
    value = text(document, name, limit=40)
    if not RFC3339.fullmatch(value):
        raise Malformed("malformed", f"{name} is a time (RFC 3339).")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise Malformed("malformed", f"{name} is a time (RFC 3339).") from exc


def shown_time(value: datetime) -> str:
    """Return a time as RFC 3339 in UTC with `Z`, to the second."""
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def base64_of(value: bytes) -> str:
    """Return bytes as text."""
    return base64.b64encode(value).decode("ascii")
