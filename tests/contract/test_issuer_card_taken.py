# SPDX-License-Identifier: Apache-2.0
"""A card that stands for nobody any more: what it made in the seven days before ends with it, once, and is told of."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from etymon.directory import bindings, trust
from etymon.directory.bindings import CARDS_ENDED_JOB
from etymon.directory.model import Binding
from etymon.issuer import card_recheck, follow_ups
from etymon.issuer.model import CredentialState, DerivationState, EndReason, Purpose
from etymon.issuer.store import card_sessions
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import EtymonError
from etymon.storage import jobs
from etymon.storage.database import Database
from etymon.web.sessions import Session
from support.clock import TurnedClock
from support.issuer_site import ADMINISTRATOR, IssuerSite, Link

TAKEN = "taken from your account"


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    return IssuerSite(database, clock, entropy, tmp_path)


def card_of(site: IssuerSite) -> Binding:
    with site.database.snapshot() as tx:
        (binding,) = [one for one in bindings.bindings_of(tx, site.alice.id) if one.trust_entry == "cards"]
    return binding


def take(site: IssuerSite) -> None:
    """Do what an administrator does when a card is reported stolen."""
    with site.database.transaction() as tx:
        bindings.end(tx, site.deps, card_of(site).id, reason="stolen", actor=ADMINISTRATOR)


def distrust(site: IssuerSite) -> None:
    """Do what an administrator does when the cards' issuer is trusted no more."""
    with site.database.transaction() as tx:
        trust.remove(tx, site.deps, "cards", actor=ADMINISTRATOR)


ENDS = pytest.mark.parametrize("end", [take, distrust])


def notices(site: IssuerSite) -> list[str]:
    return [mail["text"] for mail in site.mail() if "were ended" in mail["subject"]]


@ENDS
def test_what_a_card_made_lately_ends_with_it(site: IssuerSite, end: Callable[[IssuerSite], None]) -> None:
    link = site.linked()
    certificate = link.enroll().certificate
    site.turn(days=7, seconds=-1)
    end(site)
    site.work()
    assert site.is_revoked(certificate)
    derivation = site.derivation(link.begun)
    assert (derivation.state, derivation.end_reason) == (DerivationState.ENDED, EndReason.KEY_COMPROMISE)
    (found,) = site.events("issuer:card:found_unbound")
    assert (found.actor, found.subject) == ("worker", str(derivation.id))
    assert found.facts == {"card_proof": str(derivation.proof), "code": "card_not_bound"}
    assert len(site.events("issuer:derivation:ended")) == 1
    (text,) = notices(site)
    assert TAKEN in text


@ENDS
def test_what_a_card_made_longer_ago_stays(site: IssuerSite, end: Callable[[IssuerSite], None]) -> None:
    """A card that is lost or replaced does not by itself end what was derived from it (SP 800-157r1 §2.3)."""
    link = site.linked()
    certificate = link.enroll().certificate
    site.turn(days=7)
    site.work()  # the card was looked at once more, and was good
    end(site)
    site.work()
    assert not site.is_revoked(certificate)
    assert site.events("issuer:card:found_unbound") == []
    assert notices(site) == []


