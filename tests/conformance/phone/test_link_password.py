# SPDX-License-Identifier: Apache-2.0
"""The number beside the issuer's code, asked for by the phone as docs/protocols/link.md says."""

import logging
import shutil
from pathlib import Path

import pytest

from etymon.kernel.errors import NotPermitted, Unavailable
from etymon.phone.phone import Phone
from etymon.phone.screen import Comparison, SecretUse
from support.https_site import Answer
from support.phone_services import Services
from support.phones import RememberingScreen, Stopped, StoppingEntropy, enrolled, new_phone, picture, surroundings

pytestmark = pytest.mark.needs("openssl")

REDEEM = "/issuer/link/v1/redeem"
NUMBER, OTHER = "04839205", "04839206"


def sent(services: Services) -> list[str | None]:
    """Return the passwords that were sent, in order."""
    return [asked.document.get("password") for asked in services.asked if asked.path == REDEEM]


def test_the_number_is_asked_for_and_sent_and_forgotten(enrolled_phone: Phone, services: Services) -> None:
    screen = RememberingScreen(numbers=[NUMBER])
    enrolled_phone.set_up_derived_credential(picture(services.link_code(password=NUMBER)), screen)
    assert sent(services) == [NUMBER]
    assert screen.uses == [SecretUse.LINK, SecretUse.CHOOSE]
    assert [request.digits for request in screen.asked] == [8, 0]
    assert len(enrolled_phone.status().certificates) == 3


def test_a_code_without_a_number_asks_for_none_and_sends_none(enrolled_phone: Phone, services: Services) -> None:
    screen = RememberingScreen()
    enrolled_phone.set_up_derived_credential(picture(services.link_code()), screen)
    assert screen.uses == [SecretUse.CHOOSE]
    assert sent(services) == [None]


@pytest.mark.parametrize("typed", ["0483 9205", "0483-9205", " 04839205\n"])
def test_spaces_and_hyphens_are_left_out(enrolled_phone: Phone, services: Services, typed: str) -> None:
    code = picture(services.link_code(password=NUMBER))
    enrolled_phone.set_up_derived_credential(code, RememberingScreen(numbers=[typed]))
    assert sent(services) == [NUMBER]


def test_what_is_not_a_number_of_that_length_is_asked_for_again_and_costs_no_try(
    enrolled_phone: Phone, services: Services
) -> None:
    screen = RememberingScreen(numbers=["", "0483920", "048392055", "0483920x", "٠٤٨٣٩٢٠٥", NUMBER])
    enrolled_phone.set_up_derived_credential(picture(services.link_code(password=NUMBER)), screen)
    assert sent(services) == [NUMBER]
    problems = [request.problem for request in screen.asked if request.use is SecretUse.LINK]
    assert problems == ["", *["The number beside the code has 8 digits."] * 5]


def test_a_wrong_number_is_asked_for_again_with_the_issuers_words(enrolled_phone: Phone, services: Services) -> None:
    screen = RememberingScreen(numbers=[OTHER, "11111111", NUMBER])
    enrolled_phone.set_up_derived_credential(picture(services.link_code(password=NUMBER)), screen)
    assert sent(services) == [OTHER, "11111111", NUMBER]
    asked = [request for request in screen.asked if request.use is SecretUse.LINK]
    assert [request.problem for request in asked] == ["", *["Refused: link_password_wrong."] * 2]
    keys = {asked.document["key"] for asked in services.asked if asked.path == REDEEM}
    assert len(keys) == 1, "the same key all the time"
    assert len(enrolled_phone.status().certificates) == 3


def test_too_many_wrong_numbers_end_the_flow_and_the_next_code_begins_anew(
    enrolled_phone: Phone, services: Services
) -> None:
    wrong = RememberingScreen(numbers=[OTHER] * 9)
    with pytest.raises(NotPermitted, match="link_denied"):
        enrolled_phone.set_up_derived_credential(picture(services.link_code(password=NUMBER)), wrong)
    assert sent(services) == [OTHER] * 5
    assert not enrolled_phone.status().setting_up
    assert [entry.alias for entry in enrolled_phone.device.keys.entries()] == ["device-identity"]
    right = RememberingScreen(numbers=[NUMBER])
    enrolled_phone.set_up_derived_credential(picture(services.link_code(password=NUMBER)), right)
    assert len(enrolled_phone.status().certificates) == 3


@pytest.mark.parametrize("code", ["link_password_required", "link_password_wrong"])
def test_an_issuer_that_wants_a_number_the_code_does_not_speak_of_is_not_asked_for_ever(
    enrolled_phone: Phone, services: Services, code: str
) -> None:
    services.instead[REDEEM] = [Answer.problem(403, code)]
    with pytest.raises(NotPermitted, match=code):
        enrolled_phone.set_up_derived_credential(picture(services.link_code()), RememberingScreen())
    assert sent(services) == [None]


def test_after_a_lost_answer_the_same_number_is_sent_and_nobody_is_asked_again(
    enrolled_phone: Phone, services: Services
) -> None:
    """The PC has gone on and shows the number no more. Requests: directory, CSR attributes, redeem."""
    services.lose_answers = {2}
    code = picture(services.link_code(password=NUMBER))
    with pytest.raises(Unavailable):
        enrolled_phone.set_up_derived_credential(code, RememberingScreen(numbers=[NUMBER]))
    again = RememberingScreen()
    enrolled_phone.set_up_derived_credential(code, again)
    assert sent(services) == [NUMBER, NUMBER]
    assert SecretUse.LINK not in again.uses
    assert any(isinstance(view, Comparison) for view in again.shown)


def test_a_phone_stopped_before_any_write_asks_again_or_knows_what_it_sent(services: Services, tmp_path: Path) -> None:
    with new_phone(tmp_path / "phone") as phone:
        enrolled(phone, services)
    services.issuer.purposes = ("authentication",)
    for draws in range(60):
        directory = tmp_path / f"phone{draws}"
        shutil.copytree(tmp_path / "phone", directory)
        code = picture(services.link_code(password=NUMBER))
        services.asked.clear()
        stopped = False
        with Phone.open(directory, surroundings(entropy=StoppingEntropy(draws))) as phone:
            try:
                phone.set_up_derived_credential(code, RememberingScreen(numbers=[NUMBER]))
            except Stopped:
                stopped = True
        redeemed = bool(sent(services))
        with Phone.open(directory, surroundings()) as phone:
            if not phone.status().certificates:
                screen = RememberingScreen(numbers=[] if redeemed else [NUMBER])  # after redemption the PC shows none
                phone.set_up_derived_credential(code, screen)
            assert len(phone.status().certificates) == 1
        assert set(sent(services)) == {NUMBER}
        if not stopped:
            assert draws > 8
            return
    pytest.fail("the flow did not end")


def test_the_number_is_in_no_file_and_no_log_line(
    enrolled_phone: Phone, services: Services, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    services.lose_answers = {2}
    with pytest.raises(Unavailable):
        enrolled_phone.set_up_derived_credential(
            picture(services.link_code(password=NUMBER)), RememberingScreen(numbers=[NUMBER])
        )
    derivation = enrolled_phone.device.state.derivation
    assert derivation is not None
    assert derivation.password is not None, "it is kept for the next try"
    assert NUMBER not in repr(enrolled_phone.device.state)
    assert NUMBER not in caplog.text
    for file in (tmp_path / "phone").rglob("*"):
        assert file.is_dir() or NUMBER.encode() not in file.read_bytes(), file
