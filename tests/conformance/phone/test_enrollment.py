# SPDX-License-Identifier: Apache-2.0
"""Enrollment as docs/protocols/enrollment.md and sign-in.md say, against a stand-in made from them."""

import base64
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.kernel.errors import (
    Conflict,
    DecodeError,
    Expired,
    Malformed,
    NotAuthenticated,
    NotPermitted,
    Unavailable,
)
from etymon.kernel.secret import Secret
from etymon.phone.enrollment import SignInRefused
from etymon.phone.phone import Phone
from etymon.phone.screen import UserCode
from etymon.phone.state import DeviceState
from support.clock import TurnedClock
from support.https_site import Answer
from support.phone_services import TOKEN, Services
from support.phones import (
    Stopped,
    StoppingEntropy,
    TurningPause,
    enrolled,
    new_phone,
    picture,
    surroundings,
)

TOKEN_PATH = "/idp/token"
BEGIN = "/mdm/enrollment/v1/sessions"


def pause_of(phone: Phone) -> TurningPause:
    return cast("TurningPause", phone.device.surroundings.pause)


def nothing(_: UserCode) -> None:
    """Show nothing."""


def test_a_factory_new_phone_scans_the_code_shows_the_user_code_and_is_enrolled(
    phone: Phone, services: Services
) -> None:
    phone.provision(picture(services.enrollment_code()))
    shown: list[UserCode] = []
    membership = phone.enroll(shown.append)
    assert [view.code for view in shown] == ["BCDF-GHJK"]
    assert shown[0].verification_uri == f"{services.site}/idp/device"
    assert membership.organization.display_name == "Agency"
    assert membership.check_in == f"{services.device_listener}/mdm/device/v1/check-in"
    assert phone.status().device is DeviceState.ENROLLED
    assert phone.enroll(shown.append) == membership
    assert len(shown) == 1
    device = services.asked[0].document["device"]
    assert device == {
        "manufacturer": "Etymon",
        "model": "Simulated phone",
        "serialNumber": "SN-0001",
        "osVersion": "14",
        "securityPatch": "2026-11-05",
    }


def test_nothing_is_sent_to_a_server_whose_chain_lacks_the_pinned_key(phone: Phone, services: Services) -> None:
    other = base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()
    phone.provision(picture(services.enrollment_code(pin=other)))
    with pytest.raises(NotPermitted, match="server_pin"):
        phone.enroll(nothing)
    assert services.asked == []


def test_a_typed_token_works_only_with_a_server_the_phone_trusts(
    tmp_path: Path, services: Services, clock: TurnedClock
) -> None:
    with new_phone(tmp_path / "stranger", clock=clock) as stranger:
        stranger.provision_by_token(f"{services.site}/mdm", Secret(TOKEN))
        with pytest.raises(NotPermitted, match="server_not_trusted"):
            stranger.enroll(nothing)
        assert services.asked == []
    with new_phone(tmp_path / "phone", clock=clock, roots=(services.tls.certificate,)) as phone:
        phone.provision_by_token(f"{services.site}/mdm/", Secret("abcde-fghij klmno-pqrst uvwxyz"))
        phone.enroll(nothing)
        assert phone.status().device is DeviceState.ENROLLED


def test_a_server_below_another_root_is_refused(tmp_path: Path, services: Services, clock: TurnedClock) -> None:
    with new_phone(tmp_path / "phone", clock=clock, roots=(services.device_ca.certificate,)) as phone:
        phone.provision_by_token(f"{services.site}/mdm", Secret(TOKEN))
        with pytest.raises(NotPermitted, match="server_not_trusted"):
            phone.enroll(nothing)
    assert services.asked == []


@pytest.mark.parametrize(
    ("server", "token"), [("http://h/mdm", TOKEN), ("https://h/mdm?x=1", TOKEN), ("https://h", "A1")]
)
def test_a_malformed_server_or_token_is_refused_at_once(phone: Phone, server: str, token: str) -> None:
    with pytest.raises(Malformed):
        phone.provision_by_token(server, Secret(token))
    assert phone.status().device is DeviceState.FACTORY_NEW


def test_a_phone_that_was_not_provisioned_does_not_enroll(phone: Phone) -> None:
    with pytest.raises(Conflict, match="not_provisioned"):
        phone.enroll(nothing)


def test_a_wrong_code_may_be_followed_by_the_right_one_but_not_after_enrollment(
    phone: Phone, services: Services
) -> None:
    other = base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()
    phone.provision(picture(services.enrollment_code(pin=other)))
    enrolled(phone, services)
    with pytest.raises(Conflict, match="wrong_device_state"):
        phone.provision(picture(services.enrollment_code()))


def test_polling_waits_the_interval_and_five_seconds_more_after_slow_down(phone: Phone, services: Services) -> None:
    services.instead[TOKEN_PATH] = [
        Answer.oauth_error(code)
        for code in ("authorization_pending", "slow_down", "authorization_pending", "slow_down")
    ]
    phone.provision(picture(services.enrollment_code()))
    phone.enroll(nothing)
    assert pause_of(phone).waited == [5, 5, 10, 10, 15]


def test_a_token_endpoint_that_does_not_answer_is_asked_less_and_less_often(phone: Phone, services: Services) -> None:
    services.instead[TOKEN_PATH] = [Answer(503) for _ in range(3)]
    phone.provision(picture(services.enrollment_code()))
    phone.enroll(nothing)
    assert pause_of(phone).waited == [5, 10, 20, 40]


