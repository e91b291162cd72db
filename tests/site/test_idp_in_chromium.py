# SPDX-License-Identifier: Apache-2.0
"""The identity provider in a real browser: its content security policy, its cookies, its pages at two widths."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from etymon.directory.model import Role
from etymon.storage.database import Database
from support import programs
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.idp_site import ADMIN_TOOL, PHONE, Files, Holder, IdPSite, key_pem, pem

pytestmark = pytest.mark.needs("chromium")

PHONE_WIDTH, DESK_WIDTH = 390, 1280


@pytest.fixture
def site(sqlite_databases: SQLiteDatabases, tmp_path: Path) -> Iterator[IdPSite]:
    database: Database = sqlite_databases.migrated()
    with IdPSite(database, TurnedClock(), Files.in_(tmp_path)).running() as running:
        yield running
    database.close()


@contextmanager
def chromium(site: IdPSite, holder: Holder | None, width: int) -> Iterator[tuple[Page, list[str]]]:
    """Give a page of a fresh browser, and what the browser complains of."""
    files = site.files.directory
    (files / "browser.pem").write_bytes(pem(holder.certified) if holder else b"")
    (files / "browser.key").write_bytes(key_pem(holder.certified) if holder else b"")
    shown = {
        "origin": site.deps.certauth_url,
        "certPath": str(files / "browser.pem"),
        "keyPath": str(files / "browser.key"),
    }
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=programs.required("chromium"), args=["--no-sandbox"])
        context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": 844},
            ignore_https_errors=True,
            client_certificates=[shown] if holder else None,  # type: ignore[list-item]  # a TypedDict, spelled out
        )
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page, complaints
        context.close()
        browser.close()


def code_of(page: Page) -> str:
    return str(page.get_attribute("main", "data-code"))


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.mark.parametrize("width", [PHONE_WIDTH, DESK_WIDTH])
def test_a_device_is_approved(site: IdPSite, width: int) -> None:
    started = site.start_device(PHONE)
    with chromium(site, site.cardholder(), width) as (page, complaints):
        page.goto(started["verification_uri"])
        assert fits(page)
        page.fill("#code", started["user_code"].lower())
        page.click("button")
        assert code_of(page) == "device_found"
        assert fits(page)
        page.click("text=Show my smart card")
        page.wait_for_selector("[data-code=device_decision]")
        assert fits(page)
        page.click("button[value=approve]")
        page.wait_for_selector("[data-code=device_approved]")

    assert complaints == []
    assert site.poll(started, PHONE).status_code == 200


def test_a_program_on_the_desk_gets_its_code_through_all_redirects(site: IdPSite) -> None:
    with (
        called_back() as (address, calls),
        chromium(site, site.cardholder("alice", Role.OPERATOR), DESK_WIDTH) as (
            page,
            complaints,
        ),
    ):
        asked = {
            "response_type": "code",
            "client_id": ADMIN_TOOL,
            "redirect_uri": f"{address}/callback",
            "scope": "administration",
            "state": "s",
            "code_challenge": "c" * 43,
            "code_challenge_method": "S256",
        }
        page.goto(f"{site.deps.issuer}/authorize?{urlencode(asked)}")
        page.click("text=Sign in with smart card")
        page.wait_for_selector("text=You can close this window")

    assert complaints == []
    assert set(parse_qs(urlsplit(calls[0]).query)) == {"code", "state", "iss"}


def test_a_browser_without_a_certificate_is_told_what_to_do(site: IdPSite) -> None:
    with chromium(site, None, PHONE_WIDTH) as (page, _):
        page.goto(f"{site.deps.issuer}/account")
        page.click("text=Sign in with a certificate")
        page.wait_for_selector("[data-code=no_certificate]")
        assert fits(page)
        page.click("text=Back")
        assert code_of(page) == "sign_in"


def test_without_scripts_a_button_goes_on(site: IdPSite) -> None:
    with chromium(site, site.cardholder(), DESK_WIDTH) as (page, _):
        page.route("**/submit.js", lambda route: route.abort())
        page.goto(f"{site.deps.issuer}/account")
        page.click("text=Sign in with a certificate")
        page.click("text=Continue")
        page.wait_for_selector("[data-code=signed_in]")


@contextmanager
def called_back() -> Iterator[tuple[str, list[str]]]:
    """Listen on loopback as a native program does (RFC 8252 §7.3)."""
    calls: list[str] = []

    class Callback(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b'<link rel="icon" href="data:,">You can close this window.')

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Callback)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", calls
    server.shutdown()
    thread.join()
    server.server_close()
