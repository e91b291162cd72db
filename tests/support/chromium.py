# SPDX-License-Identifier: Apache-2.0
"""Chromium on the issuer's pages, with the card in it."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

from support import programs
from support.issuer_listeners import RunningIssuer
from support.tls_files import write_identity

PHONE_WIDTH, DESK_WIDTH = 390, 1280


@contextmanager
def chromium(issuer: RunningIssuer, width: int, *, scripts: bool = True) -> Iterator[tuple[Page, list[str]]]:
    """Give a page of a fresh browser that has the card, and what the browser complains of."""
    card = issuer.site.card
    certificate, key = write_identity(issuer.directory, "browser", card.certificate, card.key)
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=programs.required("chromium"), args=["--no-sandbox"])
        context = browser.new_context(
            viewport={"width": width, "height": 844},
            ignore_https_errors=True,
            java_script_enabled=scripts,
            client_certificates=[{"origin": issuer.site.deps.certauth_url, "certPath": certificate, "keyPath": key}],
        )
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page, complaints
        context.close()
        browser.close()


def shows(page: Page, code: str) -> None:
    """Wait until a page is there, and see that nothing hangs out at its side."""
    page.wait_for_selector(f"main[data-code={code}]")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{code} is too wide"
