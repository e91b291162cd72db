# SPDX-License-Identifier: Apache-2.0
"""A PIV card, through its card edge, binds itself, signs in and approves a device; nobody shows it a file."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from etymon.card.server_trust import ServerTrust
from etymon.card.tls import CardTLSTransport, card_identity
from etymon.directory import bindings
from etymon.kernel.clock import SystemClock
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.storage.database import Database
from support.browser import Browser
from support.card_issuer import PIN, CardIssuer, IssuedCard
from support.clock import TurnedClock
from support.idp_site import PHONE, Files, IdPSite, claims_of

CARD_POLICY = "2.999.1.13"


@pytest.fixture(scope="module")
def card_issuer() -> CardIssuer:
    return CardIssuer()


@pytest.fixture
def site(database: Database, tmp_path: Path, card_issuer: CardIssuer) -> Iterator[IdPSite]:
    cas = [card_issuer.root.certificate, card_issuer.issuing.certificate]
    site = IdPSite(database, TurnedClock(), Files.in_(tmp_path), further_cas=cas)
    site.trust(
        TrustEntry(
            "piv-cards",
            TrustKind.CARD,
            (card_issuer.issuing.certificate,),
            frozenset({CARD_POLICY}),
            IdentifierKind.FASCN,
        )
    )
    with site.running() as running:
        yield running


def browser_with(site: IdPSite, card: IssuedCard) -> Browser:
    client = card.client
    client.verify_pin(PIN)
    trust = ServerTrust((site.files.tls.certificate,))
    return Browser(
        httpx.HTTPTransport(verify=site.files.trusting()),
        CardTLSTransport(trust=trust, clock=SystemClock(), identity=card_identity(client)),
        certauth_origin=site.deps.certauth_url,
    )


def test_a_card_binds_itself_signs_in_and_approves_a_phone(site: IdPSite, card_issuer: CardIssuer) -> None:
    alice = site.directory.person("alice")
    with site.database.transaction() as tx:
        code = bindings.issue_code(tx, site.deps, person_id=alice.id, actor="person:officer")
    with browser_with(site, card_issuer.card()) as browser:
        page = browser.submit(browser.get(f"{site.deps.issuer}/binding").form())
        assert browser.submit(page.form(), {"code": code.reveal()}).code == "card_bound"

        account = browser.get(f"{site.deps.issuer}/account")
        assert browser.submit(account.form(action="/idp/sign-in")).code == "signed_in"

        started = site.start_device(PHONE)
        found = site.type_code(browser, str(started["user_code"]))
        decision = browser.submit(found.form(action="/idp/device/proof"))
        assert browser.submit(decision.form(), button="approve").code == "device_approved"

    access = claims_of(site.poll(started, PHONE).json()["access_token"])
    assert (access["sub"], access["acr"]) == (str(alice.id), "urn:etymon:acr:card")
