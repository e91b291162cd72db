# SPDX-License-Identifier: Apache-2.0
"""A phone that nobody manages: a derived credential where the issuer's rule allows it, by the same documents."""

from pathlib import Path

import pytest

from etymon.kernel.errors import Conflict, NotAuthenticated, NotPermitted, Unavailable
from etymon.phone.applications import access
from etymon.phone.phone import Phone
from etymon.phone.screen import Comparison, Installing, Ready, SecretUse
from etymon.phone.state import DeviceState, Purpose
from support.phone_keys import PIN
from support.phone_services import Services
from support.phones import RememberingScreen, enrolled, new_phone, picture, surroundings

pytestmark = pytest.mark.needs("openssl")

REDEEM = "/issuer/link/v1/redeem"
APP = "example.agency.mail"


@pytest.fixture
def open_to_all(services: Services) -> Services:
    """An issuer whose rule takes phones that nobody manages."""
    services.issuer.managed_only = False
    return services


def set_up(phone: Phone, services: Services, *, password: str = "") -> RememberingScreen:
    screen = RememberingScreen(numbers=[password])
    phone.set_up_derived_credential(picture(services.link_code(password=password)), screen)
    return screen


def test_a_factory_new_phone_gets_three_certificates_and_shows_no_identity(phone: Phone, open_to_all: Services) -> None:
    screen = set_up(phone, open_to_all)
    assert [type(view) for view in screen.shown] == [Comparison, Installing, Installing, Installing, Ready]
    assert screen.uses == [SecretUse.CHOOSE]
    status = phone.status()
    assert (status.device, status.membership, status.setting_up) == (DeviceState.FACTORY_NEW, None, False)
    assert [certificate.purpose for certificate in status.certificates] == list(Purpose)
    assert {asked.peer for asked in open_to_all.asked} == {None}
    assert {entry.alias.split("-")[0] for entry in phone.device.keys.entries()} == {"derived"}


def test_it_types_the_number_beside_the_code_like_any_other(phone: Phone, open_to_all: Services) -> None:
    assert set_up(phone, open_to_all, password="48392051").uses == [SecretUse.LINK, SecretUse.CHOOSE]


def test_where_the_rule_is_for_managed_phones_it_is_told_so_and_can_be_enrolled_then(
    phone: Phone, services: Services
) -> None:
    with pytest.raises(NotAuthenticated, match="device_identity_required"):
        set_up(phone, services)
    assert not phone.status().setting_up
    assert phone.device.keys.entries() == ()
    assert services.issuer.redeemed == {}
    enrolled(phone, services)
    set_up(phone, services)
    assert len(phone.status().certificates) == 3
    assert services.last(REDEEM).peer is not None


def test_it_goes_on_after_a_stop(tmp_path: Path, open_to_all: Services) -> None:
    code = picture(open_to_all.link_code())
    open_to_all.lose_answers = {2}
    with new_phone(tmp_path / "phone") as phone, pytest.raises(Unavailable):
        phone.set_up_derived_credential(code, RememberingScreen())
    with Phone.open(tmp_path / "phone", surroundings()) as phone:
        assert phone.status().setting_up
        phone.set_up_derived_credential(None, RememberingScreen())
        assert len(phone.status().certificates) == 3


def test_in_the_middle_of_an_enrollment_no_link_is_scanned(phone: Phone, open_to_all: Services) -> None:
    phone.provision(picture(open_to_all.enrollment_code()))
    with pytest.raises(Conflict, match="enrollment_unfinished"):
        set_up(phone, open_to_all)
    assert open_to_all.asked == []


def test_a_phone_with_a_credential_of_its_own_goes_back_to_the_factory_before_it_is_managed(
    phone: Phone, open_to_all: Services
) -> None:
    set_up(phone, open_to_all)
    with pytest.raises(Conflict, match="not_factory_new"):
        phone.provision(picture(open_to_all.enrollment_code()))
    assert phone.status().device is DeviceState.FACTORY_NEW
    phone.wipe()
    assert phone.device.keys.entries() == ()
    enrolled(phone, open_to_all)
    assert phone.status().certificates == ()


def test_nor_is_one_that_is_setting_up_its_own(phone: Phone, open_to_all: Services) -> None:
    open_to_all.lose_answers = {2}
    with pytest.raises(Unavailable):
        set_up(phone, open_to_all)
    with pytest.raises(Conflict, match="not_factory_new"):
        phone.provision(picture(open_to_all.enrollment_code()))
    phone.give_up_setting_up()
    enrolled(phone, open_to_all)


def test_a_retired_phone_is_nobodys(phone: Phone, open_to_all: Services) -> None:
    enrolled(phone, open_to_all)
    open_to_all.notify(commands=[{"command": "7f1c3b56-33a1-4a4e-9f63-6d4a1d1cf0aa", "type": "retire"}])
    phone.check_in(lambda _: None)
    assert phone.status().device is DeviceState.RETIRED
    open_to_all.asked.clear()
    set_up(phone, open_to_all)
    assert {asked.peer for asked in open_to_all.asked} == {None}


def test_there_is_no_policy_so_that_its_person_decides_about_each_app(phone: Phone, open_to_all: Services) -> None:
    set_up(phone, open_to_all)
    asked: list[str] = []

    def refuse(package: str) -> bool:
        asked.append(package)
        return False

    with phone.unlock(PIN):
        with pytest.raises(NotPermitted, match="access_denied"):
            access.identity(phone.device, APP, refuse)
        identity = access.identity(phone.device, APP, lambda package: package == APP)
    assert asked == [APP]
    assert identity.certificate in open_to_all.issuer.certificates


def test_a_managed_phone_without_a_policy_still_gives_its_credential_to_no_app(
    enrolled_phone: Phone, services: Services
) -> None:
    set_up(enrolled_phone, services)
    with enrolled_phone.unlock(PIN), pytest.raises(NotPermitted, match="access_denied"):
        access.identity(enrolled_phone.device, APP, lambda _: True)
