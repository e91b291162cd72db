# SPDX-License-Identifier: Apache-2.0
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from starlette.responses import Response

from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Malformed, NotPermitted
from etymon.kernel.secret import DigestKey, Secret
from etymon.web import csrf
from etymon.web.exchange import Request
from etymon.web.sessions import Session, Sessions, Visit
from support.clock import TurnedClock

SITE = "https://site.test"
PERSON = uuid4()


class Memory:
    """Sessions in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Session] = {}
        self.touched = 0

    def add(self, digest: bytes, session: Session) -> None:
        self.kept[digest] = session

    def find(self, digest: bytes) -> Session | None:
        return self.kept.get(digest)

    def touch(self, digest: bytes, seen_at: datetime) -> None:
        self.touched += 1
        found = self.kept[digest]
        self.kept[digest] = Session(found.id, found.person, found.started_at, seen_at, found.ends_at, found.facts)

    def remove(self, digest: bytes) -> None:
        self.kept.pop(digest, None)


@pytest.fixture
def sessions(clock: TurnedClock) -> Sessions:
    return Sessions("idp", DigestKey(Secret(bytes(32))), clock, SystemEntropy())


def request(cookie: str | None = None, body: bytes = b"", **headers: str) -> Request:
    return Request(
        method="POST",
        path="/",
        path_parameters={},
        query={},
        headers={
            "content-type": "application/x-www-form-urlencoded",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        cookies={} if cookie is None else {"__Host-etymon-idp": cookie},
        body=body,
        peer=None,
        client_address="127.0.0.1",
    )


def back(visit: Visit, **headers: str) -> Request:
    return request(visit.cookie.reveal(), b"", **headers)


def test_a_browser_nobody_signed_in_at_has_a_cookie_and_no_row(sessions: Sessions) -> None:
    store = Memory()

    visit = sessions.visit(store, request())

    assert visit.is_new
    assert visit.session is None
    assert not store.kept
    assert len(visit.cookie.reveal()) == 43


def test_the_cookie_is_for_this_host_over_tls_and_no_script(sessions: Sessions) -> None:
    visit = sessions.visit(Memory(), request())

    header = sessions.remember(Response(), visit).headers["set-cookie"]

    assert header.startswith("__Host-etymon-idp=")
    assert {part.strip().lower() for part in header.split(";")[1:]} == {"secure", "httponly", "samesite=lax", "path=/"}
    known = Visit(visit.cookie, is_new=False, session=None)
    assert "set-cookie" not in sessions.remember(Response(), known).headers


def test_what_is_stored_is_not_the_cookie(sessions: Sessions) -> None:
    store = Memory()
    visit = sessions.sign_in(store, sessions.visit(store, request()), person=PERSON, facts={"acr": "card"})

    (digest,) = store.kept
    assert len(digest) == 32
    assert visit.cookie.reveal().encode() not in digest
    assert sessions.visit(store, back(visit)).session == store.kept[digest]


def test_signing_in_and_out_makes_a_new_cookie(sessions: Sessions) -> None:
    store = Memory()
    before = sessions.visit(store, request())
    during = sessions.sign_in(store, before, person=PERSON, facts={})
    again = sessions.sign_in(store, during, person=PERSON, facts={})
    after = sessions.sign_out(store, again)

    assert len({visit.cookie for visit in (before, during, again, after)}) == 4
    assert not store.kept
    for visit in (before, during, again, after):
        assert sessions.visit(store, back(visit)).session is None


@pytest.mark.parametrize(
    ("idle", "alive"), [(timedelta(minutes=15) - timedelta(seconds=1), True), (timedelta(minutes=15), False)]
)
def test_a_session_left_alone_ends(sessions: Sessions, clock: TurnedClock, idle: timedelta, *, alive: bool) -> None:
    store = Memory()
    visit = sessions.sign_in(store, sessions.visit(store, request()), person=PERSON, facts={})
    clock.advance(idle)

    before = dict(store.kept)

    assert (sessions.visit(store, back(visit)).session is not None) is alive
    assert store.kept == before, "looking changes nothing; a duty removes what is over"


def test_a_session_in_use_is_written_down_once_a_minute_and_ends_all_the_same(
    sessions: Sessions, clock: TurnedClock
) -> None:
    store = Memory()
    visit = sessions.sign_in(store, sessions.visit(store, request()), person=PERSON, facts={})
    for _ in range(60):
        clock.advance(timedelta(seconds=10))
        found = sessions.visit(store, back(visit))
        assert found.session is not None
        sessions.note(store, found)
    assert store.touched == 10
    for _ in range(47):
        clock.advance(timedelta(minutes=10))
        sessions.note(store, sessions.visit(store, back(visit)))

    assert sessions.visit(store, back(visit)).session is None


@pytest.mark.parametrize("cookie", ["", "x" * 65, "x" * 10_000])
def test_a_cookie_that_cannot_be_ours_is_replaced(sessions: Sessions, cookie: str) -> None:
    visit = sessions.visit(Memory(), request(cookie))

    assert visit.is_new
    assert visit.cookie.reveal() != cookie


# ---- anti-forgery


def own(sessions: Sessions, visit: Visit, **headers: str) -> Request:
    return request(visit.cookie.reveal(), body=f"csrf={sessions.csrf_token(visit)}&a=b".encode(), **headers)


@pytest.fixture
def visit(sessions: Sessions) -> Visit:
    return Visit(sessions.visit(Memory(), request()).cookie, is_new=False, session=None)


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": SITE}, {"sec_fetch_site": "same-origin"}, {"origin": SITE, "sec_fetch_site": "same-origin"}],
)
def test_a_form_of_our_own_page_is_taken(sessions: Sessions, visit: Visit, headers: dict[str, str]) -> None:
    form = csrf.require_own_form(own(sessions, visit, **headers), sessions, visit, SITE)

    assert form["a"] == "b"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "https://site.test:8444"},
        {"origin": "http://site.test"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_a_form_of_another_origin_is_refused(sessions: Sessions, visit: Visit, headers: dict[str, str]) -> None:
    with pytest.raises(NotPermitted, match="cross_site_request"):
        csrf.require_own_form(own(sessions, visit, **headers), sessions, visit, SITE)


def test_a_token_of_another_browser_or_service_is_refused(sessions: Sessions, visit: Visit, clock: TurnedClock) -> None:
    other = Visit(Secret("x" * 43), is_new=False, session=None)
    issuer = Sessions("issuer", DigestKey(Secret(bytes(32))), clock, SystemEntropy())
    for token in (sessions.csrf_token(other), issuer.csrf_token(visit), "", "é"):
        asked = request(visit.cookie.reveal(), body=f"csrf={token}".encode())
        with pytest.raises(NotPermitted, match="cross_site_request"):
            csrf.require_own_form(asked, sessions, visit, SITE)


def test_a_browser_that_brings_no_cookie_has_sent_no_form_of_ours(sessions: Sessions, visit: Visit) -> None:
    new = Visit(visit.cookie, is_new=True, session=None)
    with pytest.raises(NotPermitted, match="cross_site_request"):
        csrf.require_own_form(own(sessions, visit), sessions, new, SITE)


def test_a_script_may_send_the_token_as_a_header(sessions: Sessions, visit: Visit) -> None:
    asked = request(visit.cookie.reveal(), x_csrf_token=sessions.csrf_token(visit))

    assert csrf.require_own_form(asked, sessions, visit, SITE) == {}


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"a=1&a=2", "repeated_field"), (b"\xff", "malformed_form"), (b"&".join([b"a=1"] * 60), "malformed_form")],
)
def test_a_body_that_is_no_plain_form_is_malformed(body: bytes, code: str) -> None:
    with pytest.raises(Malformed, match=code):
        request(body=body).form()


def test_a_body_of_another_type_is_no_form() -> None:
    with pytest.raises(Malformed, match="wrong_media_type"):
        request(body=b"{}", content_type="application/json").form()
