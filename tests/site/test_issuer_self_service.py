# SPDX-License-Identifier: Apache-2.0
"""The cardholder's way through the pages, over TLS, and what the pages refuse."""

import dataclasses
import re

import pytest

from etymon.issuer import approval, follow_ups, holds
from etymon.issuer.holds import Order
from etymon.issuer.initial_issuance import Begun
from etymon.issuer.model import Approval, DerivationState, Purpose
from etymon.issuer.store import derivations
from etymon.wire import link_qr
from support import declared_pki
from support.browser import Browser, Page
from support.issuer_listeners import RunningIssuer
from support.issuer_site import Link, sha256
from support.issuer_story import scanned_code


def sign_in(browser: Browser, issuer: RunningIssuer) -> Page:
    browser.get(f"{issuer.site.deps.issuer_url}/")
    assert browser.page is not None
    return browser.submit(browser.page.form(action="/issuer/card"))


def show_code(browser: Browser) -> tuple[Page, Begun]:
    page = browser.follow("Set up a phone")
    assert page.code == "duties", page.words
    page = browser.submit(page.form(action="/issuer/derivations"), {"accepted": "yes"})
    assert page.code == "qr", page.words
    return page, scanned_code(page)


def state_of(issuer: RunningIssuer, begun: Begun) -> DerivationState:
    with issuer.site.database.snapshot() as tx:
        found = derivations.find(tx, begun.derivation.id)
    assert found is not None
    return found.state


def test_a_cardholder_sets_up_a_phone(issuer: RunningIssuer) -> None:
    site = issuer.site
    browser = issuer.browser(site.card)
    page = sign_in(browser, issuer)
    assert page.code == "home"
    assert "Alice Example" in page.words
    assert "No phone has credentials in your name." in page.words

    _, begun = show_code(browser)
    phone = site.phone()
    linked = site.redeem(phone, begun)
    page = browser.follow("My phone shows six digits")
    assert page.code == "redeemed"
    assert f"{linked.digits[:3]} {linked.digits[3:]}" in page.words
    assert "Google Pixel 9" in page.words
    scanned = link_qr.decode(begun.qr.reveal())
    assert linked.digits == link_qr.six_digits(scanned.secret, scanned.link, sha256(phone.spki))

    page = browser.submit(page.form(action="/confirm"))
    assert page.code == "confirmed"
    authorized = site.authorization(phone, begun)
    assert authorized is not None
    link = Link(site, phone, site.present_card(), begun, authorized)
    for purpose in Purpose:
        link.enroll(purpose)
    page = browser.get(page.url)
    assert page.code == "completed"
    assert "sign in once with the phone" in page.words  # SP 800-63B-4 4.1: confirm that it works
    assert f"{page.url}/end" in browser.follow("End these credentials").url
    page = browser.get(page.url)

    page = browser.follow("Done")
    assert "valid until" in page.words
    assert "You have credentials on 1 device already." in page.words


def test_a_cardholder_asks_is_refused_asks_again_and_is_approved(issuer: RunningIssuer) -> None:
    site = issuer.site
    site.save_rule(approval=Approval.SECOND_PERSON)
    browser = issuer.browser(site.card)
    page = sign_in(browser, issuer)
    refused = browser.get(f"{site.deps.issuer_url}/derivations/new")
    assert (refused.status, refused.code) == (403, "approval_required")
    for is_approved in (False, True):
        page = browser.submit(page.form(action="/issuer/requests"))
        assert "You asked for approval on" in page.words
        with site.database.snapshot() as tx:
            (asked,) = approval.undecided(tx, site.deps)
        if is_approved:
            approval.approve(site.deps, asked.id, officer=site.officer.id)
        else:
            approval.refuse(site.deps, asked.id, "Not this <month>.", officer=site.officer.id)
        page = browser.get(page.url)
        assert ("An officer approved your request." if is_approved else "Not this <month>.") in page.words
    show_code(browser)
    site.save_rule()
    assert browser.get(f"{site.deps.issuer_url}/").code == "home"


