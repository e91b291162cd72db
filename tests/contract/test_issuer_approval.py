# SPDX-License-Identifier: Apache-2.0
"""Approval by a second person: who asks, who decides, what it is good for, and for how long."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from etymon.directory import people
from etymon.directory.model import Role
from etymon.issuer import approval, follow_ups
from etymon.issuer.model import Approval, CardSession, DerivationState, IssuanceRule, Purpose
from etymon.issuer.request import IDENTITY_LIFETIME, REQUEST_MOVES, DerivationRequest, RequestState
from etymon.issuer.store import card_sessions, requests
from etymon.issuer.tables import requests as table
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import EtymonError
from support.applicants import Applicant, approve, somebody, told, unconfirmed_officer
from support.clock import TurnedClock
from support.issuer_site import PC, IssuerSite


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres", "initdb"))]
)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all; every test has an applicant of its own."""
    databases = request.getfixturevalue(f"{request.param}_databases")
    database = databases.migrated()
    yield IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("approval"))
    databases.drop(database)


@pytest.fixture
def rule(site: IssuerSite) -> IssuanceRule:
    site.turn(minutes=1)
    site.mail()
    return site.save_rule(approval=Approval.SECOND_PERSON, purposes=(Purpose.AUTHENTICATION,))


@pytest.fixture
def applicant(site: IssuerSite, rule: IssuanceRule) -> Applicant:
    del rule
    return somebody(site)


def refuse(site: IssuerSite, request: DerivationRequest, reason: str = "Not yet.") -> DerivationRequest:
    return approval.refuse(site.deps, request.id, reason, officer=site.officer.id, source=PC)


# ---- the way


def test_an_approved_applicant_comes_back_with_the_card_and_derives_once(
    site: IssuerSite, applicant: Applicant
) -> None:
    with pytest.raises(EtymonError, match="approval_required"):
        site.begin(applicant.session())
    asked = applicant.ask()
    assert applicant.ask().id == asked.id  # asking again changes nothing
    with pytest.raises(EtymonError, match="approval_required"):
        site.begin(applicant.session())
    approved = approve(site, asked)
    assert (approved.decided_by, approved.expires_at - approved.requested_at) == (site.officer.id, IDENTITY_LIFETIME)
    mail = told(site, applicant, "Your request")
    assert f"before {approved.expires_at:%Y-%m-%d}" in mail

    session, begun, phone = applicant.waiting()
    assert begun.derivation.request == asked.id
    assert begun.derivation.proof != asked.proof  # the card was proved anew
    again = applicant.waiting()  # a code that was lost costs no approval
    assert site.derivation(begun).state is DerivationState.ENDED
    session, begun, phone = again
    site.confirm(session, begun, phone)
    assert applicant.state() is RequestState.USED
    site.confirm(session, begun, phone)
    site.save_rule(approval=Approval.SECOND_PERSON, purposes=(Purpose.AUTHENTICATION,))
    with pytest.raises(EtymonError, match="too_many_derivations"):
        site.begin(applicant.session())
    site.end_own(begun)
    with pytest.raises(EtymonError, match="approval_required"):
        site.begin(applicant.session())  # the next phone is asked for anew
    (event,) = [each for each in site.events("issuer:request:approved") if each.subject == str(asked.id)]
    assert (event.actor, event.facts["applicant"]) == (f"person:{site.officer.id}", str(applicant.person.id))


def test_a_refused_applicant_is_told_why_and_may_ask_again(site: IssuerSite, applicant: Applicant) -> None:
    asked = applicant.ask()
    refuse(site, asked, "Your  phone is\nnot yet known.")
    assert "Your phone is not yet known." in told(site, applicant, "Your request")
    with pytest.raises(EtymonError, match="approval_required"):
        site.begin(applicant.session())
    standing = approval.standing(site.deps, applicant.person.id)
    assert standing.request is not None
    assert standing.request.decision_reason == "Your phone is not yet known."
    again = applicant.ask()
    assert again.id != asked.id
    approve(site, again)
    assert site.begin(applicant.session()).derivation.request == again.id


