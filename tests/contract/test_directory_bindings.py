# SPDX-License-Identifier: Apache-2.0
"""Trust entries and bindings on both engines."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from etymon.directory import bindings, roles, trust
from etymon.directory.model import BindingState, Person, Role
from etymon.directory.notices import MAIL_JOB
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotFound, NotPermitted
from etymon.pki.trust_entry import IdentifierKind, TrustKind
from etymon.storage.database import Database, Transaction
from support.appointments import appoint_officer
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR, DirectorySite, self_signed

CARD = "70001234000002110000000000000000"


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy) -> DirectorySite:
    return DirectorySite(database, clock, entropy)


def bind(site: DirectorySite, person: Person, identifier: str = CARD, *, entry: str = "cards") -> uuid.UUID:
    with site.database.transaction() as tx:
        return bindings.bind(
            tx, site.deps, trust_entry=entry, identifier=identifier, person_id=person.id, actor=ADMINISTRATOR
        ).id


def person_for(site: DirectorySite, identifier: str = CARD, *, entry: str = "cards") -> Person | None:
    with site.database.snapshot() as tx:
        return bindings.person_for(tx, entry, identifier)


def refused(site: DirectorySite, act: Callable[[Transaction], object]) -> EtymonError:
    with pytest.raises(EtymonError) as refusal, site.database.transaction() as tx:
        act(tx)
    return refusal.value


def at_once(act: Callable[[int], object], count: int) -> list[str]:
    together = threading.Barrier(count)

    def run(number: int) -> str:
        together.wait()
        try:
            act(number)
        except EtymonError as refusal:
            return refusal.code
        return "done"

    with ThreadPoolExecutor(count) as workers:
        return sorted(workers.map(run, range(count)))


def test_a_trust_entry_comes_back_as_it_was_saved(site: DirectorySite) -> None:
    entry = site.trust("agency-cards")
    site.trust("derived", kind=TrustKind.DERIVED, identifier=IdentifierKind.UUID)
    with site.database.snapshot() as tx:
        assert trust.entry(tx, "agency-cards") == entry
        assert [each.name for each in trust.entries(tx)] == ["agency-cards", "derived"]
        assert [each.name for each in trust.entries(tx, TrustKind.DERIVED)] == ["derived"]
        with pytest.raises(NotFound):
            trust.entry(tx, "unknown")


def test_a_changed_trust_entry_is_recorded_and_an_unchanged_one_is_not(site: DirectorySite) -> None:
    entry = site.trust()
    changed = replace(entry, anchors=(*entry.anchors, self_signed("next")))
    for each in (entry, changed, changed):
        with site.database.transaction() as tx:
            trust.save(tx, site.deps, each, actor=ADMINISTRATOR)
    assert site.events("trust_entry:cards") == ["directory:trust_entry:saved"] * 2
    with site.database.snapshot() as tx:
        assert trust.entry(tx, "cards") == changed


@pytest.mark.parametrize("change", [{"kind": TrustKind.DERIVED}, {"identifier": IdentifierKind.EDIPI}])
def test_an_entry_that_accounts_are_bound_under_keeps_its_meaning(
    site: DirectorySite, change: dict[str, TrustKind | IdentifierKind]
) -> None:
    entry = site.trust()
    other = replace(entry, **change)  # type: ignore[arg-type]  # one of two fields, each with its own type
    with site.database.transaction() as tx:
        trust.save(tx, site.deps, other, actor=ADMINISTRATOR)  # nothing is bound yet
        trust.save(tx, site.deps, entry, actor=ADMINISTRATOR)
    bind(site, site.person())
    refusal = refused(site, lambda tx: trust.save(tx, site.deps, other, actor=ADMINISTRATOR))
    assert (type(refusal), refusal.code) == (Conflict, "trust_entry_in_use")


@pytest.mark.parametrize("role", [Role.OFFICER, Role.AUDITOR, Role.KEY_RECOVERY_AGENT, Role.KEY_RECOVERY_OFFICIAL])
def test_an_entry_that_opens_an_officers_or_auditors_account_takes_no_further_authority(
    site: DirectorySite, role: Role
) -> None:
    entry = site.trust()
    person = site.person()
    bind(site, person)
    with site.database.transaction() as tx:
        roles.assign(tx, site.deps, person.id, role, actor=ADMINISTRATOR, authority="letter")
    for wider in (
        replace(entry, anchors=(*entry.anchors, self_signed("own"))),
        replace(entry, anchors=(self_signed("own"),)),
        replace(entry, policies=entry.policies | {"2.999.9"}),
        replace(entry, upn_suffixes=(*entry.upn_suffixes, "evil.example")),
    ):
        refusal = refused(site, lambda tx, wider=wider: trust.save(tx, site.deps, wider, actor=ADMINISTRATOR))  # type: ignore[misc]  # bound now
        assert refusal.code == "separated_roles"
    narrower = replace(entry, status_hosts=frozenset({"status.agency.example"}))
    with site.database.transaction() as tx:
        trust.save(tx, site.deps, narrower, actor=ADMINISTRATOR)
        trust.save(tx, site.deps, replace(entry, name="next", anchors=(self_signed("own"),)), actor=ADMINISTRATOR)


def test_a_removed_entry_takes_its_bindings_along_and_its_name_starts_anew(site: DirectorySite) -> None:
    entry = site.trust()
    alice = site.person()
    bind(site, alice)
    with site.database.transaction() as tx:
        trust.remove(tx, site.deps, "cards", actor=ADMINISTRATOR)
        assert trust.entries(tx) == ()
    assert person_for(site) is None
    assert (
        refused(site, lambda tx: trust.remove(tx, site.deps, "cards", actor=ADMINISTRATOR)).code
        == "trust_entry_unknown"
    )
    with site.database.transaction() as tx:
        trust.save(tx, site.deps, replace(entry, kind=TrustKind.DERIVED), actor=ADMINISTRATOR)
    assert person_for(site) is None


def remove(site: DirectorySite, name: str) -> None:
    with site.database.transaction() as tx:
        trust.remove(tx, site.deps, name, actor=ADMINISTRATOR)


@pytest.mark.parametrize("role", [Role.KEY_RECOVERY_AGENT, Role.KEY_RECOVERY_OFFICIAL])
def test_an_entry_stays_while_a_card_of_it_stands_for_somebody_who_recovers_keys(
    site: DirectorySite, role: Role
) -> None:
    site.trust()
    site.trust("derived", kind=TrustKind.DERIVED, identifier=IdentifierKind.UUID)
    kim = site.person()
    bind(site, kim)
    bind(site, kim, "urn:uuid:kims-phone", entry="derived")
    with site.database.transaction() as tx:
        roles.assign(tx, site.deps, kim.id, role, actor=ADMINISTRATOR, authority="letter")
    refusal = refused(site, lambda tx: trust.remove(tx, site.deps, "cards", actor=ADMINISTRATOR))
    assert (type(refusal), refusal.code) == (NotPermitted, "recovery_role_held")
    assert person_for(site) == kim
    remove(site, "derived")  # no card ends with it
    with site.database.transaction() as tx:
        roles.withdraw(tx, site.deps, kim.id, role, actor=ADMINISTRATOR, authority="letter")
    remove(site, "cards")
    assert person_for(site) is None


def test_an_officer_keeps_a_card_whichever_entries_are_removed(site: DirectorySite) -> None:
    for entry in ("cards", "next"):
        site.trust(entry)
        officer = site.person(f"officer-of-{entry}")
        bind(site, officer, entry=entry)
        with site.database.transaction() as tx:
            roles.assign(tx, site.deps, officer.id, Role.OFFICER, actor=ADMINISTRATOR, authority="letter")
        if entry == "cards":
            refusal = refused(site, lambda tx: trust.remove(tx, site.deps, "cards", actor=ADMINISTRATOR))
            assert (type(refusal), refusal.code) == (NotPermitted, "last_officers")
    assert at_once(lambda number: remove(site, ("cards", "next")[number]), 2) == ["done", "last_officers"]


def test_an_officer_whom_nobody_confirmed_is_no_other_officer_with_a_card(site: DirectorySite) -> None:
    puppet = site.person("puppet")
    for entry in ("cards", "next"):
        site.trust(entry)
    bind(site, puppet, entry="next")
    with site.database.transaction() as tx:
        officer = appoint_officer(tx, site.deps, puppet)
    bind(site, officer)
    refusal = refused(site, lambda tx: trust.remove(tx, site.deps, "cards", actor=ADMINISTRATOR))
    assert (type(refusal), refusal.code) == (NotPermitted, "last_officers")
    remove(site, "next")


def test_a_bound_card_stands_for_its_person_and_the_person_is_told(site: DirectorySite) -> None:
    site.trust()
    alice = site.person()
    bind(site, alice)
    assert person_for(site) == alice
    (mail,) = site.jobs(MAIL_JOB)
    assert mail.payload["to"] == ["alice@example.test"]
    assert CARD not in str(mail.payload)
    assert "directory:binding:bound" in site.events(f"person:{alice.id}")


def test_a_derived_credential_is_bound_without_a_second_notice(site: DirectorySite) -> None:
    site.trust("derived", kind=TrustKind.DERIVED, identifier=IdentifierKind.UUID)
    alice = site.person()
    bind(site, alice, str(uuid.uuid4()), entry="derived")
    assert site.jobs(MAIL_JOB) == []


def test_binding_again_changes_nothing_and_binding_somebody_elses_is_refused(site: DirectorySite) -> None:
    site.trust()
    alice, bob = site.person("alice"), site.person("bob")
    assert bind(site, alice) == bind(site, alice)
    with pytest.raises(Conflict) as refusal:
        bind(site, bob)
    assert refusal.value.code == "identifier_bound"
    assert len(site.jobs(MAIL_JOB)) == 1


def test_of_several_people_bound_to_one_card_at_once_one_is(site: DirectorySite) -> None:
    site.trust()
    everybody = [site.person(f"person{number}") for number in range(4)]
    assert at_once(lambda number: bind(site, everybody[number]), 4) == ["done"] + ["identifier_bound"] * 3
    assert person_for(site) in everybody


def test_what_cannot_be_bound_is_refused(site: DirectorySite) -> None:
    site.trust()
    alice = site.person()
    with pytest.raises(NotFound, match="trust_entry_unknown"):
        bind(site, alice, entry="unknown")
    with pytest.raises(Malformed):
        bind(site, alice, "")
    site.end_account(alice)
    with pytest.raises(NotFound, match="person_unknown"):
        bind(site, alice)


def test_an_ended_account_is_no_longer_answered_and_its_card_can_be_bound_anew(site: DirectorySite) -> None:
    site.trust()
    alice = site.person()
    bind(site, alice)
    site.end_account(alice)
    assert person_for(site) is None
    again = site.person("alice")
    bind(site, again)
    assert person_for(site) == again


def test_an_ended_binding_stays_on_record(site: DirectorySite) -> None:
    site.trust()
    alice = site.person()
    first = bind(site, alice)
    site.clock.advance(timedelta(days=1))
    with site.database.transaction() as tx:
        bindings.end(tx, site.deps, first, reason="card replaced", actor=ADMINISTRATOR)
    assert person_for(site) is None
    second = bind(site, alice, "new-card")
    with site.database.snapshot() as tx:
        known = bindings.bindings_of(tx, alice.id)
    assert [(each.id, each.state) for each in known] == [(first, BindingState.ENDED), (second, BindingState.BOUND)]
    again = refused(site, lambda tx: bindings.end(tx, site.deps, first, reason="again", actor=ADMINISTRATOR))
    assert again.code == "binding_unknown"


def test_one_identifier_under_two_entries_stands_for_two_people(site: DirectorySite) -> None:
    """What a text names is decided by the entry: another issuer may use the same numbers."""
    site.trust("cards")
    site.trust("other-cards")
    alice, bob = site.person("alice"), site.person("bob")
    bind(site, alice)
    bind(site, bob, entry="other-cards")
    assert (person_for(site), person_for(site, entry="other-cards")) == (alice, bob)
