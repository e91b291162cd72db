# SPDX-License-Identifier: Apache-2.0
"""A card whose binding ends while a phone is being linked: what it began goes no further."""

from pathlib import Path

import pytest

from etymon.directory import bindings, trust
from etymon.issuer import card_authentication
from etymon.issuer.model import DerivationState, Purpose
from etymon.issuer.store import card_sessions
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import NotPermitted
from etymon.kernel.secret import Secret
from etymon.pki.certificate import to_der
from etymon.storage.database import Database
from etymon.web.sessions import Sessions, Visit
from support.clock import TurnedClock
from support.issuer_site import ADMINISTRATOR, IssuerSite


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    return IssuerSite(database, clock, entropy, tmp_path)


def report_lost(site: IssuerSite) -> None:
    """Do what an administrator does when a card is reported lost."""
    with site.database.transaction() as tx:
        for binding in bindings.bindings_of(tx, site.alice.id):
            bindings.end(tx, site.deps, binding.id, reason="lost", actor=ADMINISTRATOR)


def distrust(site: IssuerSite) -> None:
    """Do what an administrator does when the cards' issuer is trusted no more."""
    with site.database.transaction() as tx:
        trust.remove(tx, site.deps, "cards", actor=ADMINISTRATOR)


def test_a_proof_of_a_card_that_is_lost_since_opens_no_session(site: IssuerSite) -> None:
    deps = site.deps
    proof = card_authentication.judge(deps, to_der(site.card.certificate), card_authentication.PURPOSE, "198.51.100.1")
    with site.database.transaction() as tx:
        card_sessions.add_proof(tx, proof)
    report_lost(site)
    sessions = Sessions("issuer", deps.digest_key, deps.clock, deps.entropy)
    nobody = Visit(Secret("a cookie"), is_new=True, session=None)
    with pytest.raises(NotPermitted, match="card_not_bound"), site.database.transaction() as tx:
        card_authentication.sign_in(tx, deps, sessions, nobody, proof, source="198.51.100.1")
    assert site.events("issuer:card:authenticated") == []


def test_a_lost_card_redeems_no_link(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    report_lost(site)
    with pytest.raises(NotPermitted, match="card_not_bound"):
        site.redeem(site.phone(), begun)


def test_a_lost_card_confirms_no_phone(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    site.redeem(phone, begun)
    report_lost(site)
    with pytest.raises(NotPermitted, match="card_not_bound"):
        site.confirm(session, begun, phone)
    assert site.derivation(begun).state is DerivationState.REDEEMED


@pytest.mark.parametrize("purpose", [Purpose.AUTHENTICATION, Purpose.ENCRYPTION])
def test_a_card_that_is_lost_after_the_confirmation_gets_no_certificate(site: IssuerSite, purpose: Purpose) -> None:
    link = site.linked()
    report_lost(site)
    with pytest.raises(NotPermitted, match="card_not_bound"):
        link.enroll(purpose)


def test_cards_that_are_trusted_no_more_confirm_no_phone(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    site.redeem(phone, begun)
    distrust(site)
    with pytest.raises(NotPermitted, match="card_not_bound"):
        site.confirm(session, begun, phone)
