# SPDX-License-Identifier: Apache-2.0
"""The hand-off over a store in memory, spoken to as ASGI: no socket, every refusal."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.types import Message, Scope

from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import NotPermitted
from etymon.kernel.secret import DigestKey, Secret
from etymon.web.branding import Branding
from etymon.web.certificate_proof import CertificateProof, ProofRequest, Redeemed
from etymon.web.exchange import Request, endpoint
from etymon.web.pages import PageErrors, Pages
from support.browser import Browser, Page, read_page
from support.clock import TurnedClock

SITE = "https://idp.test:8443"
CERTAUTH = "https://idp.test:8444"


class Memory:
    """Proof requests in a dictionary, with the moves that the protocol of the store asks for."""

    def __init__(self) -> None:
        self.requests: dict[UUID, ProofRequest] = {}
        self.codes: dict[UUID, tuple[bytes, datetime, str]] = {}

    def add(self, request: ProofRequest) -> None:
        self.requests[request.id] = request

    def find(self, request_id: UUID) -> ProofRequest | None:
        return self.requests.get(request_id)

    def accept(self, request_id: UUID, *, code_digest: bytes, code_expires_at: datetime, proof: str) -> bool:
        if request_id not in self.requests:
            return False
        self.codes[request_id] = (code_digest, code_expires_at, proof)
        return True

    def redeem(self, code_digest: bytes, cookie_digest: bytes, now: datetime) -> Redeemed[str] | None:
        for id_, (digest, ends, proof) in list(self.codes.items()):
            if digest == code_digest and self.requests[id_].cookie_digest == cookie_digest and now < ends:
                del self.codes[id_]
                return Redeemed(self.requests.pop(id_), proof)
        return None


class House:
    """A site and a certauth door over one store."""

    def __init__(self, clock: TurnedClock) -> None:
        self.clock = clock
        self.store = Memory()
        self.pages = Pages("etymon.web", Branding("Agency"))
        key = DigestKey(Secret(bytes(32)))
        self.proof = CertificateProof("idp", SITE, CERTAUTH, key, clock, SystemEntropy())
        errors = PageErrors(self.pages)
        self.site = Starlette(
            routes=[
                endpoint("/begin", self._begin, methods=["GET"], errors=errors),
                endpoint("/idp/certauth/return", self._return, methods=["POST"], errors=errors),
                endpoint("/done", lambda r: Response("done " + r.query["who"]), methods=["GET"], errors=errors),
            ]
        )
        self.certauth = Starlette(routes=self.proof.certauth_routes(self._open, self._open, self._judge, self.pages))

    def _begin(self, request: Request) -> Response:
        return self.proof.begin(self.store, request, purpose="sign-in", continue_at="/done", back_at="/begin-page")

    def _return(self, request: Request) -> Response:
        redeemed = self.proof.redeem(self.store, request)
        return self.proof.forget(RedirectResponse(f"{redeemed.request.continue_at}?who={redeemed.proof}", 303))

    @contextmanager
    def _open(self) -> Iterator[Memory]:
        yield self.store

    def _judge(self, der: bytes, purpose: str, source: str) -> str:
        assert source
        if der == b"revoked":
            raise NotPermitted("revoked_by_ocsp", "This certificate was revoked.")
        return f"{der.decode()}-{purpose}"

    def browser(self, certificate: bytes | None) -> Browser:
        return Browser(InProcess(self.site), InProcess(self.certauth, certificate), certauth_origin=CERTAUTH)


class InProcess(httpx.BaseTransport):
    """Speaks ASGI to an application; `certificate` is what TLS would have seen."""

    def __init__(self, app: Starlette, certificate: bytes | None = None) -> None:
        self.app = app
        self.certificate = certificate

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        sent: list[Message] = []
        scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path,
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 1),
            "server": (request.url.host, request.url.port),
            "extensions": {"etymon.peer_certificate": self.certificate},
        }

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        start = sent[0]
        return httpx.Response(start["status"], headers=start["headers"], content=b"".join(m["body"] for m in sent[1:]))


@pytest.fixture
def house(clock: TurnedClock) -> House:
    return House(clock)


def test_a_shown_certificate_comes_back_to_the_browser_that_asked(house: House) -> None:
    browser = house.browser(b"alice")

    page = browser.get(f"{SITE}/begin")

    assert page.text == "done alice-sign-in"
    assert not browser.cookies


def test_certauth_sets_no_cookie_and_is_not_cached(house: House) -> None:
    page = certauth_page(house, b"alice")

    assert page.status == 200
    assert page.headers["cache-control"] == "no-store"
    assert "set-cookie" not in page.headers


def certauth_page(house: House, certificate: bytes | None) -> Page:
    """Return certauth's page as it stands before its form is sent."""
    browser = house.browser(certificate)
    started = InProcess(house.site).handle_request(httpx.Request("GET", f"{SITE}/begin"))
    answer = InProcess(house.certauth, certificate).handle_request(httpx.Request("GET", started.headers["location"]))
    browser.close()
    return read_page(started.headers["location"], answer)


