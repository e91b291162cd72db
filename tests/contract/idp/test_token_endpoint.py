# SPDX-License-Identifier: Apache-2.0
"""The token endpoint: codes and refresh tokens are good once, for their own client, in time."""

from datetime import timedelta

import httpx
import pytest

from support.idp_application import (
    code_for,
    exchange,
    refresh,
    tokens_for,
)
from support.idp_site import ADMIN_TOOL, IdPSite, claims_of


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
