# SPDX-License-Identifier: Apache-2.0
"""Answers that caches keep: validators, conditional requests, HEAD (RFC 9110 §8.8, §13; RFC 9111)."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from starlette.responses import Response, StreamingResponse

from etymon.web.exchange import Request

PIECE_BYTES: Final = 64 * 1024
"""A long body is handed over in pieces: a client that takes it slowly costs one, and not a copy of all of it."""


def http_date(moment: datetime) -> str:
    """Return a moment as HTTP writes it, to the second."""
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)


def is_fresh(request: Request, *, etag: str, modified: datetime) -> bool:
    """Say whether whoever asks has this representation already (RFC 9110 §13.1.2, §13.1.3)."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return any(tag.strip().removeprefix("W/") in {etag, "*"} for tag in tags.split(","))
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        known = parsedate_to_datetime(since)
    except (ValueError, OverflowError):
        return False
    return modified <= (known if known.tzinfo else known.replace(tzinfo=UTC))


def not_modified(headers: Mapping[str, str]) -> Response:
    """Return 304 with the validators and cache headers of the answer that it stands for."""
    return Response(status_code=304, headers=dict(headers))


def whole(request: Request, body: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """Return a body with its length, in pieces where it is long; to HEAD its length alone."""
    told = {**headers, "Content-Length": str(len(body))}
    if request.method == "HEAD":
        return Response(b"", media_type=media_type, headers=told)
    if len(body) <= PIECE_BYTES:
        return Response(body, media_type=media_type, headers=told)
    return StreamingResponse(_pieces(body), media_type=media_type, headers=told)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]
