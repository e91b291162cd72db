# SPDX-License-Identifier: Apache-2.0
"""Holds of what a phone has: who may hold and restore."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from uuid import uuid4

import pytest
import sqlalchemy as sa

from etymon.ca.dependencies import MAXIMUM_HOLD
from etymon.ca.model import CertificateState, IssuedCertificate
from etymon.directory import bindings
from etymon.directory.model import Role
from etymon.issuer import completion, follow_ups, hold_record, holds, incidents
from etymon.issuer.dependencies import record
from etymon.issuer.hold_record import HoldInForce
from etymon.issuer.holds import Order
from etymon.issuer.model import CardSession, Purpose
from etymon.issuer.tables import restorations
from etymon.kernel.errors import Conflict, EtymonError, NotFound, NotPermitted
from etymon.storage.database import Database, Transaction
from support.applicants import somebody, told
from support.issuer_hold import BOTH, A, E, H, HoldablePhone, hold_site, order, refused, together
from support.issuer_rekey import unplugged
from support.issuer_site import PC, IssuerSite


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all; every test has people of its own, and looks at its own time."""
    yield from hold_site(request, tmp_path_factory.mktemp("holds"))


@BOTH
def test_an_officer_holds_and_restores_and_the_person_is_told_of_both(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    assert holds.hold(site.deps, phone.id, order(site)) == site.clock.now() + MAXIMUM_HOLD
    assert (phone.states(), phone.certificate().state, phone.is_bound()) == ([H], CertificateState.HELD, False)
    text = told(site, phone.person, "Credentials on your phone were put on hold")
    assert "An officer put them on hold." in text
    assert f"/undo/{site.derivation(phone.link.begun).undo}" in text
    event = site.events("issuer:derivation:held")[0]
    assert (event.actor, event.subject, event.source) == (f"person:{site.officer.id}", str(phone.id), "192.0.2.1")
    assert (event.facts["reason"], event.facts["credentials"]) == ("The phone was seen elsewhere.", 1)
    phone.restore()
    assert (phone.states(), phone.certificate().state, phone.is_bound()) == ([A], CertificateState.ISSUED, True)
    assert "accepted again" in told(site, phone.person, "Credentials on your phone are in force again")
    with site.database.snapshot() as tx:
        row = tx.execute(sa.select(restorations).where(restorations.c.derivation_id == phone.id)).one()
    assert (row.restored_by, row.proof_id, row.evidence) == (site.officer.id, None, "Showed a passport at the desk.")
    assert site.events("issuer:derivation:restored")[0].facts["evidence"] == row.evidence
    assert site.events("ca:certificate:restored")[0].facts["identity_evidence"] == f"restoration:{row.id}"


@BOTH
def test_a_cardholder_holds_and_restores_with_a_card_proved_anew(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    session = phone.person.session()
    site.turn(minutes=30)
    holds.hold_own(site.deps, session, phone.id, source=PC)  # one factor, however old, is enough to suspend
    assert "Restore them with your smart card" in told(site, phone.person, "Credentials on your phone were put on hold")

    def restore_in(there: CardSession) -> int:
        return holds.restore_own(site.deps, there, phone.id, source=PC)

    refused(NotPermitted, "card_proof_old", partial(restore_in, session))
    refused(NotFound, "derivation_unknown", partial(restore_in, somebody(site).session()))
    fresh = phone.person.session()
    assert restore_in(fresh) == 1
    assert phone.states() == [A]
    site.turn(days=2)
    follow_ups.sweep(site.deps)
    with site.database.snapshot() as tx:
        kept = tx.scalar(sa.select(restorations.c.proof_id).where(restorations.c.derivation_id == phone.id))
    assert kept == fresh.proof  # the evidence stays while unused proofs go
    phone.hold_own()
    late = phone.person.session()
    with site.database.transaction() as tx:
        for binding in bindings.bindings_of(tx, phone.person.person.id):
            if binding.ended_at is None:
                bindings.end(tx, site.deps, binding.id, reason="expired", actor="test")
    refused(NotPermitted, "card_not_bound", partial(restore_in, late))
    assert phone.states() == [H]


@BOTH
def test_who_holds_since_when_until_when_and_why_is_on_record(site: IssuerSite) -> None:
    phone = HoldablePhone(site)

    def in_force() -> HoldInForce | None:
        with site.database.snapshot() as tx:
            ((derivation, certificates, _),) = incidents.of_person(tx, phone.person.person.id)
            return hold_record.in_force(tx, derivation, certificates)

    assert in_force() is None
    since = site.clock.now()
    phone.hold_own()
    own = HoldInForce(phone.person.person.id, since + MAXIMUM_HOLD, since, "")
    assert in_force() == own
    site.turn(hours=1)
    phone.hold()  # takes it over
    taken = site.clock.now()
    site.turn(hours=1)
    with site.database.transaction() as tx:  # what else is told of it since is not the hold
        record(tx, site.deps, "derivation:looked_at", actor="test", subject=phone.id)
    assert in_force() == HoldInForce(site.officer.id, own.until, taken, "The phone was seen elsewhere.")
    phone.restore()
    assert in_force() is None
    phone.hold_own()
    assert in_force() == replace(own, since=site.clock.now(), until=site.clock.now() + MAXIMUM_HOLD)
    phone.end()
    assert in_force() is None


def test_what_an_officer_holds_the_cardholder_does_not_restore(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    phone.hold()
    refused(NotPermitted, "held_by_officer", phone.restore_own)
    refused(Conflict, "credentials_held", phone.hold_own)
    assert phone.states() == [H]
    phone.restore()
    phone.hold_own()
    phone.restore()  # an officer restores what the cardholder held, for whoever has no card at hand
    assert phone.states() == [A]


@BOTH
def test_an_officers_hold_takes_over_the_cardholders(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    phone.hold_own()
    until = site.clock.now() + MAXIMUM_HOLD
    site.turn(hours=1)
    site.mail()
    assert holds.hold(site.deps, phone.id, order(site)) == until
    (kept,) = phone.kept()
    assert (kept.state, kept.held_by, kept.held_until) == (H, site.officer.id, until)
    assert "An officer put them on hold." in told(site, phone.person, "Credentials on your phone were put on hold")
    event = site.events("issuer:derivation:held")[0]
    assert (event.actor, event.facts["taken_over"]) == (f"person:{site.officer.id}", True)
    assert (event.facts["reason"], event.facts["until"]) == ("The phone was seen elsewhere.", until.isoformat())
    refused(NotPermitted, "held_by_officer", phone.restore_own)
    refused(Conflict, "credentials_held", phone.hold)
    refused(Conflict, "credentials_held", phone.hold_own)
    assert phone.states() == [H]
    phone.restore()
    phone.hold_own()
    site.turn(days=30)
    refused(Conflict, "credentials_held", phone.hold)  # what is over already is the worker's to end
    holds.end_overdue(site.deps)
    assert phone.states() == [E]


@BOTH
def test_whatever_the_cardholder_does_at_once_an_officers_hold_stands(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    phone.hold_own()
    session = phone.person.session()
    restore = partial(holds.restore_own, site.deps, session, phone.id, source=PC)
    hold = partial(holds.hold_own, site.deps, session, phone.id, source=PC)
    outcomes = together(phone.hold, restore, hold, restore, hold, restore)
    assert outcomes[0] == "done"
    assert set(outcomes[1:]) <= {"done", "credentials_held", "credentials_not_held", "held_by_officer"}
    assert [(one.state, one.held_by) for one in phone.kept()] == [(H, site.officer.id)]
    refused(NotPermitted, "held_by_officer", restore)


def test_of_certificates_that_end_at_different_times_the_first_end_is_the_holds(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    site.turn(days=85)
    first = phone.held[Purpose.AUTHENTICATION].not_valid_after_utc
    phone.take()
    assert holds.hold(site.deps, phone.id, order(site)) == first
    assert {one.held_until for one in phone.kept()} == {first, site.clock.now() + MAXIMUM_HOLD}
    assert f"by {first:%Y-%m-%d %H:%M} UTC" in told(site, phone.person, "Credentials on your phone were put on hold")


class OvertakenDatabase(Database):
    """The site's database, where something else is committed just before the first transaction of its user."""

    def __init__(self, database: Database, first: Callable[[], object]) -> None:
        super().__init__(database.engine.url)
        self._first: list[Callable[[], object]] = [first]

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        while self._first:
            self._first.pop()()
        with super().transaction() as tx:
            yield tx


@pytest.mark.parametrize("held", [True, False])
@BOTH
def test_who_signs_too_late_what_another_finished_changes_nothing(site: IssuerSite, *, held: bool) -> None:
    phone = HoldablePhone(site)
    site.turn(days=61)
    refused(EtymonError, "issuance_unfinished", lambda: phone.rekey(deps=unplugged(site)))
    old, planned = phone.kept()
    issued: list[IssuedCertificate] = []

    def finished_and_held() -> None:
        issued.append(completion.finish(site.deps, planned.id))
        if held:
            phone.hold()

    overtaken = OvertakenDatabase(site.database, finished_and_held)
    late = partial(completion.finish, replace(site.deps, database=overtaken), planned.id)
    if held:
        refused(NotPermitted, "credential_held", late)
    else:
        assert late() == issued[0]
    overtaken.close()
    assert phone.states() == ([H, H] if held else [A, A])
    events = [one for one in site.events("issuer:credential:issued") if one.subject == str(planned.id)]
    assert len(events) == 1
    assert old.id == phone.kept()[0].id


def test_nobody_but_an_officer_decides_and_no_officer_of_their_own(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    others = [somebody(site, role=role) for role in (None, Role.ADMINISTRATOR, Role.AUDITOR, Role.OPERATOR)]
    theirs = [Order(other.person.id, "Because.") for other in others]
    for one in theirs:
        refused(NotPermitted, "officer_required", partial(holds.hold, site.deps, phone.id, one))
    phone.hold()
    for one in theirs:
        refused(NotPermitted, "officer_required", partial(holds.restore, site.deps, phone.id, one))
    own = HoldablePhone(site, somebody(site, role=Role.OFFICER))
    mine = Order(own.person.person.id, "I am sure.")
    refused(NotPermitted, "own_credentials", lambda: holds.hold(site.deps, own.id, mine))
    own.hold()
    refused(NotPermitted, "own_credentials", lambda: holds.restore(site.deps, own.id, mine))
    assert (phone.states(), own.states()) == ([H], [H])
    for act in (holds.hold, holds.restore):
        refused(EtymonError, "reason_missing", partial(act, site.deps, phone.id, order(site, " ")))
        refused(NotFound, "derivation_unknown", partial(act, site.deps, uuid4(), order(site)))


def test_only_what_is_in_force_is_held_and_only_what_is_held_is_restored(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    refused(Conflict, "credentials_not_held", phone.restore)
    phone.hold()
    refused(Conflict, "credentials_held", phone.hold)
    phone.restore()
    refused(Conflict, "credentials_not_held", phone.restore)
    phone.end()
    refused(Conflict, "credentials_not_in_force", phone.hold)
    under_way = somebody(site).derived()
    for link in (under_way, site.linked(card=somebody(site).card)):
        known = link.begun.derivation.id
        refused(Conflict, "set_up_under_way", partial(holds.hold, site.deps, known, order(site)))
    over = HoldablePhone(site)
    site.turn(days=90)
    refused(Conflict, "credentials_not_in_force", over.hold)
