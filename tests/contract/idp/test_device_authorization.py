# SPDX-License-Identifier: Apache-2.0
"""Device authorization: what RFC 8628 §3.5 answers, and who may approve what, how, and for how long."""

import re
from datetime import timedelta

import pytest
from joserfc.jwk import ECKey

from etymon.directory.model import Role
from support.idp_site import ADMIN_TOOL, PHONE, IdPSite, claims_of


def error_of(answer: object) -> str:
    return str(answer.json()["error"])  # type: ignore[attr-defined]  # an httpx response


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


# ---- who may approve


def test_an_earlier_sign_in_does_not_replace_the_card(site: IdPSite) -> None:
    alice = site.cardholder()
    browser = site.browser(alice.certified)
    assert browser.submit(browser.get(f"{site.deps.issuer}/account").form()).code == "signed_in"
    page = site.type_code(browser, str(site.start_device()["user_code"]))
    authorization = page.form(action="/idp/device/proof").fields["authorization"]

    skipped = browser.get(f"{site.deps.issuer}/device/decision?authorization={authorization}")

    assert (skipped.status, skipped.code) == (404, "page_unknown")


def test_a_derived_credential_approves_nothing(site: IdPSite) -> None:
    derived = site.derived_holder(site.cardholder())

    _, page = site.reach_decision(derived, site.start_device())

    assert (page.status, page.code) == (403, "wrong_certificate_kind")


def test_a_card_that_is_bound_to_nobody_approves_nothing(site: IdPSite) -> None:
    browser = site.browser(site.card("mallory"))
    page = site.type_code(browser, str(site.start_device()["user_code"]))

    refused = browser.submit(page.form())

    assert (refused.status, refused.code) == (403, "certificate_not_bound")


def test_a_proof_made_to_sign_in_approves_nothing(site: IdPSite) -> None:
    alice = site.cardholder()
    browser = site.browser(alice.certified)
    browser.submit(browser.get(f"{site.deps.issuer}/account").form())
    page = site.type_code(browser, str(site.start_device()["user_code"]))
    authorization = page.form(action="/idp/device/proof").fields["authorization"]
    proof = site.newest_proof("sign-in")

    refused = browser.get(f"{site.deps.issuer}/device/decision?authorization={authorization}&proof={proof}")

    assert (refused.status, refused.code) == (403, "proof_not_valid")


def test_a_proof_made_for_one_device_approves_no_other(site: IdPSite) -> None:
    alice = site.cardholder()
    first, second = site.start_device(), site.start_device()
    browser, _ = site.reach_decision(alice, first)
    proof = site.newest_proof("approval")
    other = site.type_code(browser, str(second["user_code"])).form().fields["authorization"]

    refused = browser.get(f"{site.deps.issuer}/device/decision?authorization={other}&proof={proof}")

    assert (refused.status, refused.code) == (403, "proof_not_valid")
    assert error_of(site.poll(second)) == "authorization_pending"


def test_the_browser_that_decides_is_the_one_the_code_was_typed_in(site: IdPSite) -> None:
    started = site.start_device()
    typed_in = site.browser()
    authorization = site.type_code(typed_in, str(started["user_code"])).form().fields["authorization"]
    victim = site.browser(site.cardholder().certified)
    page = victim.get(f"{site.deps.issuer}/device")
    form = page.form()
    form.action, form.fields["authorization"] = "/idp/device/proof", authorization

    refused = victim.submit(form)

    assert (refused.status, refused.code) == (404, "user_code_unknown")


def test_a_decision_is_made_once(site: IdPSite) -> None:
    alice = site.cardholder()
    started = site.start_device()
    browser, page = site.reach_decision(alice, started)
    form = page.form()
    assert browser.submit(form, button="deny").code == "device_denied"

    again = browser.submit(form, button="approve")

    assert (again.status, again.code) == (409, "device_not_waiting")
    assert error_of(site.poll(started)) == "access_denied"


def test_an_account_that_ended_meanwhile_approves_nothing(site: IdPSite) -> None:
    alice = site.cardholder()
    started = site.start_device()
    browser, page = site.reach_decision(alice, started)
    site.directory.end_account(alice.person)

    refused = browser.submit(page.form(), button="approve")

    assert (refused.status, refused.code) == (403, "proof_not_valid")


def test_an_account_that_ended_after_the_approval_gets_no_token(site: IdPSite) -> None:
    alice = site.cardholder()
    started = site.start_device()
    site.decide(alice, started)
    site.directory.end_account(alice.person)

    assert error_of(site.poll(started)) == "invalid_grant"


def test_administration_is_approved_by_a_person_with_a_role_only(site: IdPSite) -> None:
    started = site.start_device(scope="administration")
    browser, page = site.reach_decision(site.cardholder("bob"), started)
    refused = browser.submit(page.form(), button="approve")
    assert (refused.status, refused.code) == (403, "access_denied")

    carol = site.cardholder("carol", Role.ADMINISTRATOR, Role.OPERATOR)
    site.decide(carol, started)
    access = claims_of(site.poll(started).json()["access_token"])

    assert access["aud"] == f"{site.deps.site_url}/graph"
    assert access["roles"] == ["administrator", "operator"]


