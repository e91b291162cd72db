# SPDX-License-Identifier: Apache-2.0
"""The self-service pages in a real browser at two widths: scripts and policy, the code as a picture, fallbacks."""

import io
from collections.abc import Iterator

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Page

from etymon.issuer.model import Purpose
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import Secret
from support.chromium import DESK_WIDTH, PHONE_WIDTH, chromium, shows
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.issuer_listeners import RunningIssuer, issuer_on_sqlite
from support.issuer_site import Link
from support.issuer_story import known_by

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture
def issuer(
    sqlite_databases: SQLiteDatabases, clock: TurnedClock, entropy: Entropy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningIssuer]:
    with issuer_on_sqlite(sqlite_databases, clock, entropy, tmp_path_factory.mktemp("issuer")) as running:
        yield running


def seen(page: Page) -> str:
    """Return what a camera reads from the screen."""
    page.locator(".qr").scroll_into_view_if_needed()
    (code,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(page.screenshot())))
    return str(code.text)


@pytest.mark.parametrize("width", [PHONE_WIDTH, DESK_WIDTH])
def test_a_phone_is_set_up_while_the_pages_go_on_by_themselves(issuer: RunningIssuer, width: int) -> None:
    site = issuer.site
    with chromium(issuer, width) as (page, complaints):
        page.goto(f"{site.deps.issuer_url}/")
        shows(page, "start")
        page.click("text=Present my smart card")
        shows(page, "home")
        page.click("text=Set up a phone")
        shows(page, "duties")
        page.check("input[name=accepted]")
        page.click("text=Show the code for my phone")
        shows(page, "qr")
        begun = known_by(seen(page))
        phone = site.phone()
        linked = site.redeem(phone, begun)
        shows(page, "redeemed")
        assert linked.digits == "".join(page.inner_text(".digits").split())
        page.click("text=Confirm >> nth=-1")
        shows(page, "confirmed")
        authorized = site.authorization(phone, begun)
        assert authorized is not None
        link = Link(site, phone, site.present_card(), begun, authorized)
        link.enroll(Purpose.AUTHENTICATION)
        shows(page, "issuing")
        link.enroll(Purpose.SIGNATURE)
        link.enroll(Purpose.ENCRYPTION)
        shows(page, "completed")
        page.click("text=Done")
        shows(page, "home")
        page.click("text=Put them on hold")
        shows(page, "hold")
        page.click("button:has-text('Put them on hold')")
        page.wait_for_selector("text=On hold: refused everywhere")
        shows(page, "home")
        page.click("text=Restore these credentials")
        page.wait_for_selector("text=The credentials are accepted again")
        page.click("text=End these credentials")
        shows(page, "end")
        page.check("input[value=cessationOfOperation]")
        page.click("button.danger")
        page.wait_for_selector("text=They are not accepted any more")
        page.click("text=Sign out")
        shows(page, "start")
    assert complaints == []


def test_without_scripts_links_and_buttons_lead_on(issuer: RunningIssuer) -> None:
    site = issuer.site
    with chromium(issuer, DESK_WIDTH, scripts=False) as (page, _):
        page.goto(f"{site.deps.issuer_url}/")
        page.click("text=Present my smart card")
        page.click("text=Continue")
        shows(page, "home")
        page.click("text=Set up a phone")
        page.check("input[name=accepted]")
        page.click("text=Show the code for my phone")
        shows(page, "qr")
        begun = known_by(seen(page))
        page.click("text=My phone shows six digits")
        shows(page, "begun")
        site.redeem(site.phone(), begun)
        page.goto(page.url)
        shows(page, "redeemed")
        page.click("text=Refuse >> nth=-1")
        shows(page, "denied")


@pytest.mark.parametrize("width", [PHONE_WIDTH, DESK_WIDTH])
def test_the_number_beside_the_code_is_whole_and_does_not_stand_in_its_way(issuer: RunningIssuer, width: int) -> None:
    site = issuer.site
    site.save_rule(link_password=True)
    with chromium(issuer, width) as (page, complaints):
        page.goto(f"{site.deps.issuer_url}/")
        page.click("text=Present my smart card")
        shows(page, "home")
        page.click("text=Set up a phone")
        page.check("input[name=accepted]")
        page.click("text=Show the code for my phone")
        shows(page, "qr")
        begun = known_by(seen(page))
        number = page.locator(".digits.password")
        code = page.locator(".qr svg").bounding_box()
        place = number.bounding_box()
        assert code is not None
        assert place is not None
        if width == DESK_WIDTH:
            assert code["x"] + code["width"] <= place["x"], "beside the code"
            assert code["y"] < place["y"] < code["y"] + code["height"]
        else:
            assert code["y"] + code["height"] <= place["y"], "below it"
        assert number.evaluate("node => node.scrollWidth <= node.clientWidth")
        typed = Secret("".join(number.inner_text().split()))
        site.redeem(site.phone(), begun, password=typed)
        shows(page, "redeemed")
        page.go_back()
        shows(page, "duties")  # the page of the code is not in the history
        assert page.locator(".digits.password").count() == 0, "shown once"
    assert complaints == []


@pytest.mark.parametrize("width", [PHONE_WIDTH, DESK_WIDTH])
def test_the_pages_beside_the_way_fit_too(issuer: RunningIssuer, width: int) -> None:
    site = issuer.site
    link = site.linked()
    link.enroll()
    address = f"{site.deps.issuer_url}/undo/{site.derivation(link.begun).undo}"
    with chromium(issuer, width) as (page, complaints):
        page.goto(f"{site.deps.issuer_url}/link#v=1&s=secret")
        shows(page, "landing")
        page.goto(address)
        shows(page, "undo")
        page.click("button.danger")
        shows(page, "undone")
        page.goto(address)
        shows(page, "undo_over")
    assert complaints == []
