# SPDX-License-Identifier: Apache-2.0
"""A client that was written from docs/protocols alone enrolls and gets its credentials; OpenSSL judges them."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.mdm import enrollment_profiles
from etymon.phone import qr_image
from etymon.phone.screen import UserCode
from etymon.pki.certificate import thumbprint
from etymon.server.demo.browser import Browser
from support import site_pages
from support.foreign_phone import PROGRAMS, ForeignPhone
from support.phone_messages import invitation
from support.site_pages import ShownCode, expect
from support.whole_site import ALL_PURPOSES, WholeSite

pytestmark = pytest.mark.needs(*PROGRAMS)


@pytest.fixture
def phone(tmp_path: Path) -> ForeignPhone:
    (tmp_path / "phone").mkdir(mode=0o700)
    return ForeignPhone(tmp_path / "phone")


def code_file(site: WholeSite, directory: Path) -> Path:
    """Scan the enrollment code with some other program and keep its text."""
    file = directory / "code.json"
    file.write_text(qr_image.read(site.enrollment_image()).reveal())
    return file


def approve(site: WholeSite, browser: Browser, printed: str) -> None:
    code, address = (line.partition(" ")[2] for line in printed.strip().splitlines())
    site_pages.approve(browser, UserCode(code, address, site.clock.now()))


def enrolled(site: WholeSite, phone: ForeignPhone, name: str) -> Browser:
    """Enroll from the code to the first check-in; return the PC that approved."""
    browser = site.browser(site.card_for(name, group=ALL_PURPOSES))
    assert "at Example Agency" in phone.say("begin", code_file(site, phone.directory))
    printed = phone.say("device-authorization")
    assert phone.run("poll", "--once").status == 3, "not approved yet"
    approve(site, browser, printed)
    assert phone.say("poll") == "signed in\n"
    assert phone.say("complete").startswith("device ")
    return browser


def linked(site: WholeSite, phone: ForeignPhone, browser: Browser) -> ShownCode:
    expect(site_pages.present_card(browser, site.url), "home")
    shown = site_pages.show_code(browser, site.url)
    said = phone.say("redeem", qr_image.read(shown.image).reveal())
    digits = next(line.rpartition(" ")[2] for line in said.splitlines() if line.startswith("digits"))
    site_pages.confirm(browser, shown.page, digits)
    assert "confirmed for authentication signature encryption" in phone.say("wait-authorization")
    return shown


def test_it_goes_the_whole_way(site: WholeSite, phone: ForeignPhone) -> None:
    browser = enrolled(site, phone, "foreign-alice")
    state = json.loads(phone.say("check-in"))
    assert [policy["type"] for policy in state["policies"]] == ["derivedCredential"]
    assert [note["action"] for note in state["notifications"]] == ["setUpDerivedCredential"]
    assert state["derivedCredential"]["issuer"]["selfService"] == f"{site.url}/issuer/"

    shown = linked(site, phone, browser)
    assert "prime256v1" in phone.say("csrattrs", "signature")
    for command in ("enroll-authentication", "enroll-signature", "serverkeygen"):
        phone.say(command)
    expect(browser.get(shown.page), "completed")
    phone.say("serverkeygen")  # a lost answer: the same key again
    person = site.person("foreign-alice").id
    issued = {
        row["purpose"]: row["thumbprint"] for row in site.rows("issuer_credentials") if row["person_id"] == person
    }
    for purpose, kept in issued.items():
        assert thumbprint(phone.certificate(purpose)) == kept
        judged = verified(phone, purpose)
        assert judged.returncode == 0, judged.stderr
    assert set(issued) == {"authentication", "signature", "encryption"}

    report = {
        "results": [{"policy": state["policies"][0]["policy"], "version": 1, "state": "succeeded", "detail": ""}],
        "credentials": [
            {
                "purpose": purpose,
                "thumbprint": kept.hex(),
                "notAfter": f"{phone.certificate(purpose).not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
            }
            for purpose, kept in issued.items()
        ],
    }
    assert phone.say("check-in", str(state["version"]), "0", json.dumps(report)) == ""
    assert len([row for row in site.rows("device_credentials") if row["thumbprint"] in issued.values()]) == 3


def verified(phone: ForeignPhone, purpose: str) -> subprocess.CompletedProcess[str]:
    """Have OpenSSL build the path from what cacerts gave."""
    use = {"authentication": "sslclient", "signature": "smimesign", "encryption": "smimeencrypt"}[purpose]
    cas, leaf = phone.directory / "credential-cas.pem", phone.directory / f"{purpose}.pem"
    alone = ("-no-CApath", "-no-CAstore")
    command: list[str | Path] = ["openssl", "verify", "-x509_strict", *alone, "-purpose", use, "-CAfile", cas, leaf]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_typed_token_is_enough_where_the_server_is_trusted(
    site: WholeSite, phone: ForeignPhone, tmp_path: Path
) -> None:
    anchors = tmp_path / "tls.pem"
    anchors.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in site.server_anchors))
    found = invitation(site)
    phone.say("begin", found.server, found.token.reveal().lower(), anchors)
    phone.say("fresh-assertion")
    printed = phone.say("device-authorization")
    approve(site, site.browser(site.card_for("foreign-typed")), printed)
    phone.say("poll")
    phone.say("complete")
    assert phone.say("complete").startswith("device "), "a lost answer"
    assert json.loads(phone.say("check-in"))["version"] >= 1


def test_it_is_told_why_it_is_refused(site: WholeSite, phone: ForeignPhone, tmp_path: Path) -> None:
    anchors = tmp_path / "tls.pem"
    anchors.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in site.server_anchors))
    found = invitation(site)
    assert phone.refused("begin", found.server, "A" * 32, anchors).startswith("refused: 403 enrollment_token_unknown")
    browser = site.browser(site.card_for("foreign-refused"))
    phone.say("begin", code_file(site, phone.directory))
    printed = phone.say("device-authorization")
    code, address = (line.partition(" ")[2] for line in printed.strip().splitlines())
    page = site_pages.enter_code(browser, UserCode(code, address, site.clock.now()))
    page = site_pages.prove_for_approval(browser, page)
    browser.submit(page.form(action="/idp/device/decision"), button="deny")
    assert phone.refused("poll").startswith("refused: 400 access_denied")

    browser = enrolled(site, phone, "foreign-refused-2")
    (phone.directory / "device.key").unlink()
    (phone.directory / "device.csr").unlink()
    assert phone.refused("complete").startswith("refused: 409 session_already_completed")


def test_it_gets_nothing_by_a_link_that_was_refused_or_used(site: WholeSite, phone: ForeignPhone) -> None:
    browser = enrolled(site, phone, "foreign-link")
    expect(site_pages.present_card(browser, site.url), "home")
    shown = site_pages.show_code(browser, site.url)
    link = qr_image.read(shown.image).reveal()
    assert phone.refused("redeem", re.sub(r"&s=[^&]*", f"&s={'A' * 22}", link)).startswith(
        "refused: 403 link_secret_wrong"
    )
    phone.say("redeem", link)
    page = expect(browser.get(shown.page), "redeemed")
    browser.submit(page.form(action="/deny"))
    assert phone.refused("wait-authorization").startswith("refused: 403 link_denied")
    assert phone.refused("redeem", link).startswith("refused: 403 link_denied")
    linked(site, phone, site.browser(site.card_for("foreign-link")))
    phone.say("enroll-authentication")
    (phone.directory / "authentication.csr").unlink()
    assert phone.refused("enroll-authentication").startswith("refused: 409")


def test_a_revoked_token_ends_what_the_code_promised(own_site: WholeSite, phone: ForeignPhone) -> None:
    file = code_file(own_site, phone.directory)
    phone.say("begin", file)
    with own_site.deployment.database.transaction() as tx:
        (profile,) = enrollment_profiles.page(tx, own_site.wiring.mdm, after=None, limit=2)
        enrollment_profiles.revoke_token(tx, own_site.wiring.mdm, profile.id, actor="test")
    assert phone.refused("begin", file).startswith("refused: 403 enrollment_token_unknown")
