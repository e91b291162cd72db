# SPDX-License-Identifier: Apache-2.0
"""Which programs may start a device authorization, with what scope, and in whose name."""

import httpx
import pytest
from joserfc.jwk import ECKey

from support.idp_application import error_of
from support.idp_site import ADMIN_TOOL, PHONE, IdPSite


def start(site: IdPSite, **form: str) -> httpx.Response:
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
