# SPDX-License-Identifier: Apache-2.0
"""The authorization code grant with PKCE, refresh with rotation, and what each of them refuses."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from etymon.directory.model import Role
from etymon.kernel.entropy import random_id
from support.browser import Browser, Page
from support.idp_site import ADMIN_TOOL, CALLBACK, Holder, IdPSite, claims_of

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


# ---- success


def test_a_card_signs_in_to_an_application(site: IdPSite) -> None:
    alice = site.cardholder()
    with browser_of(site, alice) as browser:
        arrival = arriving(browser, site, request_for())
    assert isinstance(arrival, Arrival)

    answer = exchange(site, arrival.parameters["code"])

    assert arrival.uri == CALLBACK
    assert arrival.parameters["state"] == "st&te"
    assert arrival.parameters["iss"] == site.deps.issuer
    body = answer.json()
    id_token = claims_of(body["id_token"])
    assert (id_token["aud"], id_token["nonce"], id_token["sub"]) == ("app", "n0nce", str(alice.person.id))
    assert (id_token["amr"], id_token["acr"]) == (["sc", "pin", "mfa"], "urn:etymon:acr:card")
    assert id_token["email"] == "alice@example.test"
    assert claims_of(body["access_token"])["aud"] == site.deps.issuer
    assert body["expires_in"] == 600


def test_a_derived_credential_signs_in_where_no_card_is_asked_for(site: IdPSite) -> None:
    derived = site.derived_holder(site.cardholder())

    access = claims_of(tokens_for(site, derived)["access_token"])

    assert (access["amr"], access["acr"]) == (["swk", "pin", "mfa"], "urn:etymon:acr:derived")


def test_a_session_answers_the_next_request_without_a_page(site: IdPSite) -> None:
    with browser_of(site, site.cardholder()) as browser:
        arriving(browser, site, request_for())
        arrival = arriving(browser, site, request_for(prompt="none"))

    assert isinstance(arrival, Arrival)
    assert "code" in arrival.parameters


def test_a_native_application_is_answered_on_any_loopback_port(site: IdPSite) -> None:
    alice = site.cardholder("alice", Role.ADMINISTRATOR)
    uri = "http://127.0.0.1:49152/callback"
    asked = {"client_id": ADMIN_TOOL, "redirect_uri": uri, "scope": "openid administration"}

    code = code_for(site, alice, **asked)
    answer = exchange(site, code, client_id=ADMIN_TOOL, redirect_uri=uri)

    assert claims_of(answer.json()["access_token"])["roles"] == ["administrator"]


def test_userinfo_tells_what_the_scopes_allow(site: IdPSite) -> None:
    alice = site.cardholder()
    access = tokens_for(site, alice)["access_token"]

    answer = site.get("/idp/userinfo", {"authorization": f"Bearer {access}"})

    assert answer.json() == {
        "sub": str(alice.person.id),
        "name": "Alice",
        "preferred_username": "alice@example.test",
        "email": "alice@example.test",
    }


@pytest.mark.parametrize("header", ["", "Basic x", "Bearer", "Bearer x", "Bearer e30.e30.e30"])
def test_userinfo_refuses_what_is_no_token(site: IdPSite, header: str) -> None:
    answer = site.get("/idp/userinfo", {"authorization": header} if header else {})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_userinfo_refuses_an_id_token_a_late_token_and_an_ended_account(site: IdPSite) -> None:
    alice = site.cardholder()
    body = tokens_for(site, alice)
    bearer = {"authorization": f"Bearer {body['access_token']}"}
    assert site.get("/idp/userinfo", {"authorization": f"Bearer {body['id_token']}"}).status_code == 401
    assert site.get("/idp/userinfo", bearer).status_code == 200

    site.directory.end_account(alice.person)
    assert site.get("/idp/userinfo", bearer).status_code == 401
    site.clock.advance(timedelta(minutes=11))
    assert site.get("/idp/userinfo", bearer).status_code == 401


# ---- refusals of the authorization endpoint


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"scope": "openid administration"}, "invalid_scope"),
        ({"request": "x"}, "request_not_supported"),
        ({"request_uri": "https://app.test/r"}, "request_uri_not_supported"),
        ({"prompt": "none"}, "login_required"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"nonce": "x" * 2001}, "invalid_request"),
    ],
)
def test_the_client_is_told_why_it_gets_no_code(site: IdPSite, changes: dict[str, str | None], error: str) -> None:
    with browser_of(site) as browser:
        arrival = arriving(browser, site, request_for(**changes))

    assert isinstance(arrival, Arrival)
    assert arrival.parameters["error"] == error
    assert arrival.parameters["state"] == "st&te"
    assert arrival.parameters["iss"] == site.deps.issuer


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
        ({"redirect_uri": "https://evil.test/callback"}, "redirect_uri_not_registered"),
        ({"redirect_uri": CALLBACK + "/more"}, "redirect_uri_not_registered"),
        ({"redirect_uri": CALLBACK + "?more=1"}, "redirect_uri_not_registered"),
        ({"redirect_uri": "javascript:alert(1)"}, "redirect_uri_not_registered"),
        ({"redirect_uri": "http://127.0.0.1:80/callback"}, "redirect_uri_not_registered"),
        ({"state": "x" * 2001}, "state_too_long"),
    ],
)
def test_nothing_is_sent_to_an_address_that_is_not_registered(
    site: IdPSite, changes: dict[str, str | None], code: str
) -> None:
    with browser_of(site) as browser:
        page = arriving(browser, site, request_for(**changes))

    assert isinstance(page, Page)
    assert page.code == code
    assert page.status in {400, 401}


def test_a_parameter_given_twice_is_refused(site: IdPSite) -> None:
    with browser_of(site) as browser:
        page = arriving(browser, site, request_for() + "&scope=openid")

    assert isinstance(page, Page)
    assert (page.status, page.code) == (400, "repeated_parameter")


def test_a_derived_sign_in_does_not_answer_a_request_for_the_card(site: IdPSite) -> None:
    derived = site.derived_holder(site.cardholder())
    card_only = request_for(acr_values="urn:etymon:acr:card")
    with browser_of(site, derived) as browser:
        assert isinstance(arriving(browser, site, request_for()), Arrival)

        silent = arriving(browser, site, card_only + "&prompt=none")
        refused = arriving(browser, site, card_only)

    assert isinstance(silent, Arrival)
    assert silent.parameters["error"] == "login_required"
    assert isinstance(refused, Page)
    assert (refused.status, refused.code) == (403, "wrong_certificate_kind")


def test_administration_takes_the_card_and_a_role(site: IdPSite) -> None:
    asked = {"client_id": ADMIN_TOOL, "redirect_uri": "http://127.0.0.1:1/callback", "scope": "administration"}
    alice = site.cardholder("alice", Role.OPERATOR)
    bob = site.cardholder("bob")
    with browser_of(site, site.derived_holder(alice)) as browser:
        by_derived = arriving(browser, site, request_for(**asked))
    with browser_of(site, bob) as browser:
        without_role = arriving(browser, site, request_for(**asked))

    assert isinstance(by_derived, Page)
    assert by_derived.code == "wrong_certificate_kind"
    assert isinstance(without_role, Arrival)
    assert without_role.parameters["error"] == "access_denied"


@pytest.mark.parametrize("fresh", [{"prompt": "login"}, {"max_age": "30"}])
def test_a_fresh_sign_in_is_asked_for_and_is_enough(site: IdPSite, fresh: dict[str, str]) -> None:
    with browser_of(site, site.cardholder()) as browser:
        arriving(browser, site, request_for())
        site.pause(31)
        silent = arriving(browser, site, request_for(**({**fresh, "prompt": "none"} if "max_age" in fresh else fresh)))
        again = arriving(browser, site, request_for(**fresh))

    if "max_age" in fresh:
        assert isinstance(silent, Arrival)
        assert silent.parameters["error"] == "login_required"
    assert isinstance(again, Arrival)
    assert "code" in again.parameters


# ---- refusals of the token endpoint


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"redirect_uri": "https://app.test/other"}, "invalid_grant"),
        ({"client_id": ADMIN_TOOL}, "invalid_grant"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": None}, "invalid_client"),
        ({"client_secret": "guess"}, "invalid_client"),
        ({"code": "x" * 43}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "invalid_request"),
    ],
)
def test_a_code_is_refused_to_whoever_lacks_anything(site: IdPSite, changes: dict[str, str | None], error: str) -> None:
    code = code_for(site, site.cardholder())

    answer = exchange(site, code, **changes)

    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert answer.json()["error"] == error


def test_a_code_is_over_after_a_minute(site: IdPSite) -> None:
    code = code_for(site, site.cardholder())
    site.pause(60)

    assert exchange(site, code).json()["error"] == "invalid_grant"


def test_a_wrong_verifier_uses_the_code_up(site: IdPSite) -> None:
    code = code_for(site, site.cardholder())
    exchange(site, code, code_verifier="w" * 43)

    assert exchange(site, code).json()["error"] == "invalid_grant"


def test_a_code_used_twice_ends_what_came_of_it(site: IdPSite) -> None:
    code = code_for(site, site.cardholder())
    token = exchange(site, code).json()["refresh_token"]

    assert exchange(site, code).json()["error"] == "invalid_grant"
    assert refresh(site, token).json()["error"] == "invalid_grant"


def test_a_code_of_an_account_that_ended_is_refused(site: IdPSite) -> None:
    alice = site.cardholder()
    code = code_for(site, alice)
    site.directory.end_account(alice.person)

    assert exchange(site, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"grant_type=refresh_token&grant_type=refresh_token", b"&" * 200])
def test_a_body_that_is_no_form_is_an_invalid_request(site: IdPSite, body: bytes) -> None:
    with httpx.Client(verify=site.files.trusting()) as client:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = client.post(f"{site.deps.issuer}/token", content=body, headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_body_that_is_too_large_is_not_read(site: IdPSite) -> None:
    answer = exchange(site, "x" * 70_000)

    assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")


# ---- refresh


def test_a_refresh_gives_new_tokens_of_the_same_sign_in(site: IdPSite) -> None:
    first = tokens_for(site, site.cardholder())
    site.clock.advance(timedelta(hours=1))

    second = refresh(site, first["refresh_token"]).json()

    before, after = claims_of(first["access_token"]), claims_of(second["access_token"])
    assert (before["auth_time"], before["acr"]) == (after["auth_time"], after["acr"])
    assert after["exp"] > before["exp"]
    assert second["refresh_token"] != first["refresh_token"]


def test_a_refresh_may_ask_for_less_and_never_for_more(site: IdPSite) -> None:
    first = tokens_for(site, site.cardholder())

    more = refresh(site, first["refresh_token"], scope="openid administration")
    less = refresh(site, first["refresh_token"], scope="openid")

    assert more.json()["error"] == "invalid_scope"
    assert less.json()["scope"] == "openid"


def test_a_refresh_token_used_twice_ends_its_family(site: IdPSite) -> None:
    first = tokens_for(site, site.cardholder())["refresh_token"]
    second = refresh(site, first).json()["refresh_token"]

    assert refresh(site, first).json()["error"] == "invalid_grant"
    assert refresh(site, second).json()["error"] == "invalid_grant"


def test_a_refresh_token_is_good_for_its_own_client(site: IdPSite) -> None:
    token = tokens_for(site, site.cardholder())["refresh_token"]

    assert refresh(site, token, client_id=ADMIN_TOOL).json()["error"] == "invalid_grant"
    assert refresh(site, token).status_code == 200


def test_a_refresh_token_ends_a_day_after_its_last_use_and_a_week_after_the_sign_in(site: IdPSite) -> None:
    holder = site.cardholder()
    idle = tokens_for(site, holder)["refresh_token"]
    used = tokens_for(site, holder)["refresh_token"]
    for _ in range(7):
        site.clock.advance(timedelta(hours=23))
        used = refresh(site, used).json()["refresh_token"]

    assert refresh(site, idle).json()["error"] == "invalid_grant"
    site.clock.advance(timedelta(hours=8))
    assert refresh(site, used).json()["error"] == "invalid_grant"


def test_a_refresh_ends_with_the_binding_it_stands_on(site: IdPSite) -> None:
    alice = site.cardholder()
    by_derived = tokens_for(site, site.derived_holder(alice))["refresh_token"]
    by_card = tokens_for(site, alice)["refresh_token"]

    site.unbind(alice.person, "derived")

    assert refresh(site, by_derived).json()["error"] == "invalid_grant"
    assert refresh(site, by_card).status_code == 200


@pytest.mark.parametrize("token", ["", "x", "x" * 43])
def test_a_refresh_token_that_is_none_is_refused(site: IdPSite, token: str) -> None:
    assert refresh(site, token).json()["error"] in {"invalid_grant", "invalid_request"}


# ---- private_key_jwt


def client_assertion(site: IdPSite, key: ECKey, **claims: object) -> str:
    now = int(site.clock.now().timestamp())
    body: dict[str, object] = {
        "iss": "service",
        "sub": "service",
        "aud": f"{site.deps.issuer}/token",
        "iat": now,
        "exp": now + 60,
        "jti": str(random_id(site.entropy)),
        **claims,
    }
    present = {name: value for name, value in body.items() if value is not None}
    return jwt.encode({"alg": "ES256"}, present, key, algorithms=["ES256"])


def exchange_as_service(site: IdPSite, holder: Holder, assertion: str, **changes: str | None) -> httpx.Response:
    code = code_for(site, holder, client_id="service")
    return exchange(
        site,
        code,
        **{
            "client_id": None,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
            **changes,
        },
    )


def test_a_confidential_client_shows_its_key(site: IdPSite) -> None:
    key = ECKey.generate_key("P-256")
    site.confidential(key)
    alice = site.cardholder()
    assertion = client_assertion(site, key)

    assert exchange_as_service(site, alice, assertion).status_code == 200
    assert exchange_as_service(site, alice, assertion).json()["error"] == "invalid_client", "used twice"


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "app"},
        {"sub": "app"},
        {"sub": None},
        {"aud": "https://elsewhere.test"},
        {"aud": ["https://elsewhere.test"]},
        {"exp": 1},
        {"exp": 2**35},
        {"iat": None},
        {"jti": None},
        {"jti": 7},
    ],
)
def test_a_client_assertion_that_is_not_right_is_refused(site: IdPSite, wrong: dict[str, object]) -> None:
    key = ECKey.generate_key("P-256")
    site.confidential(key)

    answer = exchange_as_service(site, site.cardholder(), client_assertion(site, key, **wrong))

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_confidential_client_is_nobody_without_its_key(site: IdPSite) -> None:
    key = ECKey.generate_key("P-256")
    site.confidential(key)
    alice = site.cardholder()
    bare = exchange(site, code_for(site, alice, client_id="service"), client_id="service")
    other = exchange_as_service(site, alice, client_assertion(site, ECKey.generate_key("P-256")))
    untyped = exchange_as_service(site, alice, client_assertion(site, key), client_assertion_type=None)
    public = exchange_as_service(site, alice, client_assertion(site, key, iss="app", sub="app"), client_id="app")

    assert [answer.json()["error"] for answer in (bare, other, untyped, public)] == [
        "invalid_client",
        "invalid_client",
        "invalid_request",
        "invalid_client",
    ]
