# SPDX-License-Identifier: Apache-2.0
"""Certificates of the right kind that are not good now: each refusal is a page with a reason the person can act on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest

from etymon.ca.model import RevocationReason
from etymon.directory import trust
from etymon.pki.trust_entry import TrustEntry
from etymon.server.demo.browser import Browser
from support import founding, phone_messages, site_pages
from support.card_office import ENTRY, Card
from support.held_phone import HeldPhone
from support.phone_messages import told
from support.whole_site import TEST, WholeSite

pytestmark = pytest.mark.xdist_group("organizations")

DOORS = {"idp": site_pages.sign_in, "issuer": site_pages.present_card}
HOMES = {"idp": "/idp/account", "issuer": "/issuer/"}
IN = {"idp": "signed_in", "issuer": "home"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSite]:
    """A site of this module's: its tests take trust away and give it back."""
    with founding.founded(tmp_path_factory.mktemp("refusals")) as site:
        yield site


def goes_in(site: WholeSite, card: Card) -> None:
    for service, door in DOORS.items():
        site_pages.expect(door(site.browser(card), site.url), IN[service])


def is_refused(site: WholeSite, browser: Browser, service: str) -> str:
    """Return the code of a refusal that says what to do, leads back, and leaves nothing behind."""
    before = kept(site)
    page = DOORS[service](browser, site.url)
    assert page.status == 403, (page.code, page.words)
    assert page.url.startswith(site.deployment.settings.certauth_url)
    assert page.code in page.words
    assert len(page.words) > 100, "the page says more than a code"
    assert kept(site) == before
    assert browser.follow("Back").url == site.url + HOMES[service]
    assert browser.page is not None
    assert browser.page.code in {"sign_in", "start"}, "nobody is signed in"
    return page.code


def kept(site: WholeSite) -> Mapping[str, frozenset[str]]:
    passing = {"idp_certificate_proofs", "issuer_proof_requests"}
    return {name: rows for name, rows in site.state().items() if name not in passing}


def refused_everywhere(site: WholeSite, card: Card) -> set[str]:
    return {is_refused(site, site.browser(card), service) for service in DOORS}


@contextmanager
def trusting(site: WholeSite, entry: TrustEntry) -> Iterator[None]:
    """Put another entry in the place of the one for cards while the block runs."""
    with site.deployment.database.transaction() as tx:
        present = trust.entry(tx, ENTRY)
        trust.save(tx, site.wiring.directory, entry, actor=TEST)
    try:
        yield
    finally:
        with site.deployment.database.transaction() as tx:
            trust.save(tx, site.wiring.directory, present, actor=TEST)


def test_a_card_of_another_policy_is_refused(site: WholeSite) -> None:
    card = site.card_for("policy")
    goes_in(site, card)
    with trusting(site, replace(site.cards.entry(), policies=frozenset({"2.999.1.17"}))):
        assert refused_everywhere(site, card) == {"wrong_policy"}
    goes_in(site, card)


def test_a_card_of_an_issuer_that_is_trusted_no_more_is_refused_by_a_page(site: WholeSite) -> None:
    card = site.card_for("root")
    goes_in(site, card)  # so that TLS knows the issuer
    with trusting(site, replace(site.cards.entry(), anchors=site.server_anchors, intermediates=())):
        assert refused_everywhere(site, card) == {"untrusted_root"}
    goes_in(site, card)


def test_a_card_of_a_stranger_is_refused_by_tls_and_explained_when_the_person_comes_back(
    site: WholeSite, other_site: WholeSite
) -> None:
    card = other_site.card_for("stranger")
    for service, door in DOORS.items():
        browser = site.browser(card)
        with pytest.raises(httpx.TransportError):
            door(browser, site.url)
        page = browser.get(site.url + HOMES[service])
        assert "issuer" in page.words
        assert "not accepted here" in page.words or "not trusted here" in page.words


def test_a_card_that_belongs_to_nobody_here_is_refused(site: WholeSite) -> None:
    card = site.unbound_card("nobody")
    assert refused_everywhere(site, card) == {"certificate_not_bound", "card_not_bound"}


def test_a_card_that_was_reported_is_refused_by_what_its_issuer_answers(site: WholeSite) -> None:
    lost, kept_card = site.card_for("lost"), site.card_for("kept")
    site.cards.issuer.revoke(lost.made.authentication, RevocationReason.KEY_COMPROMISE)
    assert refused_everywhere(site, lost) == {"revoked_by_ocsp"}
    goes_in(site, kept_card)
    with site.cards.answering_only("/crl"):
        assert refused_everywhere(site, lost) == {"revoked_by_crl"}
        goes_in(site, kept_card)


def test_while_nobody_answers_for_cards_nobody_comes_in(own_site: WholeSite) -> None:
    site = own_site  # another test's site remembers a list that is still in force
    card = site.card_for("silence")
    goes_in(site, card)
    with site.cards.answering_only():
        assert refused_everywhere(site, card) == {"status_unavailable"}
    with site.cards.answering_only("/certificates"):  # it listens, and knows nothing of status
        assert refused_everywhere(site, card) == {"status_unavailable"}
    goes_in(site, card)


def test_no_other_host_is_asked_for_status(site: WholeSite) -> None:
    card = site.card_for("hosts")
    with trusting(site, replace(site.cards.entry(), status_hosts=frozenset({"status.agency.example"}))):
        assert refused_everywhere(site, card) == {"status_unavailable"}


def test_a_card_of_tomorrow_is_refused_today(site: WholeSite) -> None:
    site.turn(days=1)
    card = site.card_for("tomorrow")
    goes_in(site, card)
    site.turn(days=-1)
    assert refused_everywhere(site, card) == {"not_yet_valid"}


def at_check_in(site: WholeSite, held: HeldPhone) -> tuple[int, str]:
    return told(phone_messages.check_in(site.client(held.identity, base_url=site.device_url)))


def at_link(site: WholeSite, held: HeldPhone) -> tuple[int, str]:
    answer = site.client(held.identity, base_url=site.device_url).post(phone_messages.REDEEM, json={"protocol": 1})
    return told(answer)


def test_everything_ends_at_its_time(own_site: WholeSite) -> None:
    site = own_site
    card = site.card_for("alice")
    held = site.phone_of("alice")
    held.unlock()
    assert at_check_in(site, held) == (200, "")
    site.turn(days=366)
    assert at_check_in(site, held) == (403, "expired")
    assert at_link(site, held) == (403, "expired")
    site_pages.expect(site_pages.sign_in(site.browser(held.credential()), site.url), "signed_in")
    site.turn(days=1001 - 366)
    assert is_refused(site, site.browser(held.credential()), "idp") == "expired"
    site.turn(days=1090 - 1001)
    assert refused_everywhere(site, card) == {"expired"}
