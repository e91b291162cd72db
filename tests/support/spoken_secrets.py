# SPDX-License-Identifier: Apache-2.0
"""Every bearer value in recorded traffic, by what it is: whoever holds one of these can do something."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from http.cookies import SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

from support.site_pages import PASSWORD
from support.traffic import Exchange

MEMBERS: Final = frozenset(
    {
        "access_token",
        "authorization",
        "client_assertion",
        "code",
        "code_verifier",
        "csrf",
        "device_code",
        "enrollmentAssertion",
        "enrollment_assertion",
        "id_token",
        "password",
        "refresh_token",
        "secret",
        "sessionSecret",
        "token",
        "user_code",
    }
)
"""Members of forms, JSON documents and hidden fields whose values are bearer values."""

IDS: Final = frozenset({"form authorization"})
"""Under which a page of ours sends an id that opens nothing by itself."""

HIDDEN: Final = re.compile(r'<input type="hidden" name="(code|csrf)" value="([^"]+)"')
SHORTEST: Final = 8
"""Shorter values are words, and `code` is also the name of a refusal."""


def spoken(exchanges: Iterable[Exchange]) -> Mapping[str, frozenset[str]]:
    """Return bearer values by where they stood."""
    found: dict[str, set[str]] = defaultdict(set)
    for exchange in exchanges:
        for name, value in (*_headers(exchange), *_bodies(exchange)):
            if name not in IDS and len(value) >= SHORTEST and not re.fullmatch(r"[a-z]+(_[a-z]+)+", value):
                found[name].add(value)
    return {name: frozenset(values) for name, values in found.items()}


def _headers(exchange: Exchange) -> Iterator[tuple[str, str]]:
    for name, value in exchange.headers:
        if name == "cookie":
            for pair in value.split("; "):
                yield "cookie", pair.partition("=")[2]
        elif name == "authorization":
            yield "authorization header", value.partition(" ")[2]
    for name, value in exchange.answer_headers:
        if name == "set-cookie":
            cookie: SimpleCookie = SimpleCookie(value)
            for morsel in cookie.values():
                yield "cookie", morsel.value
        elif name == "location":
            for code in parse_qs(urlsplit(value).query).get("code", []):
                yield "authorization code", code


def _bodies(exchange: Exchange) -> Iterator[tuple[str, str]]:
    kinds = dict(exchange.headers).get("content-type", ""), dict(exchange.answer_headers).get("content-type", "")
    for kind, body in zip(kinds, (exchange.body, exchange.answer), strict=True):
        if kind.startswith("application/x-www-form-urlencoded"):
            yield from ((f"form {name}", value) for name, value in parse_qsl(body.decode()) if name in MEMBERS)
        elif kind.startswith("application/json"):
            yield from _members(json.loads(body or b"null"))
        elif kind.startswith("text/html"):
            yield from ((f"hidden {name}", value) for name, value in HIDDEN.findall(body.decode()))
            yield from (("page password", "".join(halves)) for halves in PASSWORD.findall(body.decode()))


def _members(document: Any) -> Iterator[tuple[str, str]]:
    if isinstance(document, dict):
        for name, value in document.items():
            if name in MEMBERS and isinstance(value, str):
                yield f"json {name}", value
            yield from _members(value)
    elif isinstance(document, list):
        for value in document:
            yield from _members(value)
