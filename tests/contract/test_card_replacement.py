# SPDX-License-Identifier: Apache-2.0
"""A card that is replaced takes nothing along: the credentials stay, and go with the new card (SP 800-157 §2.4)."""

import dataclasses
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from etymon.directory import bindings
from etymon.directory.bindings import CARDS_ENDED_JOB
from etymon.directory.model import Binding, BindingEnd
from etymon.issuer import card_authentication
from etymon.issuer.model import CardRevocation, CardSession, DerivationState
from etymon.issuer.store import card_links, card_sessions
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, NotFound, NotPermitted
from etymon.kernel.secret import Secret
from etymon.storage import jobs
from etymon.storage.database import Database
from etymon.web.sessions import Sessions, Visit
from support.clock import TurnedClock
from support.issuer_site import ADMINISTRATOR, PC, IssuerSite

NEW = "alice.new@agency.example"


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    return IssuerSite(database, clock, entropy, tmp_path)


def card_of(site: IssuerSite) -> Binding:
    with site.database.snapshot() as tx:
        return next(one for one in bindings.bindings_of(tx, site.alice.id) if one.trust_entry == "cards")


def replace(site: IssuerSite, old: UUID, identifier: str = NEW) -> Binding:
    with site.database.transaction() as tx:
        return bindings.replace(tx, site.deps, old, trust_entry="cards", identifier=identifier, actor=ADMINISTRATOR)


def end(site: IssuerSite, reason: BindingEnd) -> None:
    with site.database.transaction() as tx:
        bindings.end(tx, site.deps, card_of(site).id, reason=reason, actor=ADMINISTRATOR)


def sign_in(site: IssuerSite, session: CardSession) -> None:
    """Do what the page does once a card was proved."""
    cookie = Visit(Secret("a cookie"), is_new=True, session=None)
    sessions = Sessions("issuer", site.digest_key, site.clock, site.entropy)
    with site.database.transaction() as tx:
        proof = card_sessions.find_proof(tx, session.proof)
        assert proof is not None
        card_authentication.sign_in(tx, site.deps, sessions, cookie, proof, source=PC)


def link_of(site: IssuerSite, derivation: UUID) -> card_links.CardLink:
    with site.database.snapshot() as tx:
        found = card_links.find(tx, derivation)
    assert found is not None
    return found


def test_a_replaced_card_leaves_what_it_made_and_the_link_moves(site: IssuerSite) -> None:
    link = site.linked()
    certificate = link.enroll().certificate
    derivation = link.begun.derivation.id
    old = card_of(site)
    site.mail()
    replace(site, old.id)
    replace(site, old.id)  # told twice
    site.work()
    moved = link_of(site, derivation)
    assert (moved.card.identifier, moved.certificate, moved.source) == (NEW, None, None)
    assert [event.subject for event in site.events("issuer:card_link:moved")] == [str(derivation)]
    assert sum("go with your new card" in mail["subject"] for mail in site.mail()) == 1
    site.card_status.revoked.add(site.card.certificate.serial_number)  # as is done with old cards
    site.turn(days=7)
    site.work()
    assert not site.is_revoked(certificate)
    assert site.events("issuer:card:found_unbound") == []
    new = site.cards.issue(site.clock.now(), "Alice", upn=NEW)
    sign_in(site, site.present_card(new))
    watched = link_of(site, derivation)
    assert watched.certificate is not None
    assert watched.source is not None


@pytest.mark.parametrize("reason", [BindingEnd.DAMAGED, BindingEnd.LOST, BindingEnd.UNSPECIFIED])
def test_only_a_card_that_was_in_other_hands_takes_along_what_it_made_lately(
    site: IssuerSite, reason: BindingEnd
) -> None:
    harmless = reason in {"replaced", "damaged", "expired"}
    link = site.linked()
    certificate = link.enroll().certificate
    end(site, reason)
    with site.database.snapshot() as tx:
        (ended,) = [one for one in bindings.bindings_of(tx, site.alice.id) if one.ended_at is not None]
    assert ended.end_reason == reason
    assert len(jobs.claim(site.database, site.clock, [CARDS_ENDED_JOB])) == (not harmless)
    site.turn(days=7)
    site.work()
    assert site.is_revoked(certificate) != harmless
    with pytest.raises(NotPermitted, match="card_not_bound"):
        site.present_card()  # new bindings wait for a card that is good


def test_a_replaced_card_that_was_compromised_is_believed(site: IssuerSite) -> None:
    link = site.linked()
    certificate = link.enroll().certificate
    replace(site, card_of(site).id)
    site.work()
    site.card_status.revoked.add(site.card.certificate.serial_number)
    site.card_status.reason = "keyCompromise"
    site.turn(days=7)
    site.work()
    assert site.is_revoked(certificate)


@pytest.mark.parametrize("action", [CardRevocation.KEEP, CardRevocation.END])
def test_what_follows_from_a_reason_is_a_setting(site: IssuerSite, action: CardRevocation) -> None:
    site.deps = site.dependencies(
        site.deps.site_url, site.deps.certauth_url, site.deps.device_url, card_revocation={"superseded": action}
    )
    link = site.linked()
    site.card_status.revoked.add(site.card.certificate.serial_number)
    site.card_status.reason = "superseded"
    site.turn(days=7)
    site.work()
    ended = site.derivation(link.begun).state is DerivationState.ENDED
    assert ended == (action is CardRevocation.END)
    (found,) = site.events("issuer:card:found_revoked")
    assert found.facts["credentials"] == ("ended" if ended else "kept")
    (incident,) = site.events("issuer:incident:opened")
    assert incident.facts["credentials"] == found.facts["credentials"]
    (told,) = [mail for mail in site.mail() if "revoked shortly after" in str(mail["subject"])]
    assert ("until an Officer ends it" in str(told["text"])) == (not ended)


def test_how_far_back_a_card_is_suspect_is_a_setting(site: IssuerSite) -> None:
    site.deps = dataclasses.replace(site.deps, card_lookback=timedelta(days=30))
    link = site.linked()
    site.turn(days=20)
    site.card_status.revoked.add(site.card.certificate.serial_number)
    site.card_status.reason = "keyCompromise"
    site.work()
    assert site.events("issuer:card:found_revoked") == [], "it is looked at after thirty days"
    site.turn(days=10)
    site.work()
    assert site.derivation(link.begun).state is DerivationState.ENDED


def test_a_card_is_replaced_by_a_card_that_is_nobody_elses(site: IssuerSite) -> None:
    bob = site.colleague()
    site.bound_card(bob)
    old = card_of(site)
    with pytest.raises(Conflict, match="identifier_bound"):
        replace(site, old.id, bob.user_principal_name)
    with pytest.raises(Conflict, match="same_card"):
        replace(site, old.id, old.identifier)
    assert card_of(site).ended_at is None
    end(site, BindingEnd.LOST)
    with pytest.raises(NotFound, match="binding_unknown"):
        replace(site, old.id)  # a lost card is not replaced quietly
    with site.database.transaction() as tx, pytest.raises(NotPermitted, match="wrong_certificate_kind"):
        bindings.replace(tx, site.deps, old.id, trust_entry="derived", identifier=NEW, actor=ADMINISTRATOR)
    site.end_account(site.alice)
    with pytest.raises(NotFound, match="person_unknown"):
        replace(site, old.id)