def test_under_a_blanket_rule_nobody_asks(site: IssuerSite, applicant: Applicant) -> None:
    site.save_rule()
    assert not approval.standing(site.deps, applicant.person.id).is_needed
    with pytest.raises(EtymonError, match="approval_not_needed"):
        applicant.ask()
    assert site.begin(applicant.session()).derivation.request is None


# ---- who decides


def test_only_another_officer_decides(site: IssuerSite, applicant: Applicant) -> None:
    asked = applicant.ask()
    for role in (None, Role.ADMINISTRATOR, Role.AUDITOR, Role.OPERATOR):
        with pytest.raises(EtymonError, match="officer_required"):
            approve(site, asked, somebody(site, role=role).person)
    with pytest.raises(EtymonError, match="officer_required"):
        approve(site, asked, unconfirmed_officer(site))
    officer = somebody(site, role=Role.OFFICER)
    own = officer.ask()
    with pytest.raises(EtymonError, match="own_request"):
        approve(site, own, officer.person)
    assert officer.state() is RequestState.REQUESTED
    approve(site, own)
    approve(site, asked, officer.person)


def test_the_database_takes_no_decision_of_the_applicants_own(site: IssuerSite, applicant: Applicant) -> None:
    asked = applicant.ask()
    values = {"state": "approved", "decided_by": applicant.person.id, "decided_at": site.clock.now()}
    with pytest.raises(sa.exc.IntegrityError), site.database.transaction() as tx:
        tx.execute(table.update().where(table.c.id == asked.id).values(**values))


def test_a_decision_is_made_once(site: IssuerSite, applicant: Applicant) -> None:
    with pytest.raises(EtymonError, match="request_unknown"):
        approval.approve(site.deps, uuid4(), officer=site.officer.id)
    asked = applicant.ask()
    for missing in ("", "  ", "x" * 501, "a\x07b"):
        with pytest.raises(EtymonError, match="reason_missing"):
            refuse(site, asked, missing)
    approve(site, asked)
    for act in (approve, refuse):
        with pytest.raises(EtymonError, match="request_decided"):
            act(site, asked)
    other = somebody(site)
    refused = other.ask()
    refuse(site, refused)
    with pytest.raises(EtymonError, match="request_decided"):
        approve(site, refused)


def test_of_two_decisions_at_once_one_holds(site: IssuerSite, rule: IssuanceRule) -> None:
    del rule

    def code(act: Callable[[IssuerSite, DerivationRequest], DerivationRequest], asked: DerivationRequest) -> str:
        try:
            return act(site, asked).state.value
        except EtymonError as refusal:
            return refusal.code

    with ThreadPoolExecutor(2) as pool:
        for _ in range(4):
            asking = somebody(site)
            asked = asking.ask()
            both = sorted(pool.map(code, (approve, refuse), (asked, asked)))
            assert both in (["approved", "request_decided"], ["refused", "request_decided"])
            assert asking.state().value == both[0]


def test_of_two_that_ask_at_once_one_request_is_kept(site: IssuerSite, applicant: Applicant) -> None:
    sessions = [applicant.session() for _ in range(4)]

    def ask(session: CardSession) -> UUID | None:
        try:
            return approval.ask(site.deps, session, source=PC).id
        except EtymonError:
            return None

    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(ask, sessions)) - {None}
    assert len(made) == 1


# ---- how long


def test_a_request_and_an_approval_end_after_ninety_days(site: IssuerSite, applicant: Applicant) -> None:
    late, waiting = somebody(site), somebody(site)
    approve(site, applicant.ask())
    asked = late.ask()
    waiting.ask()
    site.turn(days=IDENTITY_LIFETIME.days)
    with pytest.raises(EtymonError, match="approval_required"):
        site.begin(applicant.session())
    with pytest.raises(EtymonError, match="request_expired"):
        approve(site, asked)
    again = waiting.ask()
    assert again.state is RequestState.REQUESTED
    assert asked.id not in {each.id for each in _undecided(site)}
    assert approval.standing(site.deps, late.person.id).request is None
    follow_ups.sweep(site.deps)
    assert [each.state() for each in (applicant, late)] == [RequestState.EXPIRED] * 2