def test_the_cardholder_ends_what_a_lost_phone_has(issuer: RunningIssuer) -> None:
    site = issuer.site
    link = site.linked()
    certificate = link.enroll().certificate
    browser = issuer.browser(site.card)
    sign_in(browser, issuer)
    page = browser.follow("End these credentials")
    assert page.code == "end"
    refused = browser.submit(page.form(action="/end"))
    assert (refused.status, refused.code) == (400, "malformed")
    assert not site.is_revoked(certificate)
    page = browser.get(f"{site.deps.issuer_url}/derivations/{link.begun.derivation.id}/end")
    page = browser.submit(page.form(action="/end"), {"reason": "keyCompromise"})
    assert page.code == "home"
    assert "They are not accepted any more" in page.words
    assert site.is_revoked(certificate)


def test_a_mislaid_phone_is_put_on_hold_and_restored_with_the_card(issuer: RunningIssuer) -> None:
    site = issuer.site
    link = site.linked()
    certificate = link.enroll().certificate
    browser, home = issuer.browser(site.card), f"{site.deps.issuer_url}/"
    page = sign_in(browser, issuer)
    assert "Put them on hold" not in page.words  # it is being set up
    site.turn(minutes=16)
    follow_ups.sweep(site.deps)
    site.work()
    site.mail()
    sign_in(browser, issuer)
    page = browser.follow("Put them on hold")
    assert page.code == "hold"
    assert "within 30 days" in page.words
    page = browser.submit(page.form(action="/hold"))
    assert "The credentials are on hold." in page.words
    assert "On hold: refused everywhere. Unless they are restored before" in page.words
    assert "Sign-in on hold" in page.words
    (mail,) = site.mail()
    site.turn(minutes=11)  # the card was presented too long ago to stand for the person anew
    stale = page.form(action="/restore")
    page = browser.get(home)
    assert "/restore" not in page.text
    refused = browser.submit(stale)
    assert (refused.status, refused.code) == (403, "card_proof_old")
    assert site.events("issuer:hold:refused")[0].facts["code"] == "card_proof_old"
    page = browser.get(home)
    page = browser.submit(browser.submit(page.form(action="/issuer/card")).form(action="/restore"))
    assert "The credentials are accepted again." in page.words
    assert "valid until" in page.words
    page = browser.submit(browser.follow("Put them on hold").form(action="/hold"))
    (undo,) = re.findall(r"https://\S+/undo/\S+", str(mail["text"]))
    page = browser.get(undo)
    assert [form.action.rpartition("/")[0] for form in page.forms] == ["/issuer/undo"]  # which ends, and nothing else
    assert browser.submit(page.form(action="/undo/")).code == "undone"
    assert site.is_revoked(certificate)


def test_what_an_officer_holds_and_what_is_another_persons_is_not_restored_on_the_page(issuer: RunningIssuer) -> None:
    site = issuer.site
    link = site.linked()
    link.enroll()
    path = f"{site.deps.issuer_url}/derivations/{link.begun.derivation.id}"
    site.turn(minutes=16)
    follow_ups.sweep(site.deps)
    browser = issuer.browser(site.card)
    page = sign_in(browser, issuer)
    holding = browser.follow("Put them on hold").form(action="/hold")
    holds.hold(site.deps, link.begun.derivation.id, Order(site.officer.id, "Suspected."))
    refused = browser.submit(holding)
    assert (refused.status, refused.code) == (409, "credentials_held")
    page = browser.get(f"{site.deps.issuer_url}/")
    assert "An officer of your organization put them on hold." in page.words
    assert "/restore" not in page.text
    crafted = dataclasses.replace(holding, action=holding.action.replace("/hold", "/restore"))
    refused = browser.submit(crafted)
    assert (refused.status, refused.code) == (403, "held_by_officer")
    colleague = issuer.browser(site.bound_card(site.colleague()))
    page = sign_in(colleague, issuer)
    assert colleague.get(f"{path}/hold").code == "derivation_unknown"
    assert issuer.browser(site.card).get(f"{path}/hold").code == "start"  # nobody signed in


