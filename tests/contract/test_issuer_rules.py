# SPDX-License-Identifier: Apache-2.0
"""Issuance rules are an officer's; sweeps forget what is over; the store moves as the model allows."""

import uuid
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from etymon.directory.model import Role
from etymon.issuer import follow_ups, issuance_rules
from etymon.issuer.model import DERIVATION_MOVES, DerivationState, Purpose
from etymon.issuer.store import card_sessions, derivations, rules
from etymon.issuer.tables import derivations as derivations_table
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, NotFound, NotPermitted
from etymon.pki.algorithms import KeyType
from etymon.storage.database import Database
from etymon.web.certificate_proof import ProofRequest
from etymon.web.sessions import Session
from support.applicants import unconfirmed_officer
from support.clock import TurnedClock
from support.issuer_site import IssuerSite


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    return IssuerSite(database, clock, entropy, tmp_path)


def test_only_an_officer_writes_rules(site: IssuerSite) -> None:
    administrator = site.person("adam", role=Role.ADMINISTRATOR)
    for person in (site.alice, administrator, unconfirmed_officer(site)):
        with pytest.raises(NotPermitted, match="officer_required"):
            site.save_rule(officer=person, most_derivations=5)
        with pytest.raises(NotPermitted, match="officer_required"), site.database.transaction() as tx:
            issuance_rules.withdraw(tx, site.deps, "staff", officer=person.id)
    with site.database.snapshot() as tx:
        (rule,) = issuance_rules.in_force(tx)
    assert rule == site.rule
    assert rule.created_by == site.officer.id


def test_rules_whose_encryption_keys_end_with_2030_are_told_of_a_year_before(site: IssuerSite) -> None:
    told_from = datetime(2029, 12, 31, 23, 59, 59, tzinfo=UTC)

    def told(moment: datetime) -> tuple[str, ...]:
        with site.database.snapshot() as tx:
            return issuance_rules.with_ending_keys(tx, moment)

    assert told(told_from - timedelta(seconds=1)) == ()
    assert told(told_from) == told(told_from + timedelta(days=500)) == ("staff",)
    site.save_rule(purposes=(Purpose.AUTHENTICATION, Purpose.SIGNATURE))
    assert told(told_from) == (), "it has none made"
    site.save_rule(encryption_key_type=KeyType.RSA3072)
    assert told(told_from) == ()


def test_saying_the_same_again_changes_nothing(site: IssuerSite) -> None:
    before = site.rule
    assert site.save_rule() == before
    assert len(site.events("issuer:rule:made")) == 1
    assert site.events("issuer:rule:changed") == []


def test_a_changed_rule_takes_the_place_of_the_one_before(site: IssuerSite) -> None:
    before = site.rule
    after = site.save_rule(most_derivations=3)
    assert (after.id != before.id, after.most_derivations) == (True, 3)
    with site.database.snapshot() as tx:
        assert issuance_rules.in_force(tx) == (after,)
    (changed,) = site.events("issuer:rule:changed")
    assert changed.actor == f"person:{site.officer.id}"
    assert changed.facts["most_derivations"] == 3
    assert changed.facts["link_style"] == "code"
    asking = site.save_rule(link_password=True)
    styles = {event.subject: event.facts["link_style"] for event in site.events("issuer:rule:changed")}
    assert styles[str(asking.id)] == "code and password"


def test_of_two_who_change_a_rule_at_once_the_later_is_told_or_follows(site: IssuerSite) -> None:
    before = site.save_rule(most_derivations=2)

    def change(most: int) -> str:
        try:
            site.save_rule(most_derivations=most)
        except Conflict as conflict:
            return conflict.code
        return "changed"

    with ThreadPoolExecutor(1) as elsewhere:
        with site.database.transaction() as tx:
            mine = issuance_rules.save(tx, site.deps, replace(before, most_derivations=3), officer=site.officer.id)
            other = elsewhere.submit(change, 4)
            wait([other], timeout=1)
        assert other.result() in {"changed", "issuance_rule_changed"}
    with site.database.snapshot() as tx:
        (kept,) = rules.in_force(tx)
    assert (kept.id == mine.id) == (other.result() == "issuance_rule_changed")


def test_a_rule_that_is_not_there_cannot_be_withdrawn(site: IssuerSite) -> None:
    site.withdraw_rule()
    with pytest.raises(NotFound, match="issuance_rule_unknown"):
        site.withdraw_rule()


def test_of_several_rules_the_first_by_name_covers_the_person(site: IssuerSite) -> None:
    site.save_rule(name="all", purposes=(Purpose.AUTHENTICATION,))
    assert site.begin(site.present_card()).derivation.purposes == (Purpose.AUTHENTICATION,)


# ---- the store


def test_the_store_moves_a_derivation_as_the_model_allows_and_not_otherwise(site: IssuerSite) -> None:
    link = site.linked()
    for state in DerivationState:
        for target in DerivationState:
            with site.database.transaction() as tx:
                tx.execute(sa.update(derivations_table).values(state=state.value))
                found = derivations.lock(tx, link.begun.derivation.id)
                assert found is not None
                if target in DERIVATION_MOVES[state]:
                    derivations.move(tx, found, target)
                else:
                    with pytest.raises(Conflict, match="derivation_over"):
                        derivations.move(tx, found, target)
                moved = derivations.find(tx, found.id)
                assert moved is not None
                assert moved.state is (target if target in DERIVATION_MOVES[state] else state)


def test_a_derivation_that_moved_meanwhile_is_not_moved(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    stale = site.derivation(begun)
    with site.database.transaction() as tx:
        derivations.move(tx, stale, DerivationState.EXPIRED)
    with pytest.raises(Conflict, match="derivation_over"), site.database.transaction() as tx:
        derivations.move(tx, stale, DerivationState.DENIED)
    with pytest.raises(Conflict, match="derivation_over"), site.database.transaction() as tx:
        derivations.move(tx, replace(stale, state=DerivationState.CONFIRMED), DerivationState.ISSUING)


def test_the_sweep_forgets_proofs_that_were_begun_and_led_to_nothing(site: IssuerSite) -> None:
    begun = ProofRequest(uuid.uuid4(), "self-service", bytes(32), "/issuer/", "/issuer/", (), site.clock.now())
    with site.database.transaction() as tx:
        card_sessions.ProofRequests(tx).add(begun)
    for minutes, is_known in ((9, True), (1, False)):
        site.turn(minutes=minutes)
        follow_ups.sweep(site.deps)
        with site.database.snapshot() as tx:
            assert (card_sessions.ProofRequests(tx).find(begun.id) is not None) is is_known


def test_the_sweep_forgets_sessions_and_proofs_nobody_needs(site: IssuerSite) -> None:
    unused = site.present_card()
    used = site.present_card()
    begun = site.begin(used)
    now = site.clock.now()
    session = Session(uuid.uuid4(), site.alice.id, now, now, now + timedelta(minutes=15))
    with site.database.transaction() as tx:
        card_sessions.kept(tx).add(b"digest", session)
    site.turn(minutes=15)
    follow_ups.sweep(site.deps)
    with site.database.snapshot() as tx:
        assert card_sessions.kept(tx).find(b"digest") is None
        assert card_sessions.find_proof(tx, unused.proof) is not None  # its page may still be open
    site.turn(days=1)
    follow_ups.sweep(site.deps)
    with site.database.snapshot() as tx:
        assert card_sessions.find_proof(tx, unused.proof) is None
        kept = card_sessions.find_proof(tx, site.derivation(begun).proof)
    assert kept is not None
    assert kept.evidence
