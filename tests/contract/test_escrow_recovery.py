# SPDX-License-Identifier: Apache-2.0
"""Recovery of somebody else's key by two officers, on both engines."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from etymon.directory import roles
from etymon.directory.model import Role
from etymon.directory.notices import MAIL_JOB
from etymon.escrow import deposit, recovery, store
from etymon.escrow.model import (
    RECOVERY_ALLOWED,
    RecoveryState,
)
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import EtymonError, Expired, NotPermitted
from etymon.storage.database import Database, Transaction
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR
from support.vault import Vault, refusal_of


@pytest.fixture(scope="module")
def transport() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def signing_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def vault(database: Database, clock: TurnedClock, entropy: Entropy, signing_key: ec.EllipticCurvePrivateKey) -> Vault:
    return Vault(database, clock, entropy, signing_key)


def refused(vault: Vault, act: Callable[[Transaction], object]) -> EtymonError:
    def run() -> None:
        with vault.database.transaction() as tx:
            act(tx)

    return refusal_of(run)


def test_another_persons_key_is_recovered_by_two_officers_once(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    alice, first, second = vault.person("alice"), vault.officer("first"), vault.officer("second")
    key = vault.kept(alice)
    vault.end_account(alice)  # as when somebody has left
    vault.jobs(MAIL_JOB)
    asked = vault.request(key, transport, first)
    with vault.database.snapshot() as tx:
        assert recovery.waiting(tx) == [asked]
        assert recovery.waiting(tx, after=asked.id) == []
    approved = vault.approve(asked, second)
    assert (approved.state, approved.decided_by) == (RecoveryState.APPROVED, second.id)
    assert vault.deliver(asked, first).startswith(b"\x30\x82")
    assert refusal_of(lambda: vault.deliver(asked, first)).code == "recovery_state"
    assert vault.release_count() == 1
    assert set(vault.events(f"recovery:{asked.id}")) == {
        "escrow:recovery:requested",
        "escrow:recovery:approved",
        "escrow:recovery:delivery_refused",
    }
    assert vault.jobs(MAIL_JOB) == []


def test_the_officer_who_asked_does_not_approve(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    first = vault.officer("first")
    asked = vault.request(vault.kept(vault.person()), transport, first)
    refusal = refusal_of(lambda: vault.approve(asked, first))
    assert (type(refusal), refusal.code) == (NotPermitted, "second_officer_needed")
    assert refusal_of(lambda: vault.deliver(asked, first)).code == "recovery_state"
    assert vault.release_count() == 0


def test_the_database_takes_no_recovery_approved_by_who_asked(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    asked = vault.request(vault.kept(vault.person()), transport, vault.officer("first"))
    with pytest.raises(sa.exc.IntegrityError), vault.database.transaction() as tx:
        store.move_recovery(tx, asked, RecoveryState.APPROVED, decided_by=asked.requested_by)


def test_nobody_but_an_officer_takes_part_and_not_for_the_own_key(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    alice, first, second = vault.person("alice"), vault.officer("first"), vault.officer("second")
    key = vault.kept(alice)
    for other in (alice, vault.officer("admin", Role.ADMINISTRATOR), vault.officer("auditor", Role.AUDITOR)):
        assert refusal_of(partial(vault.request, key, transport, other)).code == "not_an_officer"
    asked = vault.request(key, transport, first)
    assert refusal_of(lambda: vault.approve(asked, alice)).code == "not_an_officer"
    own = vault.kept(second)
    assert refusal_of(lambda: vault.request(own, transport, second)).code == "own_key"
    theirs = vault.request(own, transport, first)
    assert refusal_of(lambda: vault.approve(theirs, second)).code == "own_key"
    gone = vault.officer("gone")
    vault.end_account(gone)
    assert refusal_of(lambda: vault.approve(asked, gone)).code == "not_an_officer"


def test_a_recovery_is_delivered_to_the_officer_who_asked(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    first, second = vault.officer("first"), vault.officer("second")
    asked = vault.approve(vault.request(vault.kept(vault.person()), transport, first), second)
    assert refusal_of(lambda: vault.deliver(asked, second)).code == "recovery_unknown"
    assert vault.release_count() == 0


def test_an_officer_who_is_none_any_more_gets_nothing(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    first, second = vault.officer("first"), vault.officer("second")
    asked = vault.approve(vault.request(vault.kept(vault.person()), transport, first), second)
    with vault.database.transaction() as tx:
        roles.withdraw(tx, vault.deps, first.id, Role.OFFICER, actor=ADMINISTRATOR)
    assert refusal_of(lambda: vault.deliver(asked, first)).code == "not_an_officer"


def test_a_refused_recovery_is_over(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    first, second = vault.officer("first"), vault.officer("second")
    asked = vault.approve(vault.request(vault.kept(vault.person()), transport, first), second)
    vault.refuse(asked, second)
    for act in (
        lambda: vault.approve(asked, second),
        lambda: vault.refuse(asked, first),
        lambda: vault.deliver(asked, first),
    ):
        assert refusal_of(act).code == "recovery_state"


def test_a_recovery_that_is_not_finished_in_time_is_over(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    first, second = vault.officer("first"), vault.officer("second")
    asked = vault.approve(vault.request(vault.kept(vault.person()), transport, first), second)
    late = vault.request(vault.kept(vault.person("bob")), transport, first)
    with vault.database.transaction() as tx:  # what was recorded so far is sealed elsewhere
        tx.execute(sa.text("DELETE FROM audit_pending"))
    vault.clock.advance(recovery.LIFETIME)
    assert isinstance(refusal_of(lambda: vault.approve(late, second)), Expired)
    assert isinstance(refusal_of(lambda: vault.deliver(asked, first)), Expired)


def test_of_several_deliveries_at_once_one_is_made(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    first, second = vault.officer("first"), vault.officer("second")
    asked = vault.approve(vault.request(vault.kept(vault.person()), transport, first), second)
    together = threading.Barrier(3)

    def run(_: int) -> str:
        together.wait()
        try:
            vault.deliver(asked, first)
        except EtymonError as refusal:
            return refusal.code
        return "done"

    with ThreadPoolExecutor(3) as workers:
        assert sorted(workers.map(run, range(3))) == ["done", "recovery_state", "recovery_state"]
    assert vault.release_count() == 1


def test_a_recovery_of_a_destroyed_or_unknown_key_is_refused(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    first = vault.officer("first")
    key = vault.kept(vault.person())
    with vault.database.transaction() as tx:
        deposit.destroy(tx, vault.escrow, key.id, reason="never certified", actor=ADMINISTRATOR)
    assert refusal_of(lambda: vault.request(key, transport, first)).code == "escrowed_key_destroyed"
    unknown = replace(key, id=uuid.uuid4())
    assert refusal_of(lambda: vault.request(unknown, transport, first)).code == "escrowed_key_unknown"
    nothing = refused(vault, lambda tx: recovery.approve(tx, vault.escrow, uuid.uuid4(), officer=first.id))
    assert nothing.code == "recovery_unknown"


def test_every_move_that_is_not_written_down_is_refused(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    first, second = vault.officer("first"), vault.officer("second")
    asked = vault.request(vault.kept(vault.person()), transport, first)
    for before in RecoveryState:
        for after in set(RecoveryState) - RECOVERY_ALLOWED[before]:
            known = replace(asked, state=before)
            move = partial(store.move_recovery, known=known, to=after, decided_by=second.id)
            assert refused(vault, move).code == "recovery_state"
    with vault.database.snapshot() as tx:
        assert store.recovery(tx, asked.id) == asked
