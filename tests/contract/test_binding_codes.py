# SPDX-License-Identifier: Apache-2.0
"""One-time codes that make a first binding, on both engines."""

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from etymon.directory import bindings, roles
from etymon.directory.bindings import CODE_LIFETIME, CODE_TRIES, INITIAL_CODE_LIFETIME
from etymon.directory.model import Person, Role
from etymon.directory.store import people as people_store
from etymon.directory.tables import binding_codes
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, NotPermitted
from etymon.kernel.secret import Secret
from etymon.pki.trust_entry import IdentifierKind, TrustKind
from etymon.storage.database import Database, Transaction
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR, DirectorySite

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


def issue(site: DirectorySite, person: Person, *, lifetime: timedelta = CODE_LIFETIME) -> Secret[str]:
    with site.database.transaction() as tx:
        return bindings.issue_code(tx, site.deps, person_id=person.id, actor=ADMINISTRATOR, lifetime=lifetime)


def redeem(site: DirectorySite, code: str | Secret[str], identifier: str = CARD, *, entry: str = "cards") -> Person:
    typed = Secret(code) if isinstance(code, str) else code
    presented = bindings.present_code(site.deps, typed, source="192.0.2.7")
    with site.database.transaction() as tx:
        return bindings.redeem_code(tx, site.deps, presented, trust_entry=entry, identifier=identifier)


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


def test_a_code_binds_the_card_that_was_proved_once(site: DirectorySite) -> None:
    site.trust()
    alice = site.person()
    code = issue(site, alice)
    assert redeem(site, code) == alice
    assert person_for(site) == alice
    assert {"directory:binding_code:redeemed", "directory:binding:bound"} <= set(site.events(f"person:{alice.id}"))
    with pytest.raises(NotPermitted) as refusal:
        redeem(site, code, "another-card")
    assert refusal.value.code == "binding_code_refused"


def test_a_code_has_more_than_112_bits_besides_its_selector(site: DirectorySite) -> None:
    text = issue(site, site.person()).reveal().replace("-", "")
    assert len(bindings.CODE_ALPHABET) == len(set(bindings.CODE_ALPHABET)) == 32
    assert (len(text) - bindings.SELECTOR_LENGTH) * 5 >= 112


def test_a_code_is_typed_as_people_type(site: DirectorySite) -> None:
    site.trust()
    alice = site.person()
    text = issue(site, alice).reveal()
    assert redeem(site, "  " + text.lower().replace("-", " ").replace("0", "o").replace("1", "l") + "\n") == alice


def test_a_code_is_nowhere_in_the_database(site: DirectorySite) -> None:
    text = issue(site, site.person()).reveal().replace("-", "")
    with site.database.snapshot() as tx:
        for name in sa.inspect(tx).get_table_names():
            rows = tx.execute(sa.text(f"SELECT * FROM {name}")).all()  # noqa: S608 - names from the engine
            assert text[bindings.SELECTOR_LENGTH :] not in str(rows)


@pytest.mark.parametrize("typed", ["", "A", "?" * 30, "A" * 30, "A" * 5000, "é" * 30, "A" * 31])
def test_what_is_no_code_is_refused_and_recorded(site: DirectorySite, typed: str) -> None:
    issue(site, site.person())
    with pytest.raises(NotPermitted) as refusal:
        redeem(site, typed)
    assert refusal.value.code == "binding_code_refused"
    assert site.events("binding_code") == ["directory:binding_code:refused"]


def test_a_code_with_one_wrong_character_is_refused_and_dead_after_five_tries(site: DirectorySite) -> None:
    site.trust()
    alice = site.person()
    right = issue(site, alice).reveal()
    wrong = right[:-1] + ("A" if right[-1] != "A" else "B")
    for _ in range(CODE_TRIES - 1):
        with pytest.raises(NotPermitted):
            redeem(site, wrong)
    assert redeem(site, right) == alice  # the fifth try
    second = issue(site, alice).reveal()
    wrong = second[:-1] + ("A" if second[-1] != "A" else "B")
    for _ in range(CODE_TRIES):
        with pytest.raises(NotPermitted):
            redeem(site, wrong)
    with pytest.raises(NotPermitted):
        redeem(site, second)


def test_tries_at_once_are_all_counted(site: DirectorySite) -> None:
    right = issue(site, site.person()).reveal()
    wrong = right[:-1] + ("A" if right[-1] != "A" else "B")
    assert at_once(lambda _: redeem(site, wrong), 6) == ["binding_code_refused"] * 6
    with site.database.snapshot() as tx:
        assert tx.scalar(sa.select(binding_codes.c.tries)) == CODE_TRIES


@pytest.mark.parametrize("lifetime", [CODE_LIFETIME, INITIAL_CODE_LIFETIME])
def test_a_code_is_refused_from_the_moment_it_expires(site: DirectorySite, lifetime: timedelta) -> None:
    site.trust()
    code = issue(site, site.person(), lifetime=lifetime)
    site.clock.advance(lifetime)
    with pytest.raises(NotPermitted):
        redeem(site, code)