def test_a_link_under_way_ends_and_nobody_is_told_of_credentials(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    site.redeem(phone, begun)
    take(site)
    site.work()
    assert site.derivation(begun).state is DerivationState.ENDED
    assert notices(site) == []


def test_what_another_card_made_stays(site: IssuerSite) -> None:
    bob = site.person("bob")
    site.join(bob)
    other = site.present_card(site.bound_card(bob))
    begun, phone = site.begin(other), site.phone()
    site.redeem(phone, begun)
    site.confirm(other, begun, phone)
    mine = site.linked()
    take(site)
    site.work()
    assert site.derivation(mine.begun).state is DerivationState.ENDED
    assert site.derivation(begun).state is DerivationState.CONFIRMED


def test_the_end_of_a_derived_credential_is_not_the_end_of_a_card(site: IssuerSite) -> None:
    link = site.linked()
    link.enroll()
    site.end_own(link.begun)
    assert jobs.claim(site.database, site.clock, [CARDS_ENDED_JOB]) == []


def test_a_card_that_is_bound_again_made_nothing_before(site: IssuerSite) -> None:
    """What was begun with it since is another matter."""
    before = site.linked()
    card = card_of(site)
    take(site)
    site.turn(seconds=1)
    with site.database.transaction() as tx:
        bindings.bind(
            tx,
            site.deps,
            trust_entry=card.trust_entry,
            identifier=card.identifier,
            person_id=site.alice.id,
            actor=ADMINISTRATOR,
        )
    site.end_own(before.begun)  # one device a person: the rule
    after = site.begin(site.present_card())
    site.work()
    assert site.derivation(after).state is DerivationState.BEGUN


def test_sessions_that_the_card_opened_end_too(site: IssuerSite) -> None:
    card_session = site.present_card()
    now = site.clock.now()
    with site.database.transaction() as tx:
        session = Session(card_session.id, site.alice.id, now, now, now + timedelta(hours=1))
        card_sessions.kept(tx).add(b"digest", session)
    take(site)
    site.work()
    with site.database.snapshot() as tx:
        assert card_sessions.kept(tx).find(b"digest") is None


@pytest.mark.parametrize("at_once", [False, True])
def test_a_worker_that_does_it_twice_does_it_once(site: IssuerSite, *, at_once: bool) -> None:
    link = site.linked()
    link.enroll()
    take(site)
    (job,) = jobs.claim(site.database, site.clock, [CARDS_ENDED_JOB])
    together = threading.Barrier(2 if at_once else 1)

    def work() -> None:
        together.wait()
        follow_ups.cards_ended(site.deps, job)

    with ThreadPoolExecutor(2 if at_once else 1) as threads:
        for one in [threads.submit(work) for _ in range(2)]:
            one.result()
    site.turn(days=7)
    site.work()  # and the look after seven days finds nothing more to do
    assert len(site.events("issuer:card:found_unbound")) == 1
    assert len(site.events("issuer:credential:ended")) == 1
    assert len(notices(site)) == 1


def test_a_card_found_taken_after_seven_days_ends_what_it_made(site: IssuerSite) -> None:
    """The second net: whatever became of the first look."""
    link = site.linked()
    certificate = link.enroll().certificate
    take(site)
    (job,) = jobs.claim(site.database, site.clock, [CARDS_ENDED_JOB])
    with site.database.transaction() as tx:
        jobs.complete(tx, job)
    site.turn(days=7)
    site.work()
    assert site.is_revoked(certificate)
    assert len(site.events("issuer:card:found_unbound")) == 1
    assert card_recheck.judge(site.deps, link.begun.derivation.id) is None


@pytest.mark.parametrize("purpose", [Purpose.AUTHENTICATION, Purpose.SIGNATURE])
def test_an_issuance_beside_it_leaves_no_live_certificate(site: IssuerSite, purpose: Purpose) -> None:
    """Whoever is first: the certificate is never given, or it is revoked, and there is one notice at most."""
    link = site.linked()
    link.phone.body(purpose)
    together = threading.Barrier(2)

    def enroll() -> x509.Certificate | EtymonError:
        together.wait()
        try:
            return link.enroll(purpose).certificate
        except EtymonError as refusal:
            return refusal

    def end() -> None:
        together.wait()
        take(site)
        site.work()

    with ThreadPoolExecutor(2) as threads:
        given, ended = threads.submit(enroll), threads.submit(end)
        ended.result()
    answer = given.result()
    if isinstance(answer, x509.Certificate):
        assert site.is_revoked(answer)
    assert {one.state for one in site.credentials(link.begun).values()} <= {CredentialState.ENDED}
    assert site.derivation(link.begun).state is DerivationState.ENDED
    assert len(site.events("issuer:card:found_unbound")) == 1
    assert len(notices(site)) <= 1


def test_a_confirmation_beside_it_leads_to_nothing(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    site.redeem(phone, begun)
    together = threading.Barrier(2)

    def confirm() -> EtymonError | None:
        together.wait()
        try:
            site.confirm(session, begun, phone)
        except EtymonError as refusal:
            return refusal
        return None

    def end() -> None:
        together.wait()
        take(site)
        site.work()

    with ThreadPoolExecutor(2) as threads:
        refused, ended = threads.submit(confirm), threads.submit(end)
        ended.result()
    assert refused.result() is None or isinstance(refused.result(), EtymonError)
    assert site.derivation(begun).state is DerivationState.ENDED


def test_the_phone_of_a_taken_card_gets_nothing_more(site: IssuerSite) -> None:
    link: Link = site.linked()
    link.enroll()
    take(site)
    site.work()
    with pytest.raises(EtymonError, match="authorization_unknown"):
        link.enroll(Purpose.SIGNATURE)