@pytest.mark.parametrize(
    ("certificate", "status", "code"), [(None, 401, "no_certificate"), (b"revoked", 403, "revoked_by_ocsp")]
)
def test_a_refusal_is_a_page_with_reason_and_way_back(
    house: House, certificate: bytes | None, status: int, code: str
) -> None:
    page = house.browser(certificate).get(f"{SITE}/begin")

    assert (page.status, page.code) == (status, code)
    assert (f"{SITE}/begin-page", "Back") in page.links


@pytest.mark.parametrize("request_id", ["", "x", "00000000-0000-4000-8000-000000000000"])
def test_an_unknown_request_is_not_found(house: House, request_id: str) -> None:
    page = house.browser(b"alice").get(f"{CERTAUTH}/idp/certauth?request={request_id}")

    assert (page.status, page.code) == (404, "proof_request_unknown")


def test_a_request_ends_after_five_minutes(house: House) -> None:
    started = InProcess(house.site).handle_request(httpx.Request("GET", f"{SITE}/begin"))
    house.clock.advance(timedelta(minutes=5))

    page = house.browser(b"alice").get(started.headers["location"])

    assert (page.status, page.code) == (410, "proof_request_expired")


def test_one_address_begins_no_more_than_is_removed_again(house: House) -> None:
    begin = httpx.Request("GET", f"{SITE}/begin")
    for _ in range(1000):
        assert InProcess(house.site).handle_request(begin).status_code == 303
    refused = InProcess(house.site).handle_request(begin)
    assert (refused.status_code, len(house.store.requests)) == (429, 1000)
    assert int(refused.headers["retry-after"]) <= 601
    house.clock.advance(timedelta(minutes=10))
    assert InProcess(house.site).handle_request(begin).status_code == 303


def handed_out(house: House) -> tuple[str, dict[str, str]]:
    """Go as far as the code and return it with the cookies of the browser that may use it."""
    browser = Browser(InProcess(house.site), InProcess(house.certauth, b"alice"), certauth_origin=CERTAUTH)
    started = InProcess(house.site).handle_request(httpx.Request("GET", f"{SITE}/begin"))
    name, _, rest = started.headers["set-cookie"].partition("=")
    page = InProcess(house.certauth, b"alice").handle_request(httpx.Request("GET", started.headers["location"]))
    browser.close()
    return page.text.split('name="code" value="')[1].split('"')[0], {name: rest.partition(";")[0]}


def give(house: House, code: str, cookies: dict[str, str], origin: str = CERTAUTH) -> httpx.Response:
    headers = {"origin": origin, "cookie": "; ".join(f"{n}={v}" for n, v in cookies.items())}
    request = httpx.Request("POST", f"{SITE}/idp/certauth/return", data={"code": code}, headers=headers)
    return InProcess(house.site).handle_request(request)


def test_a_code_is_good_for_sixty_seconds(house: House) -> None:
    code, cookies = handed_out(house)
    house.clock.advance(timedelta(seconds=60))

    assert give(house, code, cookies).status_code == 403


def test_a_code_is_good_once(house: House) -> None:
    code, cookies = handed_out(house)

    assert give(house, code, cookies).status_code == 303
    assert give(house, code, cookies).status_code == 403


def test_a_code_is_no_use_in_another_browser(house: House) -> None:
    code, cookies = handed_out(house)
    name = next(iter(cookies))

    for wrong in ({}, {name: "x" * 22}, {name: ""}, {name: "y" * 5000}):
        assert give(house, code, wrong).status_code == 403
    assert give(house, code, cookies).status_code == 303


def test_a_code_sent_by_a_foreign_page_is_refused(house: House) -> None:
    code, cookies = handed_out(house)

    assert give(house, code, cookies, origin="https://evil.test").status_code == 403
    assert give(house, code, cookies, origin="null").status_code == 403


def test_the_form_may_lead_to_the_site_and_nowhere_else(house: House) -> None:
    page = certauth_page(house, b"alice")

    policy = page.headers["content-security-policy"]
    assert f"form-action 'self' {SITE};" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
