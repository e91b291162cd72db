# SPDX-License-Identifier: Apache-2.0
"""An application that signs its users in at an identity provider: requests, answers, codes and tokens."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from support.browser import Browser, Page
from support.idp_site import CALLBACK, Holder, IdPSite

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


class AtTheApplication(Exception):
    """The browser has left the site for a client."""


@dataclass
class Arrival:
    """Where a client is answered, and with what."""

    uri: str
    parameters: Mapping[str, str]


class Leaving(httpx.BaseTransport):
    """Lets requests to the site through and stops at a client's address."""

    def __init__(self, inner: httpx.BaseTransport, site_url: str) -> None:
        self._inner, self._site = inner, httpx.URL(site_url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != self._site.host or request.url.port != self._site.port:
            raise AtTheApplication(str(request.url))
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def request_for(**changes: str | None) -> str:
    parameters: dict[str, str | None] = {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": CALLBACK,
        "scope": "openid profile email offline_access",
        "state": "st&te",
        "nonce": "n0nce",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    return "/idp/authorize?" + urlencode({name: value for name, value in parameters.items() if value is not None})


def arriving(browser: Browser, site: IdPSite, path: str) -> Arrival | Page:
    """Open a path; sign in where a page asks for it; return what the client is told, or the page that came instead."""
    try:
        page = browser.get(site.deps.site_url + path)
        if page.code == "sign_in":
            page = browser.submit(page.form(action="/idp/sign-in"))
    except AtTheApplication as arrival:
        return arrival_of(str(arrival))
    return arrival_of(page.url) if page.url.startswith("http://") else page


def arrival_of(uri: str) -> Arrival:
    parts = urlsplit(uri)
    return Arrival(f"{parts.scheme}://{parts.netloc}{parts.path}", dict(parse_qsl(parts.query)))


def browser_of(site: IdPSite, holder: Holder | None = None) -> Browser:
    context = site.files.showing(holder.certified) if holder else site.files.trusting()
    return Browser(
        Leaving(httpx.HTTPTransport(verify=site.files.trusting()), site.deps.site_url),
        httpx.HTTPTransport(verify=context),
        certauth_origin=site.deps.certauth_url,
    )


def code_for(site: IdPSite, holder: Holder, **changes: str | None) -> str:
    with browser_of(site, holder) as browser:
        arrival = arriving(browser, site, request_for(**changes))
    assert isinstance(arrival, Arrival), (arrival.status, arrival.code, arrival.words)
    return arrival.parameters["code"]


def exchange(site: IdPSite, code: str, /, **changes: str | None) -> httpx.Response:
    form: dict[str, str | None] = {
        "grant_type": "authorization_code",
        "client_id": "app",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        **changes,
    }
    return site.post("/idp/token", {name: value for name, value in form.items() if value is not None})


def refresh(site: IdPSite, token: str, **changes: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "client_id": "app", "refresh_token": token, **changes}
    return site.post("/idp/token", form)


def tokens_for(site: IdPSite, holder: Holder) -> dict[str, Any]:
    answer = exchange(site, code_for(site, holder))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def error_of(answer: httpx.Response) -> str:
    """Return OAuth's name of a refusal."""
    return str(answer.json()["error"])