def test_a_refused_phone_is_told_apart(issuer: RunningIssuer) -> None:
    site = issuer.site
    browser = issuer.browser(site.card)
    sign_in(browser, issuer)
    _, begun = show_code(browser)
    site.redeem(site.phone(), begun)
    page = browser.follow("My phone shows six digits")
    page = browser.submit(page.form(action="/deny"))
    assert page.code == "denied"
    assert state_of(issuer, begun) is DerivationState.DENIED


def test_the_page_of_the_code_gives_nothing_away(issuer: RunningIssuer) -> None:
    browser = issuer.browser(issuer.site.card)
    sign_in(browser, issuer)
    page, begun = show_code(browser)
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not page.forms  # a form would carry an origin
    fragment = begun.qr.reveal().partition("#")[2]
    assert fragment not in page.text
    assert dict(pair.split("=") for pair in fragment.split("&"))["s"] not in page.text
    foreign = [url for url, _ in page.links if url.startswith("http")]
    assert foreign == []
    for header in ("referrer-policy", "x-frame-options"):
        assert browser.get(f"{issuer.site.deps.issuer_url}/link").headers[header]


def test_the_code_is_shown_once(issuer: RunningIssuer) -> None:
    browser = issuer.browser(issuer.site.card)
    sign_in(browser, issuer)
    _, begun = show_code(browser)
    page = browser.get(f"{issuer.site.deps.issuer_url}/derivations/{begun.derivation.id}")
    assert page.code == "begun"
    assert "<svg" not in page.text


def test_the_script_is_told_when_something_changed(issuer: RunningIssuer) -> None:
    site = issuer.site
    browser = issuer.browser(site.card)
    sign_in(browser, issuer)
    _, begun = show_code(browser)
    address = f"{site.deps.issuer_url}/derivations/{begun.derivation.id}/state"
    assert '"state":"begun:0"' in browser.get(address).text
    site.redeem(site.phone(), begun)
    assert '"state":"redeemed:0"' in browser.get(address).text
    site.turn(minutes=11)
    assert '"state":"expired:0"' in browser.get(address).text
    assert issuer.browser().get(address).status == 401


# ---- the card


def test_without_a_card_nothing_is_shown(issuer: RunningIssuer) -> None:
    browser = issuer.browser()
    page = sign_in(browser, issuer)
    assert (page.status, page.code) == (401, "no_certificate")
    page = browser.follow("Back")
    assert page.code == "start"
    assert "You came back without a certificate" in page.words
    for path in ("/derivations/new", f"/derivations/{issuer.site.alice.id}"):
        assert browser.get(issuer.site.deps.issuer_url + path).code == "start"


def test_a_derived_credential_is_no_card(issuer: RunningIssuer) -> None:
    link = issuer.site.linked()
    derived = declared_pki.Certified(link.enroll().certificate, link.phone.key)
    page = sign_in(issuer.browser(derived), issuer)
    assert (page.status, page.code) == (403, "wrong_certificate_kind")


def test_a_device_identity_is_no_card(issuer: RunningIssuer) -> None:
    phone = issuer.site.phone()
    assert phone.device is not None
    assert phone.device_key is not None
    page = sign_in(issuer.browser(declared_pki.Certified(phone.device, phone.device_key)), issuer)
    assert (page.status, page.code) == (403, "wrong_certificate_kind")


def test_a_revoked_card_opens_nothing(issuer: RunningIssuer) -> None:
    issuer.site.card_status.revoked.add(issuer.site.card.certificate.serial_number)
    page = sign_in(issuer.browser(issuer.site.card), issuer)
    assert (page.status, page.code) == (403, "revoked_by_crl")
    (refused,) = issuer.site.events("issuer:card:refused")
    assert refused.facts["code"] == "revoked_by_crl"


def test_a_card_whose_status_nobody_tells_opens_nothing(issuer: RunningIssuer) -> None:
    issuer.site.card_status.answers = False
    assert sign_in(issuer.browser(issuer.site.card), issuer).code == "status_unavailable"


def test_a_card_that_is_bound_to_nobody_opens_nothing(issuer: RunningIssuer) -> None:
    site = issuer.site
    stranger = site.cards.issue(site.clock.now(), "Stranger", upn="stranger@agency.example")
    assert sign_in(issuer.browser(stranger), issuer).code == "card_not_bound"


