# SPDX-License-Identifier: Apache-2.0
"""The pages on which cardholders recover their own encryption keys, over TLS and in a real browser at two widths."""

import dataclasses
import io
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page as Screen

from etymon.escrow.model import EscrowedKey
from etymon.kernel.entropy import SystemEntropy
from etymon.pki.certificate import spki
from support import escrowed, packed_keys
from support.browser import Browser, Form, Page, read_page
from support.chromium import DESK_WIDTH, PHONE_WIDTH, chromium, shows
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.issuer_listeners import RunningIssuer
from support.issuer_site import IssuerSite


@pytest.fixture(scope="module")
def issuer(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningIssuer]:
    """One for the module; nothing here ends a key."""
    database, directory = sqlite_databases.migrated(), tmp_path_factory.mktemp("issuer")
    site = IssuerSite(database, TurnedClock(), SystemEntropy(), directory)
    for number in range(2):
        escrowed.kept(site.escrow, site.alice, number)
        site.turn(seconds=1)
    site.settle(site.alice)
    with RunningIssuer(site, directory).running() as running:
        yield running
    sqlite_databases.drop(database)


@pytest.fixture
def keys(issuer: RunningIssuer) -> list[EscrowedKey]:
    """Give Alice's keys, the newest first, at a time when the hour has no attempt yet."""
    issuer.site.turn(hours=2)
    issuer.site.mail()
    with issuer.site.database.snapshot() as tx:
        return escrowed.of(tx, issuer.site.alice)


def shown_keys(issuer: RunningIssuer, browser: Browser) -> Page:
    page = browser.get(f"{issuer.site.deps.issuer_url}/")
    if page.code == "start":
        browser.submit(page.form(action="/issuer/card"))
    page = browser.follow("Recover my encryption keys")
    if "present your card once more" in page.words:  # the proof that opened the session opens no key
        page = browser.submit(page.form(action="/issuer/card"))
    assert page.code == "keys", page.words
    return page


def fetch(issuer: RunningIssuer, browser: Browser, form: Form, **headers: str) -> httpx.Response:
    """Send a form as the browser would, and keep what comes as bytes."""
    origin = {"origin": issuer.site.deps.site_url, "sec-fetch-site": "same-origin", **headers}
    cookies = "; ".join(f"{name}={value}" for (_, name), value in browser.cookies.items())
    return issuer.program().post(form.action, data=form.fields, headers={**origin, "cookie": cookies})


@pytest.mark.needs("openssl")
def test_a_cardholder_gets_a_password_on_a_page_and_the_file_apart_from_it(
    issuer: RunningIssuer, keys: list[EscrowedKey], tmp_path: Path
) -> None:
    site, browser = issuer.site, issuer.browser(issuer.site.card)
    page = shown_keys(issuer, browser)
    for key in keys:
        assert key.certificate is not None
        assert f"{key.certificate.serial_number:x}" in page.words
        assert f"{key.certificate.not_valid_before_utc:%Y-%m-%d}" in page.words
    page = browser.submit(page.form(action="/keys/password"), {"key": str(keys[0].id)})
    assert (page.code, page.headers["cache-control"]) == ("key_password", "no-store")
    form = page.form(action="/keys/file")
    password = form.fields["password"]
    assert password in page.words
    assert site.mail() == [], "nothing has left escrow yet"
    answer = fetch(issuer, browser, form)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/x-pkcs12"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert keys[0].certificate is not None
    name = f"encryption-key-{keys[0].certificate.serial_number:x}.p12"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert password.encode() not in answer.content
    assert packed_keys.judge(answer.content, password, tmp_path)[0] == spki(keys[0].public_key)
    (mail,) = site.mail()
    assert password not in str(mail)
    again = browser.submit(shown_keys(issuer, browser).form(action="/keys/password"), {"key": str(keys[0].id)})
    assert password not in again.text, "shown once"


def test_all_keys_come_in_one_archive(issuer: RunningIssuer, keys: list[EscrowedKey]) -> None:
    browser = issuer.browser(issuer.site.card)
    page = browser.submit(shown_keys(issuer, browser).form(action="/keys/password"), {"key": "all"})
    answer = fetch(issuer, browser, page.form(action="/keys/file"))
    assert answer.headers["content-disposition"] == 'attachment; filename="encryption-keys.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        serials = {f"{key.certificate.serial_number:x}.p12" for key in keys if key.certificate is not None}
        assert set(archive.namelist()) == serials


