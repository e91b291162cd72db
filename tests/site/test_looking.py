# SPDX-License-Identifier: Apache-2.0
"""Looking keeps nobody waiting and waits for nobody: what only reads takes no lock that writers need."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final
from urllib.parse import urlencode

import httpx
import pytest

from etymon.server.deployment import DATABASE_FILE
from etymon.server.wiring import ADMINISTRATION_CLIENT
from support import site_pages
from support.endpoints import endpoints
from support.phone_messages import Enrolling
from support.site_pages import expect
from support.whole_site import WholeSite

PATIENCE_SECONDS: Final = 10
"""Less than half of what a writer waits for another (`storage.database`)."""

REQUEST: Final = {
    "client_id": ADMINISTRATION_CLIENT,
    "response_type": "code",
    "redirect_uri": "http://127.0.0.1/",
    "scope": "openid",
    "code_challenge": "a" * 43,
    "code_challenge_method": "S256",
}


@contextmanager
def somebody_writing(site: WholeSite) -> Iterator[None]:
    """Have another process hold SQLite's one write lock."""
    other = sqlite3.connect(site.deployment.directory / DATABASE_FILE, isolation_level=None, timeout=PATIENCE_SECONDS)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


def listeners(site: WholeSite) -> dict[str, httpx.Client]:
    settings = site.deployment.settings
    urls = {
        "site": settings.site_url,
        "certauth": settings.certauth_url,
        "device": settings.device_url,
        "status": settings.status_url,
    }
    return {name: site.client(base_url=url) for name, url in urls.items()}


def test_every_address_that_is_looked_at_answers_while_somebody_writes(site: WholeSite) -> None:
    clients = listeners(site)
    cookies = {f"__Host-etymon-{service}": "x" * 43 for service in ("idp", "issuer")}
    looked_at = [one for one in endpoints(site) if "GET" in one.methods]
    assert len(looked_at) > 40
    with somebody_writing(site):
        for one in looked_at:
            for sent in ({}, cookies):
                headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in sent.items())}
                path = one.filled(str(uuid.uuid4()))
                answer = clients[one.listener].get(path, headers=headers, timeout=PATIENCE_SECONDS)
                assert answer.status_code < 500, (path, answer.text)
        nobodys = clients["site"].post("/idp/sign-in", data={"csrf": "made up"}, timeout=PATIENCE_SECONDS)
        assert nobodys.status_code == 403
        with pytest.raises(httpx.ReadTimeout):  # what takes something once does wait
            clients["site"].post("/idp/certauth/return", data={"code": "made up"}, timeout=1)


def test_who_begins_to_sign_in_waits_for_nobody_until_there_is_something_to_keep(site: WholeSite) -> None:
    clients = listeners(site)
    asked = clients["site"].get("/issuer/")
    token = asked.text.split('name="csrf" value="')[1].split('"')[0]
    begun = clients["site"].post("/issuer/card", data={"csrf": token})
    assert begun.status_code == 303
    with somebody_writing(site):
        page = clients["site"].get(f"/idp/authorize?{urlencode(REQUEST)}", timeout=PATIENCE_SECONDS)
        assert (page.status_code, 'data-code="sign_in"' in page.text) == (200, True)
        silent = clients["site"].get(f"/idp/authorize?{urlencode({**REQUEST, 'prompt': 'none'})}", timeout=10)
        assert "error=login_required" in silent.headers["location"]
        shown = clients["certauth"].get(begun.headers["location"], timeout=PATIENCE_SECONDS)
        assert (shown.status_code, "no_certificate" in shown.text) == (401, True)


def test_who_is_signed_in_looks_while_somebody_writes(site: WholeSite) -> None:
    site.phone_of("looking")
    browser = site.browser(site.card_for("looking"))
    expect(site_pages.sign_in(browser, site.url), "signed_in")
    expect(site_pages.present_card(browser, site.url), "home")
    (derivation,) = (
        row["id"] for row in site.rows("issuer_derivations") if row["person_id"] == site.person("looking").id
    )
    tool = Enrolling(site)
    assert tool.start("", client_id=ADMINISTRATION_CLIENT, scope="openid").is_success
    decision = site_pages.prove_for_approval(browser, site_pages.enter_code(browser, tool.user_code))
    with somebody_writing(site):
        expect(browser.get(f"{site.url}/idp/account"), "signed_in")
        expect(browser.get(f"{site.url}/issuer/"), "home")
        for page in ("/idp/device", f"/issuer/derivations/{derivation}", f"/issuer/derivations/{derivation}/end"):
            assert browser.get(f"{site.url}{page}").status == 200
        expect(browser.get(decision.url), "device_decision")
