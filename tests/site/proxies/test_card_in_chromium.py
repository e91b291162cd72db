# SPDX-License-Identifier: Apache-2.0
"""A real browser and a card in a reader, with certauth on a host of its own: the cookies of a proof come back."""

from pathlib import Path

import pytest

from etymon.ca.model import RevocationReason
from support import card_browser, card_reader
from support.card_stack_desk import desk_at
from support.fronted_site import CERTAUTH_ON_ITS_OWN_HOST, FrontedSite

pytestmark = [pytest.mark.serial, pytest.mark.needs(*card_reader.PROGRAMS, *card_browser.PROGRAMS)]


@pytest.mark.parametrize("fronted", [CERTAUTH_ON_ITS_OWN_HOST], indirect=True)
def test_a_card_signs_in_until_it_is_reported(fronted: FrontedSite, tmp_path: Path) -> None:
    site = fronted.site
    with desk_at(site, tmp_path) as desk:
        card = desk.card("screen")
        with desk.reader.inserted(card.applet), desk.chromium(card.pin) as screen:
            screen.open("/idp/account")
            screen.shows("sign_in")
            screen.press("Sign in with a certificate")
            assert "screen@agency.example" in screen.shows("signed_in")
            screen.open("/issuer/")
            screen.press("Present my smart card")
            screen.shows("home")
            screen.press("Sign out")
            screen.shows("start")
            site.cards.issuer.revoke(card.made.authentication, RevocationReason.KEY_COMPROMISE)
            screen.press("Present my smart card")
            assert "revoked" in screen.shows("revoked_by_ocsp")
            screen.press("Back")
            screen.shows("start")
