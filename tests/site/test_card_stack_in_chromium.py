# SPDX-License-Identifier: Apache-2.0
"""The site with a card in a reader: pcscd, OpenSC and NSS, curl by its PKCS#11 engine, Chromium without a screen.

Nothing here hands a certificate to a program from a file: it is in the card, and only the card signs.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from etymon.ca.model import RevocationReason
from etymon.phone.screen import Comparison, UserCode, View
from etymon.phone.state import Purpose
from etymon.wire.piv import Algorithm
from support import card_browser, card_reader, card_stack_curl
from support.card_stack_curl import CardCurl
from support.card_stack_desk import Desk, Screen, desk_at
from support.site_pages import expect
from support.whole_site import ALL_PURPOSES, WholeSite

pytestmark = [pytest.mark.serial, pytest.mark.needs(*card_reader.PROGRAMS)]
in_chromium = pytest.mark.needs(*card_browser.PROGRAMS)
by_curl = pytest.mark.needs(*card_stack_curl.PROGRAMS)
KINDS = pytest.mark.parametrize("kind", [Algorithm.P256, Algorithm.RSA_2048], ids=lambda kind: kind.name)


@pytest.fixture
def desk(site: WholeSite, tmp_path: Path) -> Iterator[Desk]:
    with desk_at(site, tmp_path) as desk:
        yield desk


@by_curl
@KINDS
def test_curl_signs_in_with_the_card(desk: Desk, kind: Algorithm) -> None:
    card = desk.card(f"curl-{kind.name}", kind)
    with desk.reader.inserted(card.applet):
        curl = CardCurl(desk, card)
        page = expect(curl.get("/idp/account"), "sign_in")
        page = curl.submit(page, page.form(action="/idp/sign-in"))
        assert page.url.startswith(desk.site.deployment.settings.certauth_url)
        assert page.form().automatic, page.words
        page = expect(curl.submit(page, page.form()), "signed_in")
    assert f"curl-{kind.name}@agency.example" in page.words
    assert "Smart card" in page.words
    assert card.pin_tries == 3


@by_curl
def test_curl_with_a_card_that_is_nobodys_is_told_so(desk: Desk) -> None:
    card = desk.card("curl-nobody", bound=False)
    with desk.reader.inserted(card.applet):
        curl = CardCurl(desk, card)
        page = curl.get("/idp/account")
        page = expect(curl.submit(page, page.form(action="/idp/sign-in")), "certificate_not_bound", 403)
        assert "one-time code" in page.words
        expect(curl.get("/idp/account"), "sign_in")


def sign_in(screen: Screen) -> None:
    screen.open("/idp/account")
    screen.shows("sign_in")
    screen.press("Sign in with a certificate")


def present_card(screen: Screen) -> None:
    screen.open("/issuer/")
    screen.shows("start")
    screen.press("Present my smart card")


@in_chromium
@KINDS
def test_a_phone_is_enrolled_and_set_up_with_the_card(desk: Desk, kind: Algorithm) -> None:
    name = f"screen-{kind.name}"
    card, held = desk.card(name, kind, group=ALL_PURPOSES), desk.site.new_phone()
    with desk.reader.inserted(card.applet), desk.chromium(card.pin) as screen:

        def approve(view: View) -> None:
            if not isinstance(view, UserCode):
                return
            screen.open("/devicelogin")
            screen.shows("ok")
            screen.page.get_by_label("Code").fill(view.code.lower())
            screen.press("Continue")
            assert held.phone.status().hardware.serial_number in screen.shows("device_found")
            screen.press("Show my smart card")
            assert f"{name}@agency.example" in screen.shows("device_decision")
            screen.press("Approve")
            screen.shows("device_approved")

        def confirm(view: View) -> None:
            if not isinstance(view, Comparison):
                return
            said = screen.shows("redeemed")
            assert "".join(screen.page.inner_text(".digits").split()) == view.digits
            assert held.phone.status().hardware.serial_number in said
            screen.press("Confirm")
            screen.shows("confirmed")

        held.phone.provision(desk.site.enrollment_image())
        held.does = approve
        held.phone.enroll(held.show)

        present_card(screen)
        screen.shows("home")
        screen.press("Set up a phone")
        screen.shows("duties")
        screen.page.get_by_role("checkbox").check()
        screen.press("Show the code for my phone")
        screen.shows("qr")
        held.does = confirm
        held.phone.set_up_derived_credential(screen.picture("seen-by-the-phone"), held)
        assert "valid until" in screen.shows("completed")

    assert {found.purpose for found in held.phone.status().certificates} == set(Purpose)
    assert card.pin_tries == 3


@in_chromium
def test_a_wrong_pin_is_tried_once_and_the_page_says_what_to_do(desk: Desk) -> None:
    card = desk.card("wrong-pin")
    with desk.reader.inserted(card.applet), desk.chromium(card.wrong_pin) as screen:
        sign_in(screen)
        assert "PIN" in screen.shows("no_certificate")
        screen.press("Back")
        assert "close every window" in screen.shows("sign_in"), "the page says by itself what may be wrong"
        present_card(screen)
        screen.shows("no_certificate")
        screen.press("Back")
        assert "without a certificate" in screen.shows("start")
    assert card.pin_tries == 2


@in_chromium
def test_a_card_that_was_pulled_signs_nobody_in(desk: Desk) -> None:
    card = desk.card("pulled")
    with ExitStack() as drawer:
        with desk.reader.inserted(card.applet):
            screen = drawer.enter_context(desk.chromium(card.pin))
            sign_in(screen)
            screen.shows("signed_in")
        present_card(screen)
        assert "Insert your card" in screen.shows("no_certificate")
        screen.press("Back")
        screen.shows("start")


@in_chromium
def test_a_revoked_card_is_refused_and_the_page_says_revoked(desk: Desk) -> None:
    card = desk.card("revoked")
    desk.site.cards.issuer.revoke(card.made.authentication, RevocationReason.KEY_COMPROMISE)
    with desk.reader.inserted(card.applet), desk.chromium(card.pin) as screen:
        for knock, back in ((sign_in, "sign_in"), (present_card, "start")):
            knock(screen)
            assert "was revoked" in screen.shows("revoked_by_ocsp")
            screen.press("Back")
            screen.shows(back)
