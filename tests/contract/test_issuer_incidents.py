# SPDX-License-Identifier: Apache-2.0
"""What an officer ends of others: one, all, or everything that a suspect has authorised."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from etymon.ca import ceremony
from etymon.ca.model import SubjectNames
from etymon.ca.tables import certificates as certificates_table
from etymon.directory.model import Person, Role
from etymon.issuer import incidents
from etymon.issuer.incidents import Ended, Place, Progress, Suspect
from etymon.issuer.model import Approval, DerivationState, EndReason, Purpose
from etymon.issuer.officers import Order
from etymon.issuer.request import RequestState
from etymon.issuer.store import requests, rules
from etymon.issuer.tables import credentials as credentials_table
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, EtymonError
from support import derivation_crowd
from support.applicants import approve, somebody, told
from support.clock import TurnedClock
from support.issuer_site import IssuerSite, Link

PURPOSES = (Purpose.AUTHENTICATION,)


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres", "initdb"))]
)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all; every test has people of its own, and looks at its own time."""
    databases = request.getfixturevalue(f"{request.param}_databases")
    database = databases.migrated()
    yield IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("incidents"))
    databases.drop(database)


@pytest.fixture(autouse=True)
def _anew(site: IssuerSite) -> None:
    site.turn(hours=1)
    site.mail()
    site.save_rule(purposes=PURPOSES, most_derivations=3)


def order(site: IssuerSite, officer: Person | None = None, comment: str = "Reported by the help desk.") -> Order:
    return Order((officer or site.officer).id, EndReason.KEY_COMPROMISE, comment, "192.0.2.1")


def once(site: IssuerSite, suspect: Suspect, at_most: int = 50) -> Progress:
    """Return what a call from the beginning says, but for where it would go on."""
    return replace(incidents.end_authorized(site.deps, suspect, order(site), at_most=at_most), following=None)


def is_ended(site: IssuerSite, link: Link) -> bool:
    """Say whether the derivation is over, and certificates with it."""
    certificate = site.credential_certificate(link.begun, Purpose.AUTHENTICATION)
    over = site.derivation(link.begun).state is DerivationState.ENDED
    assert site.is_revoked(certificate) is over
    return over


def test_an_officer_ends_what_a_person_has_on_one_phone(site: IssuerSite) -> None:
    site.turn(seconds=1)  # no other incident is of this moment
    person = somebody(site)
    lost, other = person.derived(), person.derived()
    with site.database.snapshot() as tx:
        listed = [each.derivation.id for each in incidents.of_person(tx, person.person.id)]
    assert set(listed) == {lost.begun.derivation.id, other.begun.derivation.id}
    assert incidents.end_one(site.deps, lost.begun.derivation.id, order(site)) == 1
    assert (is_ended(site, lost), is_ended(site, other)) == (True, False)
    assert "may be in other hands" in told(site, person, "Credentials on your phone were ended")
    event = site.events("issuer:incident:handled")[0]
    assert (event.actor, event.source) == (f"person:{site.officer.id}", "192.0.2.1")
    assert (event.facts["reason"], event.facts["comment"]) == ("keyCompromise", "Reported by the help desk.")
    assert incidents.end_one(site.deps, lost.begun.derivation.id, order(site)) == 0


def test_an_officer_ends_everything_of_a_person(site: IssuerSite) -> None:
    person, colleague = somebody(site), somebody(site)
    found = [person.derived(), person.derived(), colleague.derived()]
    site.save_rule(approval=Approval.SECOND_PERSON, purposes=PURPOSES, most_derivations=3)
    person.ask()
    assert incidents.end_all(site.deps, person.person.id, order(site)) == Ended(2, 0)
    assert [is_ended(site, link) for link in found] == [True, True, False]
    assert person.state() is RequestState.ENDED


def test_nobody_but_an_officer_ends_credentials_of_others(site: IssuerSite) -> None:
    person = somebody(site)
    link = person.derived()
    derivation = link.begun.derivation.id
    suspect = Suspect(site.clock.now() - timedelta(minutes=1), rule=site.rule.name)
    for role in (None, Role.ADMINISTRATOR, Role.AUDITOR, Role.OPERATOR):
        theirs = order(site, somebody(site, role=role).person)
        for refused in (
            lambda theirs=theirs: incidents.end_one(site.deps, derivation, theirs),
            lambda theirs=theirs: incidents.end_all(site.deps, person.person.id, theirs),
            lambda theirs=theirs: incidents.end_authorized(site.deps, suspect, theirs),
        ):
            with pytest.raises(EtymonError, match="officer_required"):
                refused()
    assert not is_ended(site, link)


def test_an_order_has_a_reason_in_words_and_names_what_is_there(site: IssuerSite) -> None:
    with pytest.raises(EtymonError, match="reason_missing"):
        incidents.end_one(site.deps, uuid4(), order(site, comment=" "))
    with pytest.raises(EtymonError, match="derivation_unknown"):
        incidents.end_one(site.deps, uuid4(), order(site))
    now = site.clock.now()
    for wrong in (
        Suspect(now),
        Suspect(now, "staff", site.officer.id),
        Suspect(now, "staff", authority="derived"),
        Suspect(now + timedelta(minutes=1), "staff"),
    ):
        with pytest.raises(EtymonError, match="malformed"):
            incidents.end_authorized(site.deps, wrong, order(site))
    with pytest.raises(EtymonError, match="issuance_rule_unknown"):
        incidents.end_authorized(site.deps, Suspect(now, "never"), order(site))
    with pytest.raises(EtymonError, match="authority_not_found"):
        incidents.end_authorized(site.deps, Suspect(now, authority="never"), order(site))
    for other in ("device", "derived-root", "device-root"):
        with pytest.raises(Conflict, match="authority_not_of_issuer"):
            incidents.end_authorized(site.deps, Suspect(now, authority=other), order(site))


