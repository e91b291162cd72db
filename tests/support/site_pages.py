# SPDX-License-Identifier: Apache-2.0
"""What a person does at a PC: short sentences over the pages of a site. Each goes the whole way through TLS."""

import re
from dataclasses import dataclass
from typing import Final

from etymon.phone.screen import UserCode
from etymon.server.demo.browser import Browser
from etymon.server.demo.camera import photograph
from etymon.server.demo.page import Page

PASSWORD: Final = re.compile(r'class="digits password"[^>]*>(\d{4})<span class="gap"></span>(\d{4})<')
DERIVATION: Final = re.compile(r"/issuer/derivations/[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class ShownCode:
    """A link code on the PC's screen: a picture of it, and the page that says how far the link is.

    `password` is the number beside the code; empty where there is none.
    """

    image: bytes
    page: str
    password: str = ""


def expect(page: Page, code: str, status: int = 200) -> Page:
    """Return the page if it is the one meant."""
    assert (page.status, page.code) == (status, code), f"{page.url}: {page.status} {page.code}: {page.words[:600]}"
    return page


def enter_code(browser: Browser, shown: UserCode) -> Page:
    """Open the device-login page and type the phone's code as a person does."""
    page = browser.get(shown.verification_uri)
    return browser.submit(page.form(action="/idp/device"), {"code": shown.code.lower().replace("-", " ")})


def prove_for_approval(browser: Browser, page: Page) -> Page:
    """Go from the page that shows the device to what certauth makes of the certificate, and back."""
    return browser.submit(expect(page, "device_found").form(action="/idp/device/proof"))


def approve(browser: Browser, shown: UserCode) -> Page:
    """Approve a phone."""
    page = prove_for_approval(browser, enter_code(browser, shown))
    page = browser.submit(expect(page, "device_decision").form(action="/idp/device/decision"), button="approve")
    return expect(page, "device_approved")


def present_card(browser: Browser, site_url: str) -> Page:
    """Present the card to the issuer; a refusal is a page too."""
    page = browser.get(f"{site_url}/issuer/")
    return browser.submit(page.form(action="/issuer/card"))


def sign_in(browser: Browser, site_url: str) -> Page:
    """Sign in at the identity provider with whatever certificate the browser has; a refusal is a page too."""
    page = browser.get(f"{site_url}/idp/account")
    return browser.submit(page.form(action="/idp/sign-in"))


def show_code(browser: Browser, site_url: str) -> ShownCode:
    """Accept the duties and have the link code shown; the card was presented before."""
    page = browser.get(f"{site_url}/issuer/derivations/new")
    page = browser.submit(page.form(action="/issuer/derivations"), {"accepted": "yes"})
    found = DERIVATION.search(page.text)
    assert found, f"{page.status} {page.code}: {page.words[:600]}"
    password = shown_password(page) if PASSWORD.search(page.text) else ""
    return ShownCode(photograph(page.text), site_url + found.group(0), password)


def shown_password(page: Page) -> str:
    """Return the number that stands beside the code."""
    found = PASSWORD.search(page.text)
    assert found, page.words
    return "".join(found.groups())


def confirm(browser: Browser, page_url: str, digits: str) -> Page:
    """Compare the digits with those on the page and confirm the phone."""
    page = expect(browser.get(page_url), "redeemed")
    assert f"{digits[:3]} {digits[3:]}" in page.words
    return browser.submit(page.form(action="/confirm"))