def test_the_pages_refuse_whoever_has_not_just_shown_the_card_there(
    issuer: RunningIssuer, keys: list[EscrowedKey]
) -> None:
    site, browser = issuer.site, issuer.browser(issuer.site.card)
    address = f"{site.deps.issuer_url}/keys"
    assert issuer.browser(site.card).get(address).code == "start"
    page = shown_keys(issuer, browser)
    asking = page.form(action="/keys/password")
    shown = browser.submit(asking, {"key": str(keys[0].id)})
    form = shown.form(action="/keys/file")
    forged = [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site", "origin": "null"}]
    forged_forms = [dataclasses.replace(form, fields=form.fields | {"csrf": "x"})]
    assert {fetch(issuer, browser, form, **headers).status_code for headers in forged} == {403}
    assert {fetch(issuer, browser, each).status_code for each in forged_forms} == {403}
    bare = issuer.browser(site.card)
    bare.get(f"{site.deps.issuer_url}/")
    assert fetch(issuer, bare, form).status_code == 403, "another browser"
    assert site.mail() == []
    refused = browser.submit(asking, {"key": "no key"})
    assert (refused.status, refused.code) == (404, "escrowed_key_unknown")
    long = [dataclasses.replace(each, fields=each.fields | {"key": "a" * 70_000}) for each in (asking, form)]
    for answer in (fetch(issuer, browser, each) for each in long):
        page = read_page(str(answer.url), answer)
        assert (page.status, page.code) == (413, "body_too_large")
    crafted = dataclasses.replace(form, fields=form.fields | {"password": "1", "key": str(keys[1].id)})
    assert "recovery_password_wrong" in fetch(issuer, browser, crafted).text
    site.turn(minutes=11)
    assert "card_proof_old" in fetch(issuer, browser, form).text
    refused = browser.submit(asking, {"key": str(keys[0].id)})
    assert (refused.status, refused.code) == (403, "card_proof_old")
    page = browser.get(address)
    assert "present your card once more" in page.words
    page = browser.submit(page.form(action="/issuer/card"))
    assert page.code == "keys", "back where the card was asked for"
    assert "Show the password" in page.words
    token = page.form(action="/keys/password").fields["csrf"]
    crafted = dataclasses.replace(crafted, fields=crafted.fields | {"csrf": token})
    while (answer := fetch(issuer, browser, crafted)).status_code != 429:
        assert "recovery_password_wrong" in answer.text
    assert int(answer.headers["retry-after"]) <= timedelta(hours=1).total_seconds()


@pytest.mark.needs("chromium", "openssl")
@pytest.mark.parametrize("width", [PHONE_WIDTH, DESK_WIDTH])
def test_a_browser_without_scripts_downloads_the_file(
    issuer: RunningIssuer, keys: list[EscrowedKey], width: int, tmp_path: Path
) -> None:
    with chromium(issuer, width, scripts=False) as (screen, complaints):
        screen.goto(f"{issuer.site.deps.issuer_url}/")
        screen.click("text=Present my smart card")
        screen.click("text=Continue")
        shows(screen, "home")
        screen.click("text=Recover my encryption keys")
        shows(screen, "keys")
        screen.click("text=Present my smart card")
        screen.click("text=Continue")
        shows(screen, "keys")
        screen.check(f"input[value='{keys[1].id}']")
        screen.click("text=Show the password")
        shows(screen, "key_password")
        password = read_password(screen)
        with screen.expect_download() as coming:
            screen.click("text=Download the file")
        package = Path(coming.value.path()).read_bytes()
        shows(screen, "key_password")
    assert packed_keys.judge(package, password, tmp_path)[0] == spki(keys[1].public_key)
    assert complaints == []


def read_password(screen: Screen) -> str:
    """Return the password as it is on the screen, which has all of it."""
    shown = screen.locator(".digits.recovery")
    assert shown.evaluate("node => node.scrollWidth <= node.clientWidth")
    return "".join(shown.inner_text().split())