def test_a_code_that_expires_between_typing_and_binding_is_refused(site: DirectorySite) -> None:
    site.trust()
    presented = bindings.present_code(site.deps, issue(site, site.person()), source="")
    site.clock.advance(CODE_LIFETIME)
    refusal = refused(
        site, lambda tx: bindings.redeem_code(tx, site.deps, presented, trust_entry="cards", identifier=CARD)
    )
    assert refusal.code == "binding_code_refused"


def test_a_new_code_ends_the_old_one(site: DirectorySite) -> None:
    site.trust()
    alice = site.person()
    old, new = issue(site, alice), issue(site, alice)
    with pytest.raises(NotPermitted):
        redeem(site, old)
    assert redeem(site, new) == alice


def test_the_code_of_an_ended_account_is_refused(site: DirectorySite) -> None:
    site.trust()
    alice = site.person()
    code = issue(site, alice)
    site.end_account(alice)
    with pytest.raises(NotPermitted):
        redeem(site, code)
    ended = refused(site, lambda tx: bindings.issue_code(tx, site.deps, person_id=alice.id, actor=ADMINISTRATOR))
    assert ended.code == "person_unknown"


@pytest.mark.parametrize("act", ["assign", "withdraw"])
def test_a_code_and_a_role_at_once_do_not_wait_for_each_other(site: DirectorySite, act: str) -> None:
    site.trust()
    alice = site.person()
    change_role = {"assign": roles.assign, "withdraw": roles.withdraw}[act]
    if act == "withdraw":
        with site.database.transaction() as tx:
            roles.assign(tx, site.deps, alice.id, Role.OFFICER, actor=ADMINISTRATOR, authority="letter")
    presented = bindings.present_code(site.deps, issue(site, alice), source="192.0.2.7")
    held, redeeming = threading.Event(), threading.Event()

    def change() -> None:
        with site.database.transaction() as tx:
            people_store.locked(tx, alice.id)
            held.set()
            redeeming.wait(10)
            time.sleep(0.2)  # until the other has gone as far as it can
            change_role(tx, site.deps, alice.id, Role.OFFICER, actor=ADMINISTRATOR, authority="letter")

    def redeemed() -> str:
        held.wait(10)
        redeeming.set()
        try:
            with site.database.transaction() as tx:
                bindings.redeem_code(tx, site.deps, presented, trust_entry="cards", identifier=CARD)
        except NotPermitted as refusal:
            return refusal.code
        return "done"

    with ThreadPoolExecutor(2) as workers:
        changing, redeeming_ = workers.submit(change), workers.submit(redeemed)
        changing.result()
        assert redeeming_.result() == "binding_code_refused"
    assert person_for(site) is None


def test_a_withdrawn_role_takes_the_code_along_that_was_made_while_it_was_held(site: DirectorySite) -> None:
    site.trust()
    olga = site.person()
    with site.database.transaction() as tx:
        roles.assign(tx, site.deps, olga.id, Role.OFFICER, actor=ADMINISTRATOR, authority="letter")
    code = issue(site, olga)
    assert (
        refused(
            site,
            lambda tx: roles.withdraw(tx, site.deps, olga.id, Role.AUDITOR, actor=ADMINISTRATOR, authority="letter"),
        ).code
        == "role_not_held"
    )
    presented = bindings.present_code(site.deps, code, source="192.0.2.7")  # nothing happened to it
    with site.database.transaction() as tx:
        roles.withdraw(tx, site.deps, olga.id, Role.OFFICER, actor=ADMINISTRATOR, authority="letter")
    late = refused(
        site, lambda tx: bindings.redeem_code(tx, site.deps, presented, trust_entry="cards", identifier=CARD)
    )
    assert late.code == "binding_code_refused"
    with pytest.raises(NotPermitted):
        redeem(site, code)


def test_of_several_who_redeem_one_code_at_once_one_does(site: DirectorySite) -> None:
    site.trust()
    code = issue(site, site.person())
    assert at_once(lambda number: redeem(site, code, f"card-{number}"), 4) == ["binding_code_refused"] * 3 + ["done"]


def test_a_code_is_redeemed_with_a_card_only(site: DirectorySite) -> None:
    site.trust("derived", kind=TrustKind.DERIVED, identifier=IdentifierKind.UUID)
    site.trust()
    alice = site.person()
    code = issue(site, alice)
    for entry in ("derived", "unknown"):
        with pytest.raises(NotPermitted) as refusal:
            redeem(site, code, entry=entry)
        assert refusal.value.code == "wrong_certificate_kind"
    assert redeem(site, code) == alice


def test_a_card_that_is_somebody_elses_is_refused_and_the_code_stays(site: DirectorySite) -> None:
    site.trust()
    alice, bob = site.person("alice"), site.person("bob")
    bind(site, bob)
    code = issue(site, alice)
    with pytest.raises(Conflict) as refusal:
        redeem(site, code)
    assert refusal.value.code == "identifier_bound"
    assert person_for(site) == bob
    assert redeem(site, code, "alices-card") == alice


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(days=1, seconds=1)])
def test_a_code_of_no_or_too_long_a_life_is_not_made(site: DirectorySite, lifetime: timedelta) -> None:
    alice = site.person()
    with pytest.raises(ValueError, match="lives at most a day"):
        issue(site, alice, lifetime=lifetime)
