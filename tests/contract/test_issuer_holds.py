# SPDX-License-Identifier: Apache-2.0
"""Holds of what a phone has: who may, what a held credential opens, how it comes back, and how it ends."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from etymon.ca import holds as ca_holds
from etymon.ca.dependencies import MAXIMUM_HOLD
from etymon.ca.model import CertificateState, IssuedCertificate, RevocationReason
from etymon.directory import bindings
from etymon.directory.model import Role
from etymon.issuer import completion, follow_ups, holds, invalidation, key_history, management
from etymon.issuer.holds import Order
from etymon.issuer.key_history import HistoryRequest
from etymon.issuer.model import CardSession, CredentialState, DerivationState, Purpose
from etymon.issuer.store import credentials, derivations
from etymon.issuer.store.clients import Client
from etymon.issuer.tables import credentials as credentials_table
from etymon.issuer.tables import restorations
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, EtymonError, Expired, NotFound, NotPermitted
from etymon.pki.errors import NotTrusted
from etymon.storage.database import Database, Transaction
from support.applicants import somebody, told
from support.clock import TurnedClock
from support.issuer_hold import HoldablePhone, order
from support.issuer_phone import Phone
from support.issuer_rekey import rename, unplugged, work
from support.issuer_site import PC, IssuerSite

LIFETIME = timedelta(days=90)
RULE = {"purposes": (Purpose.AUTHENTICATION, Purpose.SIGNATURE), "lifetime": LIFETIME, "most_derivations": 9}
A, H, E = CredentialState.ACTIVE, CredentialState.HELD, CredentialState.ENDED


BOTH = pytest.mark.parametrize(
    "site", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres", "initdb"))], indirect=True
)
"""For what the database guards or finds; the rest asks nothing of an engine that these do not."""


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all; every test has people of its own, and looks at its own time."""
    databases = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_databases")
    database = databases.migrated()
    site = IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("holds"))
    site.save_rule(**RULE)
    yield site
    databases.drop(database)


def refused(kind: type[EtymonError], code: str, act: Callable[[], object]) -> None:
    with pytest.raises(kind) as found:
        act()
    assert found.value.code == code


def together(*acts: Callable[[], object]) -> list[str]:
    """Do six things at once; return how each went."""
    gate = threading.Barrier(6)

    def run(act: Callable[[], object]) -> str:
        gate.wait(timeout=30)
        try:
            act()
        except EtymonError as refusal:
            return refusal.code
        return "done"

    with ThreadPoolExecutor(6) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, act) for act in acts]]


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


