# SPDX-License-Identifier: Apache-2.0
"""Legal holds: no key of whoever is under one is destroyed, on both engines."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.directory.model import Person, Role
from etymon.escrow import deposit, legal_hold, recovery_store, retention, store
from etymon.escrow.model import RETENTION, EscrowState
from etymon.escrow.tables import keys
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Malformed
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR
from support.vault import Vault, refusal_of


@pytest.fixture(scope="module")
def signing_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def vault(database: Database, clock: TurnedClock, entropy: Entropy, signing_key: ec.EllipticCurvePrivateKey) -> Vault:
    return Vault(database, clock, entropy, signing_key)


@pytest.fixture
def officer(vault: Vault) -> Person:
    return vault.holding("officer", Role.OFFICER)


def over(vault: Vault) -> None:
    """Let the time for which keys are kept be over."""
    with vault.database.transaction() as tx:
        tx.execute(keys.update().values(keep_until=keys.c.deposited_at))
    vault.clock.advance(timedelta(seconds=1))


def test_what_is_held_stays_until_the_last_hold_is_lifted(vault: Vault, officer: Person) -> None:
    alice, bob = vault.person("alice"), vault.person("bob")
    held, free = vault.certified(alice), vault.certified(bob)
    holds = [vault.hold(alice, officer), vault.hold(alice, vault.holding("kro", Role.KEY_RECOVERY_OFFICIAL))]
    later = vault.certified(alice)
    over(vault)
    assert retention.destroy_over(vault.escrow, RETENTION, batch=1) == 1
    for key, state in ((held, EscrowState.DEPOSITED), (later, EscrowState.DEPOSITED), (free, EscrowState.DESTROYED)):
        assert vault.find(key).state is state
    for hold in holds:
        assert vault.find(held).state is EscrowState.DEPOSITED

        def destroy() -> None:
            with vault.database.transaction() as tx:
                deposit.destroy(tx, vault.escrow, held.id, reason="retention over", actor=ADMINISTRATOR)

        assert refusal_of(destroy).code == "legal_hold"
        lifted = legal_hold.lift(vault.escrow, hold.id, "case closed", by=officer.id)
        assert (lifted.lifted_by, lifted.lift_reason) == (officer.id, "case closed")
        again = partial(legal_hold.lift, vault.escrow, hold.id, "again", by=officer.id)
        assert refusal_of(again).code == "legal_hold_lifted"
    assert retention.destroy_over(vault.escrow, RETENTION) == 2
    events = vault.events(f"person:{alice.id}")
    assert sorted(event for event in events if "hold" in event) == [
        *["escrow:legal_hold:lifted"] * 2,
        *["escrow:legal_hold:placed"] * 2,
    ]


def test_holds_are_placed_by_officers_and_officials_on_keys_of_others(vault: Vault, officer: Person) -> None:
    alice = vault.person("alice")
    hold = vault.hold(alice, officer)
    for role in set(Role) - set(legal_hold.MAY):
        other = vault.holding(role.value, role)
        assert refusal_of(partial(vault.hold, alice, other)).code == "role_missing"
        lift = partial(legal_hold.lift, vault.escrow, hold.id, "no", by=other.id)
        assert refusal_of(lift).code == "role_missing"
    assert refusal_of(lambda: vault.hold(officer, officer)).code == "own_key"
    theirs = vault.hold(officer, vault.holding("other", Role.OFFICER))
    assert refusal_of(lambda: legal_hold.lift(vault.escrow, theirs.id, "mine", by=officer.id)).code == "own_key"
    place = partial(legal_hold.place, vault.escrow, by=officer.id)
    assert refusal_of(lambda: place(uuid.uuid4(), reference="x", reason="y")).code == "person_unknown"
    for wrong in ({"reference": " ", "reason": "y"}, {"reference": "x", "reason": "two\nlines"}):
        assert isinstance(refusal_of(partial(place, alice.id, **wrong)), Malformed)
    assert isinstance(refusal_of(lambda: legal_hold.lift(vault.escrow, hold.id, "", by=officer.id)), Malformed)
    assert refusal_of(lambda: legal_hold.lift(vault.escrow, uuid.uuid4(), "x", by=officer.id)).code == (
        "legal_hold_unknown"
    )
    with vault.database.snapshot() as tx:
        seen = recovery_store.holds(tx, hidden_from=officer.id, after=None, limit=10)
        assert [each.id for each in seen] == [hold.id]
        assert recovery_store.holds(tx, hidden_from=officer.id, after=hold.id, limit=10) == []


def test_the_keys_of_somebody_who_has_left_are_held(vault: Vault, officer: Person) -> None:
    alice = vault.person("alice")
    vault.certified(alice)
    vault.end_account(alice)
    assert legal_hold.place(vault.escrow, alice.id, reference="case", reason="y", by=officer.id)[1] == 1
    over(vault)
    assert retention.destroy_over(vault.escrow, RETENTION) == 0


def test_a_hold_that_was_answered_keeps_what_a_worker_was_about_to_destroy(vault: Vault, officer: Person) -> None:
    """Whoever comes first: the hold says how many keys it keeps, and those stay."""
    alice = vault.person("alice")
    for _ in range(3):
        vault.certified(alice)
    over(vault)
    together = threading.Barrier(2)

    def place() -> int:
        together.wait()
        return legal_hold.place(vault.escrow, alice.id, reference="case", reason="y", by=officer.id)[1]

    def destroy() -> int:
        together.wait()
        return retention.destroy_over(vault.escrow, RETENTION, batch=1)

    with ThreadPoolExecutor(2) as workers:
        placed, destroyed = workers.submit(place), workers.submit(destroy)
        kept = placed.result()
        assert kept + destroyed.result() == 3
    with vault.database.snapshot() as tx:
        assert len(store.of_person(tx, alice.id)) == kept
