# SPDX-License-Identifier: Apache-2.0
"""One whole way through the issuer, and then a search for every secret it used: in logs, in mail, in the database."""

import logging

import pytest

from etymon.issuer import self_recovery
from etymon.issuer.model import Purpose
from etymon.wire import link_qr
from support.issuer_listeners import RunningIssuer
from support.issuer_site import Link
from support.issuer_story import key_manager, redemption, scanned_code, waiting
from support.site_pages import shown_password


def test_no_secret_of_the_way_is_found_where_it_was_left(
    issuer: RunningIssuer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpcore")  # the test's own client
    caplog.set_level(logging.WARNING, "httpx")
    site = issuer.site
    site.save_rule(link_password=True)
    secrets: dict[str, str] = {}

    browser = issuer.browser(site.card)
    browser.get(f"{site.deps.issuer_url}/")
    assert browser.page is not None
    visitor = dict(browser.cookies)
    page = browser.submit(browser.page.form(action="/issuer/card"))
    secrets |= {f"cookie {name}": value for (_, name), value in {**visitor, **browser.cookies}.items()}
    secrets["anti-forgery token"] = page.form(action="/issuer/sign-out").fields["csrf"]
    page = browser.follow("Set up a phone")
    page = browser.submit(page.form(action="/issuer/derivations"), {"accepted": "yes"})
    begun = scanned_code(page)
    secret = link_qr.decode(begun.qr.reveal()).secret.reveal()
    secrets["link secret"] = dict(pair.split("=") for pair in begun.qr.reveal().partition("#")[2].split("&"))["s"]
    secrets["link secret in hex"] = secret.hex()
    password = shown_password(page)

    phone = site.phone()
    client = issuer.client(phone)
    guess = f"{(int(password) + 1) % 10**8:08}"
    for wrong in ({"secret": "A" * 22, "password": password}, {"password": guess}, {}, {"password": password[:7]}):
        refused = client.post("/issuer/link/v1/redeem", json=redemption(begun, phone, **wrong))
        assert refused.status_code in {400, 403}
    right = redemption(begun, phone, password=password)
    assert client.post("/issuer/link/v1/redeem", json=right).status_code == 200
    page = browser.follow("My phone shows six digits")
    browser.submit(page.form(action="/confirm"))
    confirmed = client.post("/issuer/link/v1/authorization", json=waiting(begun, phone)).json()
    secrets["authorization"] = confirmed["authorization"]
    authorized = site.authorization(phone, begun)
    assert authorized is not None
    link = Link(site, phone, site.present_card(), begun, authorized)
    for purpose in Purpose:
        link.enroll(purpose)

    site.turn(days=8)  # a card that was bound just now opens no key
    browser.get(f"{site.deps.issuer_url}/")
    browser.submit(browser.get(f"{site.deps.issuer_url}/").form(action="/issuer/card"))
    page = browser.submit(browser.get(f"{site.deps.issuer_url}/keys").form(action="/issuer/card"))
    (key,) = self_recovery.listed(site.deps, site.present_card())
    page = browser.submit(page.form(action="/keys/password"), {"key": str(key.key.id)})
    form = page.form(action="/keys/file")
    secrets |= {f"recovery {name}": form.fields[name] for name in ("password", "seal")}
    assert browser.submit(form, {"seal": ""}).code == "recovery_password_wrong"
    assert browser.submit(form).headers["content-type"] == "application/x-pkcs12"

    manager = key_manager(issuer)
    secrets["assertion"] = manager.assertion()
    secrets["access token"] = manager.ask(secrets["assertion"]).json()["access_token"]
    assert manager.ask(secrets["assertion"]).status_code == 401

    assert all(len(value) >= 16 for value in secrets.values())
    secrets |= {"password": password, "password in halves": f"{password[:4]} {password[4:]}", "a wrong password": guess}
    out, err = capfd.readouterr()
    mail = str(site.mail())
    with site.database.snapshot() as tx:
        kept = "\n".join(tx.connection.driver_connection.iterdump())  # type: ignore[union-attr]  # sqlite3's own
    hexadecimal = {name: value.encode().hex() for name, value in secrets.items()}
    for name, value in secrets.items():
        for place, text in {"log": out + err + caplog.text, "mail": mail, "database": kept}.items():
            assert value not in text, f"{name} is in the {place}"
            assert hexadecimal[name] not in text.lower(), f"{name} is in the {place}, in hex"
    assert "request_refused" in out + err + caplog.text  # there was something to search
    assert "issuer:link:refused" in kept
