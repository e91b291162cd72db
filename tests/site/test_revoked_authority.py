# SPDX-License-Identifier: Apache-2.0
"""What a cardholder and an endpoint manager are told of credentials whose authority was revoked."""

import pytest

from etymon.ca.model import RevocationReason
from etymon.issuer.model import Purpose
from etymon.pki.certificate import thumbprint
from etymon.web.documents import shown_time
from support import next_authority
from support.issuer_listeners import RunningIssuer
from support.issuer_site import Link
from support.issuer_story import key_manager


@pytest.fixture
def link(issuer: RunningIssuer) -> Link:
    link = issuer.site.linked()
    for purpose in Purpose:
        link.enroll(purpose)
    return link


def test_the_self_service_page_says_that_they_do_not_work_why_and_what_to_do(issuer: RunningIssuer, link: Link) -> None:
    site = issuer.site
    browser = issuer.browser(site.card)
    page = browser.get(f"{site.deps.issuer_url}/")
    page = browser.submit(page.form(action="/issuer/card"))
    assert "valid until" in page.words
    assert "You have credentials on 1 device already." in page.words
    next_authority.revoke(site, "derived")
    page = browser.get(f"{site.deps.issuer_url}/")
    assert "These credentials do not work any more" in page.words
    assert page.words.count("not accepted any more") == len(Purpose)
    assert "Nothing can be issued just now" in page.words, "it has no successor yet"
    for untrue in ("set this phone up again", "valid until", "Put them on hold", "You have credentials on 1 device"):
        assert untrue not in page.words
    refused = browser.get(f"{site.deps.issuer_url}/derivations/new")
    assert (refused.status, refused.code) == (503, "authority_revoked")
    page = browser.get(f"{site.deps.issuer_url}/derivations/{link.begun.derivation.id}")
    assert page.code == "completed"
    assert "These credentials do not work any more" in page.words
    assert "The credentials are on your phone" not in page.words


def test_for_an_endpoint_manager_they_are_over(issuer: RunningIssuer, link: Link) -> None:
    assert link.phone.device is not None
    manager, device = key_manager(issuer), thumbprint(link.phone.device).hex()
    before = manager.get("credentials", device=device).json()["credentials"]
    assert {(each["state"], each["authorityRevoked"]) for each in before} == {("active", False)}
    next_authority.revoke(issuer.site, "derived", RevocationReason.SUPERSEDED)
    over = manager.get("credentials", device=device).json()["credentials"]
    assert {(each["state"], each["reason"], each["authorityRevoked"]) for each in over} == {
        ("ended", "superseded", True)
    }
    assert {each["endedAt"] for each in over} == {shown_time(issuer.site.clock.now())}
    assert [each["credential"] for each in over] == [each["credential"] for each in before]
