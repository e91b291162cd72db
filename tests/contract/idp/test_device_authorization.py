# SPDX-License-Identifier: Apache-2.0
"""Device authorization: what RFC 8628 §3.5 answers, and who may approve what, how, and for how long."""

import re
from datetime import timedelta

import pytest

from support.idp_application import error_of
from support.idp_site import PHONE, IdPSite, claims_of


def test_the_answer_has_a_readable_code_and_no_link_that_carries_it(site: IdPSite) -> None:
    started = site.start_device()

    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", started["user_code"])
    assert set(started) == {"device_code", "user_code", "verification_uri", "expires_in", "interval"}
    assert (started["expires_in"], started["interval"]) == (300, 5)
    assert started["verification_uri"] == f"{site.deps.issuer}/device"


def test_an_approval_gives_one_token_that_enrolls_this_device(site: IdPSite) -> None:
    alice = site.cardholder()
    started = site.start_device(PHONE)

    done = site.decide(alice, started)
    answer = site.poll(started, PHONE)

    assert done.code == "device_approved"
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert "refresh_token" not in body
    access = claims_of(body["access_token"])
    assert access["aud"] == f"{site.deps.site_url}/mdm"
    assert (access["sub"], access["client_id"]) == (str(alice.person.id), PHONE)
    assert (access["amr"], access["acr"]) == (["sc", "pin", "mfa"], "urn:etymon:acr:card")
    assert access["enrollment_session"] == "session-1"
    assert access["scope"] == "enroll openid profile"
    assert claims_of(body["id_token"])["preferred_username"] == "alice@example.test"
    assert "roles" not in access


def test_a_used_code_is_an_invalid_grant(site: IdPSite) -> None:
    started = site.start_device()
    site.decide(site.cardholder(), started)
    assert site.poll(started).status_code == 200

    again = site.poll(started)

    assert (again.status_code, error_of(again)) == (400, "invalid_grant")


def test_polling_is_pending_until_somebody_decides(site: IdPSite) -> None:
    started = site.start_device()

    first = site.poll(started)
    site.pause(5)
    second = site.poll(started)

    assert (error_of(first), error_of(second)) == ("authorization_pending", "authorization_pending")
    assert "retry-after" not in first.headers


def test_each_early_poll_makes_the_interval_five_seconds_longer(site: IdPSite) -> None:
    started = site.start_device()
    site.poll(started)

    site.pause(4.9)
    assert error_of(site.poll(started)) == "slow_down"
    site.pause(9.9)
    assert error_of(site.poll(started)) == "slow_down"
    site.pause(14.9)
    assert error_of(site.poll(started)) == "slow_down"
    site.pause(20)
    assert error_of(site.poll(started)) == "authorization_pending"


def test_an_approved_code_is_answered_however_early_the_poll_comes(site: IdPSite) -> None:
    started = site.start_device()
    site.poll(started)
    site.decide(site.cardholder(), started)

    assert site.poll(started).status_code == 200


def test_a_denial_is_access_denied(site: IdPSite) -> None:
    started = site.start_device()

    page = site.decide(site.cardholder(), started, "deny")

    assert page.code == "device_denied"
    assert error_of(site.poll(started)) == "access_denied"
    assert not [job for job in site.mail() if "undo" in str(job.payload["text"])]


@pytest.mark.parametrize("approved", [False, True])
def test_a_code_ends_after_five_minutes_approved_or_not(site: IdPSite, *, approved: bool) -> None:
    alice = site.cardholder()
    started = site.start_device()
    if approved:
        site.decide(alice, started)

    site.pause(299)
    early = site.poll(started) if not approved else None
    site.pause(1)

    assert early is None or error_of(early) == "authorization_pending"
    assert error_of(site.poll(started)) == "expired_token"


def test_a_late_code_cannot_be_typed(site: IdPSite) -> None:
    started = site.start_device()
    site.pause(300)

    page = site.type_code(site.browser(), started["user_code"])

    assert (page.status, page.code) == (404, "user_code_unknown")


def test_an_approval_that_comes_too_late_approves_nothing(site: IdPSite) -> None:
    alice = site.cardholder()
    started = site.start_device()
    browser, page = site.reach_decision(alice, started)
    site.pause(300)

    late = browser.submit(page.form(), button="approve")

    assert (late.status, late.code) == (409, "device_not_waiting")
    assert error_of(site.poll(started)) == "expired_token"


@pytest.mark.parametrize("change", ["{}", " {} ", "lower", "no-dash", "spaced", "dotted"])
def test_the_typed_code_forgives_case_and_dashes(site: IdPSite, change: str) -> None:
    code = str(site.start_device()["user_code"])
    typed = {
        "lower": code.lower(),
        "no-dash": code.replace("-", ""),
        "spaced": " ".join(code),
        "dotted": code.replace("-", "."),
    }.get(change, change.format(code))

    assert site.type_code(site.browser(), typed).code == "device_found"


@pytest.mark.parametrize("typed", ["", "AAAA-AAAA", "BCDF", "'; DROP TABLE idp_clients; --", "ß" * 20, "1234-5678"])
def test_a_code_that_is_none_is_refused(site: IdPSite, typed: str) -> None:
    site.start_device()

    page = site.type_code(site.browser(), typed)

    assert (page.status, page.code) == (404, "user_code_unknown")


def test_five_wrong_codes_from_one_browser_are_throttled_for_ten_minutes(site: IdPSite) -> None:
    code = site.start_device()["user_code"]
    browser = site.browser()
    for _ in range(5):
        assert site.type_code(browser, "BBBB-BBBB").code == "user_code_unknown"

    refused = site.type_code(browser, str(code))

    assert (refused.status, refused.code) == (429, "too_many_tries")
    assert 0 < int(refused.headers["retry-after"]) <= 601
    site.clock.advance(timedelta(minutes=10))
    assert site.type_code(browser, str(site.start_device()["user_code"])).code == "device_found"


def test_five_wrong_codes_from_one_address_are_throttled_whatever_the_browser(site: IdPSite) -> None:
    for _ in range(5):
        site.type_code(site.browser(), "BBBB-BBBB")

    assert site.type_code(site.browser(), "CCCC-CCCC").code == "too_many_tries"


def test_right_codes_are_not_counted(site: IdPSite) -> None:
    browser = site.browser()
    for _ in range(8):
        assert site.type_code(browser, str(site.start_device()["user_code"])).code == "device_found"


def test_the_page_names_the_device_and_says_what_follows(site: IdPSite) -> None:
    page = site.type_code(site.browser(), str(site.start_device(PHONE)["user_code"]))

    for words in ("Google Pixel 9", "SN-42", "Phone set-up", "enrolled in your name and managed by Test Agency"):
        assert words in page.words


def test_the_decision_page_names_who_approves(site: IdPSite) -> None:
    _, page = site.reach_decision(site.cardholder(), site.start_device())

    assert "Alice (alice@example.test)" in page.words


def test_an_approval_is_told_with_a_link_that_undoes_it(site: IdPSite) -> None:
    alice = site.cardholder()
    site.mail()

    site.decide(alice, site.start_device(PHONE))

    (job,) = site.mail()
    assert job.payload["to"] == ["alice@example.test"]
    assert "Google Pixel 9" in str(job.payload["text"])
    assert f"{site.deps.issuer}/undo/" in str(job.payload["text"])