def test_a_form_from_elsewhere_decides_nothing(site: IdPSite) -> None:
    alice = site.cardholder()
    browser, page = site.reach_decision(alice, site.start_device())
    form = page.form()
    form.fields["csrf"] = "0" * 64

    assert browser.submit(form, button="approve").code == "cross_site_request"


# ---- what programs may ask


def start(site: IdPSite, **form: str) -> object:
    return site.post("/idp/device_authorization", form)


def test_an_unknown_client_starts_nothing(site: IdPSite) -> None:
    answer = site.post("/idp/device_authorization", {"client_id": "nobody", "scope": "openid"})

    assert (answer.status_code, error_of(answer)) == (401, "invalid_client")


def test_a_client_without_the_grant_starts_nothing(site: IdPSite) -> None:
    assert error_of(start(site, client_id="app", scope="openid")) == "unauthorized_client"


def test_a_scope_that_opens_a_resource_must_be_the_clients(site: IdPSite) -> None:
    assert error_of(start(site, client_id=ADMIN_TOOL, scope="enroll")) == "invalid_scope"
    assertion = site.enrollment_assertion()
    mixed = start(site, client_id=PHONE, scope="administration enroll", enrollment_assertion=assertion)
    assert error_of(mixed) == "invalid_scope"


def test_a_phone_starts_nothing_outside_an_enrollment(site: IdPSite) -> None:
    assert error_of(start(site, client_id=PHONE, scope="enroll")) == "invalid_request"


def test_a_phone_asks_for_enrollment_and_nothing_less(site: IdPSite) -> None:
    answer = start(site, client_id=PHONE, scope="openid", enrollment_assertion=site.enrollment_assertion())

    assert error_of(answer) == "invalid_scope"


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://elsewhere.test/mdm"},
        {"aud": "https://elsewhere.test/idp"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"iat": None},
        {"jti": None},
        {"enrollment_session": None},
        {"enrollment_session": ""},
        {"enrollment_session": 7},
        {"enrollment_session": "x" * 101},
        {"device": None},
        {"device": "Pixel"},
        {"device": {"manufacturer": 7}},
        {"device": {"model": "x" * 101}},
        {"device": {"model": "line\nbreak"}},
    ],
)
def test_an_assertion_that_is_not_right_is_refused(site: IdPSite, wrong: dict[str, object]) -> None:
    assertion = site.enrollment_assertion(**wrong)  # type: ignore[arg-type]  # claims are what is wrong here

    answer = start(site, client_id=PHONE, scope="enroll", enrollment_assertion=assertion)

    assert error_of(answer) == "invalid_request"


def test_an_assertion_for_longer_than_ten_minutes_is_refused(site: IdPSite) -> None:
    now = int(site.clock.now().timestamp())
    assertion = site.enrollment_assertion(exp=now + 601)

    assert error_of(start(site, client_id=PHONE, scope="enroll", enrollment_assertion=assertion)) == "invalid_request"


def test_an_assertion_of_another_key_is_refused(site: IdPSite) -> None:
    assertion = site.enrollment_assertion(key=ECKey.generate_key("P-256"))

    assert error_of(start(site, client_id=PHONE, scope="enroll", enrollment_assertion=assertion)) == "invalid_request"


@pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "e30.e30.", "eyJhbGciOiJub25lIn0.e30.", "x" * 20_000])
def test_an_assertion_that_is_none_is_refused(site: IdPSite, assertion: str) -> None:
    assert error_of(start(site, client_id=PHONE, scope="enroll", enrollment_assertion=assertion)) == "invalid_request"


def test_starting_again_ends_what_the_enrollment_started_before(site: IdPSite) -> None:
    alice = site.cardholder()
    first = site.start_device(PHONE)
    site.decide(alice, first)
    second = site.start_device(PHONE)

    assert error_of(site.poll(first, PHONE)) == "invalid_grant"
    assert error_of(site.poll(second, PHONE)) == "authorization_pending"


def test_a_code_is_good_for_its_own_client(site: IdPSite) -> None:
    started = site.start_device()
    site.decide(site.cardholder(), started)

    assert error_of(site.poll(started, PHONE)) == "invalid_grant"
    assert site.poll(started).status_code == 200


def test_a_code_nobody_gave_out_is_an_invalid_grant(site: IdPSite) -> None:
    assert error_of(site.poll({"device_code": "x" * 43})) == "invalid_grant"


def test_one_address_starts_thirty_and_no_more(site: IdPSite) -> None:
    for _ in range(30):
        site.start_device()

    answer = site.post("/idp/device_authorization", {"client_id": ADMIN_TOOL, "scope": "openid"})

    assert (answer.status_code, error_of(answer)) == (429, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0