@pytest.mark.parametrize("code", ["access_denied", "expired_token", "invalid_grant"])
def test_a_refused_sign_in_ends_the_code_and_the_next_try_shows_a_new_one(
    phone: Phone, services: Services, code: str
) -> None:
    services.instead[TOKEN_PATH] = [Answer.oauth_error(code)]
    phone.provision(picture(services.enrollment_code()))
    shown: list[UserCode] = []
    with pytest.raises(SignInRefused, match=code):
        phone.enroll(shown.append)
    phone.enroll(shown.append)
    assert len(shown) == 2
    assertions = [
        asked.form["enrollment_assertion"] for asked in services.asked if asked.path.endswith("authorization")
    ]
    assert assertions == ["assertion-first", "assertion-fresh"]
    assert len(services.paths(BEGIN)) == 3  # begin, a fresh assertion, complete


def test_a_code_nobody_approves_ends_by_the_phones_own_clock(phone: Phone, services: Services) -> None:
    services.instead[TOKEN_PATH] = [Answer.oauth_error("authorization_pending") for _ in range(100)]
    phone.provision(picture(services.enrollment_code()))
    with pytest.raises(SignInRefused, match="expired_token"):
        phone.enroll(nothing)
    assert len(services.paths(TOKEN_PATH)) == 60


def test_a_session_that_ended_is_begun_anew(phone: Phone, services: Services, clock: TurnedClock) -> None:
    phone.provision(picture(services.enrollment_code()))
    services.instead[TOKEN_PATH] = [Answer.oauth_error("access_denied")]
    with pytest.raises(SignInRefused):
        phone.enroll(nothing)
    clock.advance(timedelta(minutes=16))
    phone.enroll(nothing)
    assert services.paths(BEGIN).count(BEGIN) == 2


@pytest.mark.parametrize(
    ("path", "answer", "error"),
    [
        (BEGIN, Answer.problem(403, "enrollment_token_unknown"), NotPermitted),
        (BEGIN, Answer.problem(410, "enrollment_token_expired"), Expired),
        (BEGIN, Answer.problem(500, "broken"), Unavailable),
        (BEGIN, Answer(201, b"{}"), DecodeError),
        (BEGIN, Answer(201, b"not json"), DecodeError),
        ("/idp/.well-known/openid-configuration", Answer.json({"issuer": "https://evil.example"}), NotPermitted),
        ("/idp/device_authorization", Answer.oauth_error("invalid_client"), SignInRefused),
    ],
)
def test_a_refusal_or_a_strange_answer_is_an_error_and_the_phone_may_try_again(
    phone: Phone, services: Services, path: str, answer: Answer, error: type[Exception]
) -> None:
    phone.provision(picture(services.enrollment_code()))
    services.instead[path] = [answer]
    with pytest.raises(error):
        phone.enroll(nothing)
    phone.enroll(nothing)
    assert phone.status().device is DeviceState.ENROLLED


def test_a_token_that_is_not_taken_any_more_leads_to_a_new_sign_in(phone: Phone, services: Services) -> None:
    phone.provision(picture(services.enrollment_code()))
    services.instead[TOKEN_PATH] = [Answer.json({"access_token": "another"})]
    with pytest.raises(NotAuthenticated):
        phone.enroll(nothing)
    shown: list[UserCode] = []
    phone.enroll(shown.append)
    assert len(shown) == 1


def test_a_certificate_for_another_key_is_refused(phone: Phone, services: Services) -> None:
    phone.provision(picture(services.enrollment_code()))
    certificate = base64.b64encode(services.device_ca.certificate.public_bytes(Encoding.DER)).decode()
    answered = {
        "device": "00000000-0000-4000-8000-000000000000",
        "certificate": certificate,
        "chain": [],
        "checkIn": f"{services.device_listener}/mdm/device/v1/check-in",
        "organization": {"displayName": "Agency"},
    }
    services.instead[TOKEN_PATH] = [Answer.oauth_error("access_denied")]
    with pytest.raises(SignInRefused):
        phone.enroll(nothing)
    session = next(iter(services.sessions))
    services.instead[f"{BEGIN}/{session}/complete"] = [Answer.json(answered)]
    with pytest.raises(Malformed, match="wrong_key"):
        phone.enroll(nothing)
    assert phone.status().device is DeviceState.PROVISIONING


@pytest.mark.parametrize("lost", range(5))
def test_a_lost_answer_is_asked_for_again(phone: Phone, services: Services, lost: int) -> None:
    """Requests: begin, discovery, device authorization, token, complete."""
    services.lose_answers = {lost}
    phone.provision(picture(services.enrollment_code()))
    for _ in range(3):
        try:
            phone.enroll(nothing)
            break
        except Unavailable:
            continue
    assert phone.status().device is DeviceState.ENROLLED


def test_a_phone_stopped_before_any_write_goes_on_from_there(tmp_path: Path, services: Services) -> None:
    """One phone for each write of the flow; each is stopped there, started again, and enrolled with one identity."""
    for draws in range(100):
        directory = tmp_path / f"phone{draws}"
        with new_phone(directory) as phone:
            phone.provision(picture(services.enrollment_code()))
        services.managed.clear()
        stopped = _enroll_until_stopped(directory, draws)
        with Phone.open(directory, surroundings()) as phone:
            phone.enroll(nothing)
            assert phone.status().device is DeviceState.ENROLLED
            phone.check_in(lambda _: None)
        assert len(services.managed) == 1
        if not stopped:
            assert draws > 5
            return
    pytest.fail("the flow did not end")


def _enroll_until_stopped(directory: Path, draws: int) -> bool:
    phone = Phone.open(directory, surroundings(entropy=StoppingEntropy(draws)))
    try:
        phone.enroll(nothing)
    except Stopped:
        return True
    finally:
        phone.close()
    return False
