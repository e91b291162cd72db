# SPDX-License-Identifier: Apache-2.0
"""Signing in at a browser, first binding, signing out, undo, and the end of an account."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from cryptography.x509.oid import ExtendedKeyUsageOID

from etymon.directory import bindings
from etymon.directory.model import Person
from etymon.idp import accounts, duties
from etymon.idp.tables import proofs
from etymon.idp.undo import APPROVAL_UNDONE
from etymon.storage.jobs import claim
from support.browser import Browser, Page
from support.declared_pki import Certified
from support.idp_application import request_for
from support.idp_site import ADMIN_TOOL, PHONE, Holder, IdPSite


def sign_in(site: IdPSite, certified: Certified | None) -> tuple[Browser, Page]:
    browser = site.browser(certified)
    return browser, browser.submit(browser.get(f"{site.deps.issuer}/account").form(action="/idp/sign-in"))


def account(site: IdPSite, browser: Browser) -> Page:
    return browser.get(f"{site.deps.issuer}/account")


# ---- signing in


def test_a_card_signs_in_and_the_page_says_who(site: IdPSite) -> None:
    browser, page = sign_in(site, site.cardholder().certified)

    assert page.code == "signed_in"
    assert "alice@example.test" in page.words
    assert "Smart card" in page.words
    assert account(site, browser).code == "signed_in"


def test_a_derived_credential_signs_in_and_the_page_says_so(site: IdPSite) -> None:
    _, page = sign_in(site, site.derived_holder(site.cardholder()).certified)

    assert "Derived credential" in page.words


WRONG: dict[str, tuple[Callable[[IdPSite], Certified | None], int, str]] = {
    "none": (lambda _: None, 401, "no_certificate"),
    "stranger": (
        lambda site: site.strangers.issue(site.clock.now(), upn="alice@example.test"),
        403,
        "untrusted_root",
    ),
    "expired": (lambda site: site.card(ends=timedelta(seconds=-1)), 403, "expired"),
    "not yet": (lambda site: site.card(starts=timedelta(seconds=1)), 403, "not_yet_valid"),
    "policy": (lambda site: site.card(policies=("2.999.7.99",)), 403, "wrong_policy"),
    "unbound": (lambda site: site.card("mallory"), 403, "certificate_not_bound"),
    "foreign suffix": (
        lambda site: site.cards.issue(site.clock.now(), upn="alice@evil.test"),
        403,
        "identifier_missing",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_certificate_that_is_not_good_is_refused_with_its_reason(site: IdPSite, wrong: str) -> None:
    site.cardholder()
    make, status, code = WRONG[wrong]

    browser, page = sign_in(site, make(site))

    assert (page.status, page.code) == (status, code), page.words
    assert page.headers["connection"] == "close"
    assert account(site, browser).code == "sign_in"
    assert ("idp:certificate:refused" in site.directory.events()) is (wrong != "none")


@pytest.mark.parametrize("purpose", ["account", "binding", "device"])
@pytest.mark.parametrize("code", ["revoked_by_crl", "status_unavailable"])
def test_revoked_or_perhaps_revoked_is_refused_for_whatever_it_is_shown(site: IdPSite, purpose: str, code: str) -> None:
    alice = site.cardholder()
    browser = site.browser(alice.certified)
    page = browser.get(f"{site.deps.issuer}/{purpose}")
    if purpose == "device":
        page = site.type_code(browser, str(site.start_device()["user_code"]))
    site.records.silent = code == "status_unavailable"
    site.records.revoked.add(alice.certified.certificate.serial_number)

    refused = browser.submit(page.form())

    assert (refused.status, refused.code) == (403, code)


def test_the_account_that_ended_does_not_sign_in(site: IdPSite) -> None:
    alice = site.cardholder()
    site.directory.end_account(alice.person)

    _, page = sign_in(site, alice.certified)

    assert page.code == "certificate_not_bound"


def test_what_was_done_is_on_record(site: IdPSite) -> None:
    alice = site.cardholder()
    browser, page = sign_in(site, alice.certified)
    browser.submit(page.form(action="/idp/sign-out"))
    started = site.start_device()
    site.decide(alice, started)
    site.poll(started)

    events = [name for name in site.directory.events() if name.startswith("idp:")]
    assert set(events) == {
        "idp:client:registered",
        "idp:session:started",
        "idp:session:ended",
        "idp:device_authorization:started",
        "idp:device_authorization:approved",
        "idp:grant:started",
    }


def test_signing_in_makes_a_new_cookie(site: IdPSite) -> None:
    browser = site.browser(site.cardholder().certified)
    page = browser.get(f"{site.deps.issuer}/account")
    before = dict(browser.cookies)
    browser.submit(page.form(action="/idp/sign-in"))

    (name,) = {name for _, name in before}
    assert name == "__Host-etymon-idp"
    assert before["127.0.0.1", name] != browser.cookies["127.0.0.1", name]


def test_a_planted_cookie_is_not_signed_in(site: IdPSite) -> None:
    victim = site.browser(site.cardholder().certified)
    victim.cookies["127.0.0.1", "__Host-etymon-idp"] = "planted"
    victim.submit(account(site, victim).form(action="/idp/sign-in"))
    attacker = site.browser()
    attacker.cookies["127.0.0.1", "__Host-etymon-idp"] = "planted"

    assert account(site, attacker).code == "sign_in"
    assert account(site, victim).code == "signed_in"


@pytest.mark.parametrize(("idle", "code"), [(timedelta(minutes=14), "signed_in"), (timedelta(minutes=15), "sign_in")])
def test_a_session_ends_when_it_is_left_alone(site: IdPSite, idle: timedelta, code: str) -> None:
    browser, _ = sign_in(site, site.cardholder().certified)
    site.clock.advance(idle)

    assert account(site, browser).code == code


def test_a_session_in_use_ends_after_eight_hours(site: IdPSite) -> None:
    browser, _ = sign_in(site, site.cardholder().certified)
    for _ in range(8 * 60 // 10 - 1):
        site.clock.advance(timedelta(minutes=10))
        assert account(site, browser).code == "signed_in"
    site.clock.advance(timedelta(minutes=10))

    assert account(site, browser).code == "sign_in"


def test_signing_out_ends_the_session_at_the_server(site: IdPSite) -> None:
    browser, page = sign_in(site, site.cardholder().certified)
    cookie = dict(browser.cookies)

    assert browser.submit(page.form(action="/idp/sign-out")).code == "signed_out"
    browser.cookies.update(cookie)
    assert account(site, browser).code == "sign_in"


def test_a_session_ends_with_the_binding_it_stands_on(site: IdPSite) -> None:
    alice = site.cardholder()
    browser, _ = sign_in(site, alice.certified)
    site.unbind(alice.person, "cards")

    assert account(site, browser).code == "sign_in"


def test_a_form_of_another_site_signs_nobody_in(site: IdPSite) -> None:
    browser = site.browser(site.cardholder().certified)
    form = account(site, browser).form(action="/idp/sign-in")
    for csrf in ("", "0" * 64):
        form.fields["csrf"] = csrf
        assert browser.submit(form).code == "cross_site_request"


@pytest.mark.parametrize("wanted", ["https://evil.test/", "//evil.test/", "/mdm/", "/idp/authorize", "javascript:x"])
def test_signing_in_leads_to_nowhere_but_our_own_pages(site: IdPSite, wanted: str) -> None:
    browser = site.browser(site.cardholder().certified)
    form = account(site, browser).form(action="/idp/sign-in")
    form.fields["continue"] = wanted

    assert browser.submit(form).url == f"{site.deps.issuer}/account"


# ---- first binding


def test_what_anybody_may_have_kept_is_small(site: IdPSite) -> None:
    browser = site.browser()
    form = browser.get(f"{site.deps.issuer}/account").form()

    refused = browser.submit(form, {"continue": request_for(padding="x" * 30_000)})

    assert (refused.status, refused.code) == (400, "request_too_long")
    with site.database.snapshot() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(proofs)) == 0


def code_of(site: IdPSite, person: Person) -> str:
    with site.database.transaction() as tx:
        return bindings.issue_code(tx, site.deps, person_id=person.id, actor="person:officer").reveal()


def show_card(site: IdPSite, certified: Certified) -> tuple[Browser, Page]:
    browser = site.browser(certified)
    return browser, browser.submit(browser.get(f"{site.deps.issuer}/binding").form())


def test_a_code_and_a_card_make_the_first_binding(site: IdPSite) -> None:
    bob = site.directory.person("bob")
    card = site.card("bob")
    browser, page = show_card(site, card)

    done = browser.submit(page.form(), {"code": code_of(site, bob).lower()})

    assert done.code == "card_bound"
    assert sign_in(site, card)[1].code == "signed_in"
    assert any("bound to your account" in str(job.payload["text"]) for job in site.mail())


def test_a_wrong_code_binds_nothing_and_five_are_too_many(site: IdPSite) -> None:
    bob = site.directory.person("bob")
    browser, page = show_card(site, site.card("bob"))
    for _ in range(5):
        page = browser.submit(page.form(), {"code": "00000-" * 6})
        assert (page.status, page.code) == (403, "binding_code_refused")

    refused = browser.submit(page.form(), {"code": code_of(site, bob)})

    assert (refused.status, refused.code) == (429, "too_many_tries")


def test_a_code_binds_once(site: IdPSite) -> None:
    bob = site.directory.person("bob")
    code = code_of(site, bob)
    browser, page = show_card(site, site.card("bob"))
    browser.submit(page.form(), {"code": code})

    other, page = show_card(site, site.card("mallory"))

    assert other.submit(page.form(), {"code": code}).code == "binding_code_refused"


def test_the_proof_for_a_binding_is_used_once_and_within_five_minutes(site: IdPSite) -> None:
    bob, carol = site.directory.person("bob"), site.directory.person("carol")
    browser, page = show_card(site, site.card("bob"))
    browser.submit(page.form(), {"code": code_of(site, bob)})
    again = browser.submit(page.form(), {"code": code_of(site, carol)})

    late, page = show_card(site, site.card("carol"))
    site.pause(300)
    too_late = late.submit(page.form(), {"code": code_of(site, carol)})

    assert (again.code, too_late.code) == ("proof_not_valid", "proof_not_valid")


def test_a_proof_for_a_binding_is_of_the_browser_that_made_it(site: IdPSite) -> None:
    bob = site.directory.person("bob")
    _, page = show_card(site, site.card("bob"))
    other = site.browser()
    other.get(f"{site.deps.issuer}/binding")

    refused = other.get(page.url)

    assert (refused.status, refused.code) == (403, "proof_not_valid")
    assert not [binding for binding in site.bindings_of(bob) if binding.ended_at is None]


def test_a_derived_credential_is_not_bound_like_a_card(site: IdPSite) -> None:
    _, page = show_card(site, site.credential("bob"))

    assert page.code == "wrong_certificate_kind"


def test_a_card_of_somebody_else_is_not_bound_again(site: IdPSite) -> None:
    alice = site.cardholder()
    browser, page = show_card(site, alice.certified)

    refused = browser.submit(page.form(), {"code": code_of(site, site.directory.person("bob"))})

    assert (refused.status, refused.code) == (409, "identifier_bound")


# ---- undo and the end of an account


def undo_link(site: IdPSite) -> str:
    texts = [str(job.payload["text"]) for job in site.mail() if "undo" in str(job.payload["text"])]
    return texts[-1].split()[-1]


def approved(site: IdPSite, holder: Holder, client: str, **asked: Any) -> dict[str, Any]:
    started = site.start_device(client, **asked)
    assert site.decide(holder, started).code == "device_approved"
    return started


def test_opening_the_undo_link_ends_nothing_and_the_button_ends_it_all(site: IdPSite) -> None:
    alice = site.cardholder()
    browser, _ = sign_in(site, alice.certified)
    token = site.poll(approved(site, alice, ADMIN_TOOL)).json()["refresh_token"]
    stranger = site.browser()

    page = stranger.get(undo_link(site))
    assert page.code == "undo"
    assert account(site, browser).code == "signed_in"
    done = stranger.submit(page.form())

    form = {"grant_type": "refresh_token", "client_id": ADMIN_TOOL, "refresh_token": token}
    assert done.code == "undone"
    assert site.post("/idp/token", form).json()["error"] == "invalid_grant"
    assert account(site, browser).code == "sign_in"
    assert stranger.get(page.url).code == "already_ended"


def test_undo_before_the_device_has_its_token_leaves_it_without(site: IdPSite) -> None:
    started = approved(site, site.cardholder(), PHONE)
    browser = site.browser()
    browser.submit(browser.get(undo_link(site)).form())

    assert site.poll(started, PHONE).json()["error"] == "invalid_grant"


def test_undo_tells_the_endpoint_manager_which_enrollment_to_end_once(site: IdPSite) -> None:
    alice = site.cardholder()
    site.poll(approved(site, alice, PHONE), PHONE)
    browser = site.browser()
    page = browser.get(undo_link(site))
    browser.submit(page.form())
    browser.submit(page.form())

    (job,) = claim(site.database, site.clock, [APPROVAL_UNDONE])
    assert job.payload == {"enrollment_session": "session-1", "person": str(alice.person.id)}


@pytest.mark.parametrize("id_", ["x", "00000000-0000-4000-8000-000000000000"])
def test_an_undo_link_that_is_none_is_not_found(site: IdPSite, id_: str) -> None:
    assert site.browser().get(f"{site.deps.issuer}/undo/{id_}").status == 404


def test_when_an_account_ends_everything_of_it_ends(site: IdPSite) -> None:
    alice = site.cardholder()
    browser, _ = sign_in(site, alice.certified)
    token = site.poll(approved(site, alice, ADMIN_TOOL)).json()["refresh_token"]
    waiting = approved(site, alice, ADMIN_TOOL)

    accounts.account_ended(site.deps, alice.person.id)
    accounts.account_ended(site.deps, alice.person.id)

    form = {"grant_type": "refresh_token", "client_id": ADMIN_TOOL, "refresh_token": token}
    assert site.post("/idp/token", form).json()["error"] == "invalid_grant"
    assert site.poll(waiting).json()["error"] == "invalid_grant"
    assert account(site, browser).code == "sign_in"


def test_what_is_over_is_removed_and_what_is_not_stays(site: IdPSite) -> None:
    alice = site.cardholder()
    browser, _ = sign_in(site, alice.certified)
    site.type_code(browser, "BBBB-BBBB")
    site.start_device()

    assert duties.remove_over(site.deps) == 0
    site.clock.advance(timedelta(days=31))
    assert duties.remove_over(site.deps) >= 3
    assert site.newest_proof("sign-in") != "None", "the record of what was proved stays"


# ---- the certificate is asked for at the right door only


@pytest.mark.parametrize("wrong", [{"purposes": (ExtendedKeyUsageOID.CODE_SIGNING,)}, {"digital_signature": False}])
def test_what_is_not_for_tls_clients_ends_in_an_alert_and_the_way_back_explains_it(
    site: IdPSite, wrong: dict[str, Any]
) -> None:
    card = site.card(**wrong)
    browser = site.browser(card)
    form = account(site, browser).form(action="/idp/sign-in")

    with pytest.raises(httpx.TransportError):
        browser.submit(form)
    assert "issuer that is not accepted" in account(site, browser).text