def test_what_a_rule_authorised_since_a_time_ends_in_batches(site: IssuerSite) -> None:
    early = somebody(site).derived()
    site.turn(hours=1)
    since = site.clock.now()
    late = [somebody(site).derived() for _ in range(3)]
    site.save_rule(purposes=PURPOSES, most_derivations=2)  # the rule of that name before counts as well
    late.append(somebody(site).derived())
    suspect = Suspect(since, rule="staff")
    told_of = [once(site, suspect, at_most=3) for _ in range(3)]
    assert told_of == [Progress(3, 0, 3, 1), Progress(1, 0, 1, 0), Progress(0, 0, 0, 0)]
    assert [is_ended(site, link) for link in (early, *late)] == [False, True, True, True, True]
    handled = site.events("issuer:incident:handled")[:3]
    assert sorted(str(event.facts["remaining"]) for event in handled) == ["0", "0", "1"]


def test_a_pass_goes_on_from_place_to_place_and_counts_at_its_beginning_and_its_end(site: IssuerSite) -> None:
    site.turn(hours=1)
    suspect = Suspect(site.clock.now(), rule="staff")
    derivation_crowd.add(site.database, somebody(site).derived().begun.derivation.id, 4)
    calls: list[Progress] = []
    after = None
    while not calls or after:
        calls.append(incidents.end_authorized(site.deps, suspect, order(site), at_most=2, after=after))
        after = calls[-1].following
    assert [(call.derivations, call.remaining) for call in calls] == [(2, 3), (2, None), (1, 0)]
    handled = [event.facts["remaining"] for event in site.events("issuer:incident:handled")[:3]]
    assert sorted(map(str, handled)) == ["0", "3", "None"]


def test_whatever_place_a_call_names_the_end_of_its_pass_tells_what_is_left(site: IssuerSite) -> None:
    site.turn(hours=1)
    suspect = Suspect(site.clock.now(), rule="staff")
    left = somebody(site).derived()
    for last in (Place(derivation=UUID(int=2**128 - 1)), Place(managed=uuid4())):
        said = incidents.end_authorized(site.deps, suspect, order(site), after=last)
        assert said == Progress(0, 0, 0, 1), "what came behind the place is for another pass"
    assert not is_ended(site, left)


def test_what_an_officer_authorised_ends_rules_approvals_and_rekeys(site: IssuerSite) -> None:
    suspect, since = somebody(site, role=Role.OFFICER).person, site.clock.now()
    by_rule = somebody(site)
    site.save_rule(officer=suspect, purposes=PURPOSES)
    under_their_rule = by_rule.derived()
    site.save_rule(approval=Approval.SECOND_PERSON, purposes=PURPOSES)
    approved, unused, honest = somebody(site), somebody(site), somebody(site)
    approve(site, approved.ask(), suspect)
    approve(site, unused.ask(), suspect)
    approve(site, honest.ask())
    under_approval, under_honest = approved.derived(), honest.derived()
    wanting = site.rule
    site.save_rule(purposes=PURPOSES)
    rekeyed = somebody(site).derived()
    with site.database.snapshot() as tx:
        (their_rule,) = rules.authorized_by(tx, officer=suspect.id)
    with site.database.transaction() as tx:  # as a rekey under that rule leaves it
        mine = credentials_table.c.derivation_id == rekeyed.begun.derivation.id
        assert tx.execute(credentials_table.update().where(mine).values(rule_id=their_rule)).rowcount == 1
    done = incidents.end_authorized(site.deps, Suspect(since, officer=suspect.id), order(site))
    assert done == Progress(3, 1, 3, 0)
    assert all(is_ended(site, link) for link in (under_their_rule, under_approval, rekeyed))
    assert not is_ended(site, under_honest)
    with site.database.snapshot() as tx:
        left = requests.latest(tx, unused.person.id, wanting.id)
    assert left is not None
    assert left.state is RequestState.ENDED


def test_what_an_authority_certified_since_a_time_ends_also_where_it_gave_up(site: IssuerSite) -> None:
    early = somebody(site).derived()
    site.turn(hours=1)
    since = site.clock.now()
    late = [somebody(site).derived() for _ in range(2)]
    given_up = late[1].begun
    planned = site.credential_certificate(given_up, Purpose.AUTHENTICATION).tbs_certificate_bytes
    with site.database.transaction() as tx:  # as a plan is left that a revoked authority never signed
        mine = credentials_table.c.derivation_id == given_up.derivation.id
        (certificate,) = tx.scalars(sa.select(credentials_table.c.certificate_id).where(mine))
        unsigned = {"state": "abandoned", "tbs": planned, "der": None, "thumbprint": None, "issued_at": None}
        tx.execute(certificates_table.update().where(certificates_table.c.id == certificate).values(**unsigned))
    (like,) = [new for new in ceremony.deployment(SubjectNames(organization="Agency")) if new.name == "derived"]
    second = replace(like, name="derived-2", subject=replace(like.subject, common_name="Derived Credential CA 2"))
    ceremony.create(site.ca.deps, site.ca.keys, [second], actor="ceremony")
    other = Suspect(since, authority="derived-2")
    assert once(site, other) == Progress(0, 0, 0, 0)
    suspect = Suspect(since, authority="derived")
    told_of = [once(site, suspect, at_most=1) for _ in range(3)]
    assert told_of == [Progress(1, 0, 1, 1), Progress(1, 0, 1, 0), Progress(0, 0, 0, 0)]
    assert not is_ended(site, early)
    assert is_ended(site, late[0])
    assert site.derivation(given_up).state is DerivationState.ENDED
    assert "authority:derived" in {event.subject for event in site.events("issuer:incident:handled")}
