# SPDX-License-Identifier: Apache-2.0
"""What a held credential opens, how it comes back, and how it ends."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from etymon.ca import holds as ca_holds
from etymon.ca.model import CertificateState, RevocationReason
from etymon.issuer import holds, invalidation, key_history, management
from etymon.issuer.key_history import HistoryRequest
from etymon.issuer.model import DerivationState, Purpose
from etymon.issuer.store import credentials, derivations
from etymon.issuer.store.clients import Client
from etymon.issuer.tables import credentials as credentials_table
from etymon.kernel.errors import Conflict, EtymonError, Expired, NotPermitted
from etymon.pki.errors import NotTrusted
from support.applicants import somebody, told
from support.issuer_hold import BOTH, RULE, A, E, H, HoldablePhone, hold_site, order, refused, together
from support.issuer_phone import Phone
from support.issuer_rekey import rename, unplugged, work
from support.issuer_site import PC, IssuerSite


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all; every test has people of its own, and looks at its own time."""
    yield from hold_site(request, tmp_path_factory.mktemp("holds"))


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
