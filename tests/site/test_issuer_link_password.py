# SPDX-License-Identifier: Apache-2.0
"""The password of a link on the page that shows it, once, and at the door that takes it."""

import pytest

from etymon.kernel.errors import NotPermitted
from etymon.kernel.secret import Secret
from etymon.wire import link_qr
from support.browser import Browser, Page
from support.issuer_listeners import RunningIssuer
from support.issuer_story import redemption, scanned_code
from support.phone_messages import REDEEM, told
from support.site_pages import PASSWORD, shown_password


@pytest.fixture
def browser(issuer: RunningIssuer) -> Browser:
    """Return a browser at which the card was presented."""
    browser = issuer.browser(issuer.site.card)
    browser.get(f"{issuer.site.deps.issuer_url}/")
    assert browser.page is not None
    browser.submit(browser.page.form(action="/issuer/card"))
    return browser


def show_code(browser: Browser) -> Page:
    page = browser.follow("Set up a phone")
    page = browser.submit(page.form(action="/issuer/derivations"), {"accepted": "yes"})
    assert page.code == "qr", page.words
    return page


def other(number: str, by: int = 1) -> Secret[str]:
    return Secret(f"{(int(number) + by) % 10**8:08}")


def test_a_number_stands_beside_the_code_once_where_the_rule_wants_it(issuer: RunningIssuer, browser: Browser) -> None:
    site = issuer.site
    site.save_rule(link_password=True)
    page = show_code(browser)
    begun, number = scanned_code(page), shown_password(page)
    assert f"{number[:4]} {number[4:]}" in page.words
    assert "Tell it to nobody" in page.words
    assert link_qr.decode(begun.qr.reveal()).password_digits == len(number)
    assert number not in begun.qr.reveal()
    assert number not in page.url
    assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("no-referrer", "no-store")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    again = browser.get(f"{site.deps.issuer_url}/derivations/{begun.derivation.id}")
    assert again.code == "begun"
    assert not PASSWORD.search(again.text)
    with pytest.raises(NotPermitted, match="link_password_wrong"):
        site.redeem(site.phone(), begun, password=other(number))
    assert site.redeem(site.phone(), begun, password=Secret(number)).digits


def test_without_the_option_no_number_stands_there(browser: Browser) -> None:
    page = show_code(browser)
    assert "number" not in page.words
    assert not PASSWORD.search(page.text)


def test_a_phone_that_typed_wrong_five_times_was_refused(issuer: RunningIssuer, browser: Browser) -> None:
    issuer.site.save_rule(link_password=True)
    page = show_code(browser)
    begun, number = scanned_code(page), shown_password(page)
    for by in range(1, 6):
        with pytest.raises(NotPermitted):
            issuer.site.redeem(issuer.site.phone(), begun, password=other(number, by))
    page = browser.follow("My phone shows six digits")
    assert page.code == "denied"
    assert "something wrong five times" in page.words


def test_a_password_is_asked_for_told_apart_and_taken(issuer: RunningIssuer) -> None:
    site = issuer.site
    site.save_rule(link_password=True)
    phone, begun = site.phone(), site.begin(site.present_card())
    assert begun.password is not None
    client = issuer.client(phone)
    for missing in ({}, {"password": None}, {"secret": "A" * 22}):
        answer = client.post(REDEEM, json=redemption(begun, phone, **missing))
        assert told(answer) == (403, "link_password_required")
        assert "update the app" in answer.json()["detail"]
    unread = client.post(REDEEM, json=redemption(begun, phone, password="1234"))
    assert told(unread) == (400, "malformed")
    assert "1234" not in unread.text
    right = begun.password.reveal()
    wrong = f"{(int(right) + 1) % 10**8:08}"
    bodies = set()
    for answer in (
        client.post(REDEEM, json=redemption(begun, phone, password=wrong)),
        client.post(REDEEM, json=redemption(begun, phone, password=right, secret="A" * 22)),
    ):
        assert told(answer) == (403, "link_password_wrong")
        assert wrong not in answer.text
        bodies.add(answer.text.replace("4 tries", "tries").replace("3 tries", "tries"))
    assert len(bodies) == 1, "the two answers differ in nothing but the number of tries"
    assert site.derivation(begun).wrong_secrets == 2
    assert client.post(REDEEM, json=redemption(begun, phone, password=right)).status_code == 200
