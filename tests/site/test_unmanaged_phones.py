# SPDX-License-Identifier: Apache-2.0
"""A phone that nobody manages, on a whole site: set up where the rule allows, refused where it does not."""

import re
from pathlib import Path

import pytest

from etymon.directory import people
from etymon.issuer.model import Purpose as IssuerPurpose
from etymon.kernel.errors import NotAuthenticated
from etymon.phone.state import Purpose
from etymon.server.demo.browser import Browser
from support import site_pages
from support.held_phone import HeldPhone
from support.issuer_phone import Phone
from support.phone_messages import Linking, told
from support.site_pages import ShownCode, expect
from support.terminal import typing
from support.whole_site import ALL_PURPOSES, OWN_PHONES, TEST, WholeSite


def test_it_is_set_up_from_factory_new_and_signs_in_until_the_account_ends(either_site: WholeSite) -> None:
    site = either_site
    card = site.card_for("volunteer", group=OWN_PHONES)
    held = site.derive(site.new_phone(roots=site.server_anchors), card)
    status = held.phone.status()
    assert status.membership is None
    assert [certificate.purpose for certificate in status.certificates] == list(Purpose)
    person = site.person("volunteer")
    rows = [row for row in site.rows("issuer_credentials") if row["person_id"] == person.id]
    assert {(row["purpose"], row["state"], row["device_thumbprint"]) for row in rows} == {
        (purpose.value, "active", None) for purpose in Purpose
    }
    page = site_pages.present_card(site.browser(card), site.url)
    assert "Google Pixel 9" in expect(page, "home").words

    held.unlock()
    expect(site_pages.sign_in(site.browser(held.credential()), site.url), "signed_in")
    with site.deployment.database.transaction() as tx:
        people.end_account(tx, site.wiring.directory, person.id, actor=TEST)
    site.settle()
    refused = site_pages.sign_in(site.browser(held.credential()), site.url)
    assert refused.status == 403, refused.words


def test_the_pc_says_that_nobody_manages_it(site: WholeSite) -> None:
    shown, browser = code_for(site, "volunteer-looks", OWN_PHONES)
    link = Linking(site, shown)
    assert link.redeem(link.client(None)).is_success
    assert "no, this is a phone nobody manages" in expect(browser.get(shown.page), "redeemed").words


def test_where_the_rule_is_for_managed_phones_it_is_refused_and_leaves_no_trace(either_site: WholeSite) -> None:
    site = either_site
    shown, browser = code_for(site, "employee", ALL_PURPOSES)
    held = site.new_phone()
    before = site.state()
    with pytest.raises(NotAuthenticated, match="device_identity_required"):
        held.phone.set_up_derived_credential(shown.image, held)
    assert not held.phone.status().setting_up
    assert site.state() == before
    expect(browser.get(shown.page), "begun")
    managed = site.enroll(held, site.card_for("employee"))  # and once it is managed, the same code is good
    site.link(managed, browser, shown)
    assert len(held.phone.status().certificates) == 3


def code_for(site: WholeSite, name: str, group: str) -> tuple[ShownCode, Browser]:
    browser = site.browser(site.card_for(name, group=group))
    expect(site_pages.present_card(browser, site.url), "home")
    return site_pages.show_code(browser, site.url), browser


def test_its_authorization_is_of_no_use_to_a_managed_phone_or_another_key(site: WholeSite) -> None:
    managed = site.enroll(site.new_phone(), site.card_for("volunteer-thief", group=OWN_PHONES))
    shown, browser = code_for(site, "volunteer-robbed", OWN_PHONES)
    link = Linking(site, shown)
    nobody, somebody = link.client(None), link.client(managed.identity)
    digits = link.redeem(nobody).json()["digits"]
    other_key = Linking(site, shown, Phone(None))
    for intruder, door in ((other_key, nobody), (other_key, somebody), (link, somebody)):
        assert told(intruder.redeem(door)) == (409, "link_already_redeemed")
    site_pages.confirm(browser, shown.page, digits)
    authorization = link.ask(nobody).json()["authorization"]
    assert told(link.ask(somebody)) == (403, "other_device")
    assert told(other_key.ask(nobody)) == (403, "link_proof_wrong")
    for purpose in IssuerPurpose:
        assert told(link.enroll(somebody, authorization, purpose)) == (403, "other_device")
        assert told(other_key.enroll(nobody, authorization, purpose)) == (403, "link_proof_wrong")
        assert link.enroll(nobody, authorization, purpose).is_success


def test_a_managed_phones_link_is_not_taken_over_by_one_without_an_identity(site: WholeSite) -> None:
    managed: HeldPhone = site.enroll(site.new_phone(), site.card_for("volunteer-managed", group=OWN_PHONES))
    shown, browser = code_for(site, "volunteer-managed", OWN_PHONES)
    link = Linking(site, shown)
    nobody, somebody = link.client(None), link.client(managed.identity)
    digits = link.redeem(somebody).json()["digits"]
    other_key = Linking(site, shown, Phone(None))
    for intruder in (link, other_key):
        assert told(intruder.redeem(nobody)) == (409, "link_already_redeemed")
    site_pages.confirm(browser, shown.page, digits)
    assert told(link.ask(nobody)) == (403, "other_device")
    authorization = link.ask(somebody).json()["authorization"]
    for purpose in IssuerPurpose:
        assert told(link.enroll(nobody, authorization, purpose)) == (403, "other_device")
        assert link.enroll(somebody, authorization, purpose).is_success


def test_at_the_command_line_it_ends_when_there_is_nobody_to_stay_in_touch_with(
    site: WholeSite, tmp_path: Path
) -> None:
    shown, browser = code_for(site, "volunteer-commands", OWN_PHONES)
    (tmp_path / "code.png").write_bytes(shown.image)
    with typing("phone", "new", str(tmp_path / "phone")) as terminal:
        assert terminal.end() == 0, terminal.text
    with typing("phone", "run", str(tmp_path / "phone"), "--link-qr", str(tmp_path / "code.png")) as terminal:
        digits = "".join(terminal.wait_for(r"\n\s+(\d{3}) (\d{3})\s").groups())
        site_pages.confirm(browser, shown.page, digits)
        for prompt in ("Choose an activation secret.*: ", "The same again: "):
            terminal.wait_for(prompt)
            terminal.type("a secret of mine")
        terminal.wait_for("Your derived credential is ready: authentication, signature, encryption")
        terminal.wait_for("Nobody manages this phone")
        assert terminal.end() == 0, terminal.text
    with typing("phone", "status", str(tmp_path / "phone")) as terminal:
        assert terminal.end() == 0, terminal.text
        assert "factory-new, managed by nobody" in terminal.text
        assert re.search(r"Certificate .*Thumbprint .*Until .*State ", terminal.text)
        assert "in use" in terminal.text
    with typing("phone", "run", str(tmp_path / "phone")) as terminal:
        assert terminal.end() == 2, terminal.text
        assert "Give the enrollment code" in terminal.text
