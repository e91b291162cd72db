# SPDX-License-Identifier: Apache-2.0
"""The authorization endpoint: who is answered with a code, who is told why not, and who is told nothing."""

from datetime import timedelta

import pytest

from etymon.directory.model import Role
from support.browser import Page
from support.idp_application import (
    Arrival,
    arriving,
    browser_of,
    code_for,
    exchange,
    request_for,
    tokens_for,
)
from support.idp_site import ADMIN_TOOL, CALLBACK, IdPSite, claims_of


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