def test_an_old_session_presents_the_card_again(issuer: RunningIssuer) -> None:
    site = issuer.site
    browser = issuer.browser(site.card)
    sign_in(browser, issuer)
    site.turn(minutes=6)
    page = browser.get(f"{site.deps.issuer_url}/")
    assert "present your card once more" in page.words
    assert browser.get(f"{site.deps.issuer_url}/derivations/new").code == "home"
    page = browser.submit(browser.get(f"{site.deps.issuer_url}/").form(action="/issuer/card"))
    assert page.code == "duties"
    site.turn(minutes=16)
    assert browser.get(f"{site.deps.issuer_url}/").code == "start"


def test_a_session_ends_with_the_account(issuer: RunningIssuer) -> None:
    site = issuer.site
    browser = issuer.browser(site.card)
    sign_in(browser, issuer)
    site.end_account(site.alice)
    assert "Your account has ended" in browser.get(f"{site.deps.issuer_url}/").words
    site.account_ended(site.alice)
    assert browser.get(f"{site.deps.issuer_url}/").code == "start"


def test_signing_out_ends_the_session(issuer: RunningIssuer) -> None:
    browser = issuer.browser(issuer.site.card)
    page = sign_in(browser, issuer)
    assert browser.submit(page.form(action="/issuer/sign-out")).code == "start"
    assert browser.get(f"{issuer.site.deps.issuer_url}/").code == "start"


# ---- what a hostile page would send


def test_the_duties_are_accepted_by_a_tick(issuer: RunningIssuer) -> None:
    browser = issuer.browser(issuer.site.card)
    sign_in(browser, issuer)
    page = browser.follow("Set up a phone")
    assert browser.submit(page.form(action="/issuer/derivations")).code == "duties_not_accepted"


def test_another_person_sees_and_ends_nothing(issuer: RunningIssuer) -> None:
    site = issuer.site
    link = site.linked()
    browser = issuer.browser(site.bound_card(site.colleague()))
    sign_in(browser, issuer)
    address = f"{site.deps.issuer_url}/derivations/{link.begun.derivation.id}"
    for path in (address, f"{address}/end"):
        page = browser.get(path)
        assert (page.status, page.code) == (404, "derivation_unknown")
    assert browser.get(f"{site.deps.issuer_url}/derivations/x").status == 404


@pytest.mark.parametrize("action", ["confirm", "deny", "end"])
def test_forms_without_their_token_change_nothing(issuer: RunningIssuer, action: str) -> None:
    site = issuer.site
    browser = issuer.browser(site.card)
    sign_in(browser, issuer)
    _, begun = show_code(browser)
    phone = site.phone()
    site.redeem(phone, begun)
    page = browser.follow("My phone shows six digits")
    form = page.form(action="/confirm")
    form.action = f"/issuer/derivations/{begun.derivation.id}/{action}"
    refused = browser.submit(form, {"csrf": "0" * 64, "reason": "keyCompromise"})
    assert (refused.status, refused.code) == (403, "cross_site_request")
    assert state_of(issuer, begun) is DerivationState.REDEEMED


# ---- the undo link


def test_the_link_in_a_notice_ends_what_it_told_of(issuer: RunningIssuer) -> None:
    site = issuer.site
    site.mail()
    link = site.linked()
    certificate = link.enroll().certificate
    (address,) = {
        word for notice in site.mail() for word in notice["text"].split() if word.startswith(site.deps.issuer_url)
    }
    browser = issuer.browser()
    page = browser.get(address)
    assert page.code == "undo"
    assert not site.is_revoked(certificate)  # looking ends nothing: mail programs look at links
    page = browser.submit(page.form())
    assert page.code == "undone"
    assert site.is_revoked(certificate)
    assert browser.get(address).code == "undo_over"
    (told,) = [notice for notice in site.mail() if "ended" in notice["subject"]]
    assert told["to"] == ["alice@agency.example"]


def test_an_undo_link_that_was_never_sent_is_unknown(issuer: RunningIssuer) -> None:
    base = f"{issuer.site.deps.issuer_url}/undo"
    for wrong in (issuer.site.alice.id, "x"):
        assert issuer.browser().get(f"{base}/{wrong}").status == 404
