# SPDX-License-Identifier: Apache-2.0
"""Who may approve a device: the person whose card was shown for it, in the browser the code was typed in."""

from etymon.directory.model import Role
from support.appointments import appoint_officer
from support.idp_application import error_of
from support.idp_site import PHONE, IdPSite, claims_of


def test_an_earlier_sign_in_does_not_replace_the_card(site: IdPSite) -> None:
    alice = site.cardholder()
    browser = site.browser(alice.certified)
    assert browser.submit(browser.get(f"{site.deps.issuer}/account").form()).code == "signed_in"
    page = site.type_code(browser, str(site.start_device()["user_code"]))
    authorization = page.form(action="/idp/device/proof").fields["authorization"]

    skipped = browser.get(f"{site.deps.issuer}/device/decision?authorization={authorization}")

    assert (skipped.status, skipped.code) == (404, "page_unknown")


def test_a_derived_credential_approves_nothing(site: IdPSite) -> None:
    derived = site.derived_holder(site.cardholder())

    _, page = site.reach_decision(derived, site.start_device())

    assert (page.status, page.code) == (403, "wrong_certificate_kind")


def test_a_card_that_is_bound_to_nobody_approves_nothing(site: IdPSite) -> None:
    browser = site.browser(site.card("mallory"))
    page = site.type_code(browser, str(site.start_device()["user_code"]))

    refused = browser.submit(page.form())

    assert (refused.status, refused.code) == (403, "certificate_not_bound")


def test_a_proof_made_to_sign_in_approves_nothing(site: IdPSite) -> None:
    alice = site.cardholder()
    browser = site.browser(alice.certified)
    browser.submit(browser.get(f"{site.deps.issuer}/account").form())
    page = site.type_code(browser, str(site.start_device()["user_code"]))
    authorization = page.form(action="/idp/device/proof").fields["authorization"]
    proof = site.newest_proof("sign-in")

    refused = browser.get(f"{site.deps.issuer}/device/decision?authorization={authorization}&proof={proof}")

    assert (refused.status, refused.code) == (403, "proof_not_valid")


def test_a_proof_made_for_one_device_approves_no_other(site: IdPSite) -> None:
    alice = site.cardholder()
    first, second = site.start_device(), site.start_device()
    browser, _ = site.reach_decision(alice, first)
    proof = site.newest_proof("approval")
    other = site.type_code(browser, str(second["user_code"])).form().fields["authorization"]

    refused = browser.get(f"{site.deps.issuer}/device/decision?authorization={other}&proof={proof}")

    assert (refused.status, refused.code) == (403, "proof_not_valid")
    assert error_of(site.poll(second)) == "authorization_pending"


def test_the_browser_that_decides_is_the_one_the_code_was_typed_in(site: IdPSite) -> None:
    started = site.start_device()
    typed_in = site.browser()
    authorization = site.type_code(typed_in, str(started["user_code"])).form().fields["authorization"]
    victim = site.browser(site.cardholder().certified)
    page = victim.get(f"{site.deps.issuer}/device")
    form = page.form()
    form.action, form.fields["authorization"] = "/idp/device/proof", authorization

    refused = victim.submit(form)

    assert (refused.status, refused.code) == (404, "user_code_unknown")


def test_a_decision_is_made_once(site: IdPSite) -> None:
    alice = site.cardholder()
    started = site.start_device()
    browser, page = site.reach_decision(alice, started)
    form = page.form()
    assert browser.submit(form, button="deny").code == "device_denied"

    again = browser.submit(form, button="approve")

    assert (again.status, again.code) == (409, "device_not_waiting")
    assert error_of(site.poll(started)) == "access_denied"


def test_an_account_that_ended_meanwhile_approves_nothing(site: IdPSite) -> None:
    alice = site.cardholder()
    started = site.start_device()
    browser, page = site.reach_decision(alice, started)
    site.directory.end_account(alice.person)

    refused = browser.submit(page.form(), button="approve")

    assert (refused.status, refused.code) == (403, "proof_not_valid")


def test_an_account_that_ended_after_the_approval_gets_no_token(site: IdPSite) -> None:
    alice = site.cardholder()
    started = site.start_device()
    site.decide(alice, started)
    site.directory.end_account(alice.person)

    assert error_of(site.poll(started)) == "invalid_grant"


def test_administration_is_approved_by_a_person_with_a_role_only(site: IdPSite) -> None:
    started = site.start_device(scope="administration")
    waiting, operator = site.cardholder("waiting"), site.cardholder("operator", Role.OPERATOR)
    with site.database.transaction() as tx:
        for each in (waiting, operator):
            appoint_officer(tx, site.directory.deps, each.person)
    for holder in (site.cardholder("bob"), waiting):
        browser, page = site.reach_decision(holder, started)
        refused = browser.submit(page.form(), button="approve")
        assert (refused.status, refused.code) == (403, "access_denied")

    carol = site.cardholder("carol", Role.ADMINISTRATOR, Role.OPERATOR)
    site.decide(carol, started)
    access = claims_of(site.poll(started).json()["access_token"])

    assert access["aud"] == f"{site.deps.site_url}/graph"
    assert access["roles"] == ["administrator", "operator"]

    started = site.start_device(scope="administration")
    site.decide(operator, started)
    assert claims_of(site.poll(started).json()["access_token"])["roles"] == ["operator"]


def test_a_form_from_elsewhere_decides_nothing(site: IdPSite) -> None:
    alice = site.cardholder()
    browser, page = site.reach_decision(alice, site.start_device())
    form = page.form()
    form.fields["csrf"] = "0" * 64

    assert browser.submit(form, button="approve").code == "cross_site_request"


def test_a_card_that_was_unbound_after_its_proof_approves_nothing(site: IdPSite) -> None:
    alice = site.cardholder()
    started = site.start_device(PHONE)
    browser, page = site.reach_decision(alice, started)
    site.unbind(alice.person, "cards")

    refused = browser.submit(page.form(), button="approve")

    assert (refused.status, refused.code) == (403, "proof_not_valid")
    assert error_of(site.poll(started, PHONE)) == "authorization_pending"


def test_a_card_that_was_unbound_after_the_approval_gets_no_token(site: IdPSite) -> None:
    alice = site.cardholder()
    started = site.start_device(PHONE)
    site.decide(alice, started)
    site.unbind(alice.person, "cards")

    assert error_of(site.poll(started, PHONE)) == "invalid_grant"
