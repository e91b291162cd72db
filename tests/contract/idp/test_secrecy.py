# SPDX-License-Identifier: Apache-2.0
"""No value that opens anything is found afterwards: not in the log, the audit trail, the mail or the database."""

import logging

import pytest
import sqlalchemy as sa

from etymon.directory import bindings
from etymon.storage.schema import metadata
from support.browser import Browser
from support.idp_site import ADMIN_TOOL, IdPSite


def test_no_secret_that_was_used_is_written_anywhere(
    site: IdPSite, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = used_secrets(site)

    said = capfd.readouterr()
    own_log = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore", "asyncio"))
    )
    kept = everything_kept(site)
    for name, value in secrets.items():
        for where, text in {"output": said.out + said.err, "log": own_log, "database": kept}.items():
            assert value not in text, f"{name} is in the {where}"
    assert "request_refused" in said.out + said.err, "the log was looked at"


def used_secrets(site: IdPSite) -> dict[str, str]:
    """Go through every flow, with a refusal here and there, and return each value that opened something."""
    alice = site.cardholder()
    bob = site.directory.person("bob")
    with site.database.transaction() as tx:
        binding_code = bindings.issue_code(tx, site.deps, person_id=bob.id, actor="person:officer").reveal()
    browser = site.browser(site.card("bob"))
    page = browser.submit(browser.get(f"{site.deps.issuer}/binding").form())
    browser.submit(page.form(), {"code": binding_code})

    started = site.start_device()
    site.poll(started)
    approving, decision = site.reach_decision(alice, started)
    approving.submit(decision.form(), button="approve")
    tokens = site.poll(started).json()
    site.poll(started)
    form = {"grant_type": "refresh_token", "client_id": ADMIN_TOOL, "refresh_token": tokens["refresh_token"]}
    refreshed = site.post("/idp/token", form).json()
    site.get("/idp/userinfo", {"authorization": f"Bearer {tokens['access_token']}"})
    site.get("/idp/userinfo", {"authorization": "Bearer wrong.wrong.wrong"})
    signing_in = site.browser(alice.certified)
    signing_in.submit(signing_in.get(f"{site.deps.issuer}/account").form(action="/idp/sign-in"))
    return {
        "binding code": binding_code,
        "binding code without dashes": binding_code.replace("-", ""),
        "device code": started["device_code"],
        "user code": started["user_code"],
        "user code without dash": started["user_code"].replace("-", ""),
        "access token": tokens["access_token"],
        "ID token": tokens["id_token"],
        "refresh token": tokens["refresh_token"],
        "second refresh token": refreshed["refresh_token"],
        "anti-forgery token": decision.form().fields["csrf"],
        **cookies_of("approval", approving),
        **cookies_of("sign-in", signing_in),
    }


def cookies_of(name: str, browser: Browser) -> dict[str, str]:
    assert browser.cookies
    return {f"cookie {cookie} of the {name}": value for (_, cookie), value in browser.cookies.items()}


def everything_kept(site: IdPSite) -> str:
    """Return every row of every table as text."""
    with site.database.snapshot() as tx:
        rows = [row for table in metadata.sorted_tables for row in tx.execute(sa.select(table))]
    return "\n".join(repr(tuple(row)) for row in rows)