def test_a_held_credential_opens_nothing_and_goes_on_when_it_is_restored(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    client = Client("mdm", "MDM", {}, frozenset({"device"}), site.clock.now())
    site.turn(days=59)
    phone.hold()
    site.turn(days=1, hours=1)  # its rekey becomes due while it is held
    since = site.clock.now()
    asked = (since, UUID(int=0))

    def due() -> list[UUID]:
        found, _ = management.due_for_rekey(site.deps, client, after=asked)
        return [credential.derivation for credential in found]

    refused(NotTrusted, "held_by_database", phone.rekey)
    refused(NotTrusted, "held_by_database", lambda: key_history.listed(site.deps, phone.peer, source=PC))
    transport = Phone(None).body(Purpose.ENCRYPTION)
    wanted = HistoryRequest((uuid4(),), transport)
    refused(NotTrusted, "held_by_database", lambda: key_history.release(site.deps, wanted, phone.peer, source=PC))
    refused(NotTrusted, "held_by_database", phone.confirm)
    assert due() == []
    site.turn(hours=1)
    phone.restore()
    assert phone.id in due()  # also to whoever has asked for later ones meanwhile
    phone.take()
    assert phone.states() == [A, A]


def test_what_a_phone_asks_while_a_hold_comes_between_is_refused_as_well(site: IssuerSite) -> None:
    """The door has judged the certificate; the hold is committed before what it opens is used."""
    phone = HoldablePhone(site)
    site.turn(days=61)
    (credential,) = phone.kept()
    with site.database.transaction() as tx:  # as if the authority's answer were older than the hold
        values = {"held_until": site.clock.now() + timedelta(days=1), "held_by": site.officer.id}
        assert credentials.move(tx, credential, H, values)
    refused(NotPermitted, "credential_unknown", phone.rekey)
    refused(NotPermitted, "credential_unknown", phone.confirm)
    refused(NotPermitted, "credential_unknown", lambda: key_history.listed(site.deps, phone.peer, source=PC))


def test_a_phone_that_asks_again_for_what_is_held_gets_it_when_it_is_restored(site: IssuerSite) -> None:
    site.save_rule(**{**RULE, "purposes": (Purpose.AUTHENTICATION,)})
    link = site.linked(card=somebody(site).card)
    body = link.phone.body(Purpose.AUTHENTICATION)
    given = link.enroll(body=body).certificate
    known = link.begun.derivation.id
    holds.hold(site.deps, known, order(site))
    refused(NotPermitted, "credential_held", partial(link.enroll, body=body))
    site.turn(minutes=5)
    assert site.work() >= 1  # also whoever would finish what a process left behind
    holds.restore(site.deps, known, order(site))
    assert link.enroll(body=body).certificate == given
    site.save_rule(**RULE)


def test_nothing_comes_back_once_the_account_has_ended(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    phone.hold()
    site.end_account(phone.person.person)
    refused(NotPermitted, "not_eligible", phone.restore)  # before a worker has ended the rest


def test_a_rekey_under_way_is_given_up_by_a_hold_and_asked_for_anew(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    site.turn(days=61)
    refused(EtymonError, "issuance_unfinished", lambda: phone.rekey(deps=unplugged(site)))
    phone.hold()
    assert sorted(phone.states()) == [E, H]
    work(site)  # nobody finishes what was given up
    assert sorted(phone.states()) == [E, H]
    phone.restore()
    phone.take()
    assert sorted(phone.states()) == [A, A, E]


def test_what_was_replaced_ends_when_its_grace_is_over_also_during_a_hold(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    site.turn(days=61)
    phone.take()
    phone.hold()
    assert phone.states() == [H, H]
    site.turn(days=8)
    work(site)
    assert phone.states() == [E, H]
    assert (phone.certificate().state, phone.certificate().reason) == (
        CertificateState.REVOKED,
        RevocationReason.SUPERSEDED,
    )
    phone.restore()
    assert phone.states() == [E, A]


def test_a_name_that_changed_during_a_hold_makes_a_rekey_due_when_it_is_restored(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    phone.hold()
    rename(site, phone.person.person, display_name="Another Name")
    assert phone.kept()[0].rekey_from != site.clock.now()
    phone.restore()
    assert phone.kept()[0].rekey_from == site.clock.now()


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (HoldablePhone.end, RevocationReason.KEY_COMPROMISE),
        (lambda one: one.site.end_own(one.link.begun), RevocationReason.KEY_COMPROMISE),
        (lambda one: invalidation.undo(one.site.deps, one.link.begun.derivation.undo, source=PC), 1),
        (lambda one: one.site.account_ended(one.person.person), RevocationReason.AFFILIATION_CHANGED),
    ],
    ids=["officer", "cardholder", "notice", "account"],
)
def test_an_end_during_a_hold_is_for_good_with_its_own_reason(
    site: IssuerSite, end: Callable[[HoldablePhone], object], reason: int
) -> None:
    phone = HoldablePhone(site)
    phone.hold()
    began = site.clock.now()
    site.turn(hours=1)
    end(phone)
    found = phone.certificate()
    assert (phone.states(), found.state, found.reason, found.revoked_at) == (
        [E],
        CertificateState.REVOKED,
        reason,
        began,
    )
    assert site.derivation(phone.link.begun).state is DerivationState.ENDED
    refused(Conflict, "credentials_not_held", phone.restore)


@pytest.mark.parametrize("authority_first", [False, True])
def test_a_hold_ends_for_good_when_nobody_restores_it_and_its_person_is_told(
    site: IssuerSite, *, authority_first: bool
) -> None:
    phone = HoldablePhone(site)
    phone.hold_own()
    began = site.clock.now()
    site.mail()
    site.turn(days=29, hours=23)
    holds.end_overdue(site.deps)
    assert phone.states() == [H]
    site.turn(hours=1)
    for restore in (phone.restore, phone.restore_own):
        refused(Expired, "hold_over", restore)  # also before the worker has come by
    if authority_first:
        ca_holds.end_overdue(site.deps.ca)
    assert holds.end_overdue(site.deps) >= 1  # others' may be over as well
    assert holds.end_overdue(site.deps) == 0
    ca_holds.end_overdue(site.deps.ca)
    assert "nobody restored them" in told(site, phone.person, "Credentials on your phone were ended")
    assert (phone.states(), phone.certificate().revoked_at) == ([E], began)
    assert phone.certificate().reason is RevocationReason.UNSPECIFIED
    assert site.derivation(phone.link.begun).state is DerivationState.ENDED
    refused(Conflict, "credentials_not_held", phone.restore)


@BOTH
def test_a_certificate_that_comes_to_its_end_during_a_hold_ends_alone(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    site.turn(days=85)
    phone.take()  # the first ends in five days; in its grace both are held
    phone.hold()
    site.turn(days=6)
    phone.restore()
    assert phone.states() == [H, A]
    holds.end_overdue(site.deps)
    assert phone.states() == [E, A]
    assert site.derivation(phone.link.begun).state is DerivationState.COMPLETED


def test_a_held_phone_counts_among_those_a_person_may_have(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    phone.hold_own()
    site.save_rule(**{**RULE, "most_derivations": 1})
    refused(Conflict, "too_many_derivations", phone.person.derived)
    site.save_rule(**RULE)


@BOTH
def test_of_many_who_hold_restore_and_end_at_once_each_move_is_made_once(site: IssuerSite) -> None:
    phone = HoldablePhone(site)
    outcomes = together(*[phone.hold] * 6)
    assert sorted(outcomes) == ["credentials_held"] * 5 + ["done"]
    outcomes = together(*[phone.restore] * 6)
    assert sorted(outcomes) == ["credentials_not_held"] * 5 + ["done"]
    assert (phone.states(), phone.certificate().state) == ([A], CertificateState.ISSUED)
    outcomes = together(phone.hold, phone.hold, phone.restore, phone.restore, phone.end, phone.end)
    assert outcomes[4:] == ["done", "done"]
    assert (phone.states(), phone.certificate().state, phone.is_bound()) == ([E], CertificateState.REVOKED, False)
    with site.database.snapshot() as tx:
        left = tx.scalar(sa.select(sa.func.count()).where(credentials_table.c.derivation_id == phone.id))
        assert derivations.find(tx, phone.id) is not None
    assert left == 1
