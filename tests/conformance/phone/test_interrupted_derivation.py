# SPDX-License-Identifier: Apache-2.0
"""Setting up that is interrupted: lost answers, and a phone that stops before any write."""

import shutil
from pathlib import Path

import pytest

from etymon.kernel.errors import (
    Unavailable,
)
from etymon.kernel.secret import Secret
from etymon.phone.phone import Phone
from etymon.phone.state import Purpose
from support.phone_keys import PIN
from support.phone_services import Services
from support.phones import (
    RememberingScreen,
    Stopped,
    StoppingEntropy,
    enrolled,
    new_phone,
    picture,
    surroundings,
)

pytestmark = pytest.mark.needs("openssl")

REDEEM, AUTHORIZATION = "/issuer/link/v1/redeem", "/issuer/link/v1/authorization"
EST = "/.well-known/est"
WRONG = Secret("not the pin")
ALL = (Purpose.AUTHENTICATION, Purpose.SIGNATURE, Purpose.ENCRYPTION)


@pytest.fixture
def short_flow(services: Services) -> Services:
    services.issuer.purposes = ("authentication", "encryption")
    return services


@pytest.fixture
def started(tmp_path: Path, short_flow: Services) -> Path:
    """The directory of a phone that has just been enrolled."""
    with new_phone(tmp_path / "phone") as phone:
        enrolled(phone, short_flow)
    return tmp_path / "phone"


@pytest.mark.parametrize("lost", range(8))
def test_a_lost_answer_is_asked_for_again_with_the_same_request(
    enrolled_phone: Phone, short_flow: Services, lost: int
) -> None:
    """Requests: directory, CSR attributes, redeem, authorization, cacerts, simpleenroll, serverkeygen; one more."""
    short_flow.lose_answers = {lost}
    code = picture(short_flow.link_code())
    for _ in range(3):
        try:
            enrolled_phone.set_up_derived_credential(code, RememberingScreen())
            break
        except Unavailable:
            continue
    assert len(enrolled_phone.status().certificates) == 2
    assert len(short_flow.issuer.certificates) == 2


def test_a_phone_stopped_before_any_write_goes_on_and_nothing_is_issued_twice(
    started: Path, short_flow: Services
) -> None:
    """One copy of the phone for each write of the flow; each is stopped there and started again."""
    for draws in range(100):
        directory = started.parent / f"phone{draws}"
        shutil.copytree(started, directory)
        code = picture(short_flow.link_code())
        short_flow.issuer.certificates.clear()
        stopped = _set_up_until_stopped(directory, draws, code)
        with Phone.open(directory, surroundings()) as phone:
            if stopped and len(phone.status().certificates) < 2:
                phone.set_up_derived_credential(code, RememberingScreen())
            assert len(phone.status().certificates) == 2
            phone.check_in(lambda _: None)
            with phone.unlock(PIN):
                named = {item.alias for item in phone.device.state.credentials}
            assert {item.alias for item in phone.device.keys.entries()} == {"device-identity", *named}
        assert len(short_flow.issuer.certificates) == 2
        if not stopped:
            assert draws > 15
            return
    pytest.fail("the flow did not end")


def _set_up_until_stopped(directory: Path, draws: int, code: bytes) -> bool:
    phone = Phone.open(directory, surroundings(entropy=StoppingEntropy(draws)))
    try:
        phone.set_up_derived_credential(code, RememberingScreen())
    except Stopped:
        return True
    finally:
        phone.close()
    return False