def test_an_approval_that_ends_before_the_phone_is_confirmed_confirms_nothing(
    site: IssuerSite, applicant: Applicant
) -> None:
    approve(site, applicant.ask())
    site.turn(days=IDENTITY_LIFETIME.days, minutes=-3)
    session, begun, phone = applicant.waiting()
    site.turn(minutes=4)
    with pytest.raises(EtymonError, match="approval_required"):
        site.confirm(session, begun, phone)
    assert site.derivation(begun).state is DerivationState.REDEEMED


def test_an_approval_ends_with_the_account_and_with_the_rule(site: IssuerSite, applicant: Applicant) -> None:
    leaving = somebody(site)
    approve(site, leaving.ask())
    site.end_account(leaving.person)
    site.account_ended(leaving.person)
    assert leaving.state() is RequestState.ENDED
    asked, other = applicant.ask(), somebody(site)
    approve(site, other.ask())
    site.save_rule(approval=Approval.SECOND_PERSON, most_derivations=2)
    with pytest.raises(EtymonError, match="rule_withdrawn"):
        approve(site, asked)
    with pytest.raises(EtymonError, match="approval_required"):
        site.begin(other.session())


def test_nobody_is_approved_whose_card_or_right_has_gone(site: IssuerSite, applicant: Applicant) -> None:
    asked = applicant.ask()
    with site.database.transaction() as tx:
        people.update(tx, site.deps, applicant.person.id, mail_addresses=[], actor="person:administrator")
    with pytest.raises(EtymonError, match="not_eligible"):
        approve(site, asked)


def test_the_proof_a_request_stands_on_is_kept(site: IssuerSite, applicant: Applicant) -> None:
    asked = applicant.ask()
    site.turn(days=2)
    follow_ups.sweep(site.deps)
    with site.database.snapshot() as tx:
        assert card_sessions.find_proof(tx, asked.proof) is not None


# ---- device classes


def test_a_phone_whose_model_is_not_approved_is_refused(site: IssuerSite, applicant: Applicant) -> None:
    site.save_rule(device_models=("Samsung/*", "Google/Pixel 8*"))
    begun, phone = site.begin(applicant.session()), site.phone()
    with pytest.raises(EtymonError, match="device_class_not_covered"):
        site.redeem(phone, begun)
    assert site.derivation(begun).state is DerivationState.BEGUN
    site.save_rule(device_models=("google/pixel *",))
    site.redeem(phone, site.begin(applicant.session()))


def test_the_store_moves_a_request_as_the_model_allows_and_not_otherwise(
    site: IssuerSite, applicant: Applicant
) -> None:
    asked = applicant.ask()
    decided = {"decided_by": site.officer.id, "decided_at": site.clock.now()}
    for state, target in itertools.product(RequestState, RequestState):
        with site.database.transaction() as tx:
            tx.execute(table.update().where(table.c.id == asked.id).values(state=state.value, **decided))
            found = requests.lock(tx, asked.id)
            assert found is not None
            assert requests.move(tx, found, target) is (target in REQUEST_MOVES[state])


def test_a_request_that_moved_meanwhile_is_not_moved(site: IssuerSite, applicant: Applicant) -> None:
    stale = applicant.ask()
    refuse(site, stale)
    with site.database.transaction() as tx:
        assert not requests.move(tx, stale, RequestState.ENDED)
    assert applicant.state() is RequestState.REFUSED


def _undecided(site: IssuerSite) -> tuple[DerivationRequest, ...]:
    with site.database.snapshot() as tx:
        return approval.undecided(tx, site.deps)
