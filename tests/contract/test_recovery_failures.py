# SPDX-License-Identifier: Apache-2.0
"""Recoveries that nothing can deliver any more have failed; while a token is away they wait. On both engines."""

from dataclasses import replace

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.directory import roles
from etymon.escrow import deposit, recovery
from etymon.escrow.recovery_model import RecoveryState
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR
from support.recovery_office import KRA, Office, codes
from support.vault import Vault, refusal_of


@pytest.fixture
def office(database: Database, clock: TurnedClock, entropy: Entropy) -> Office:
    return Office(Vault(database, clock, entropy, ec.generate_private_key(ec.SECP256R1())))


@pytest.mark.parametrize("expected", ["approval_void", "escrowed_key_destroyed"])
def test_what_can_be_delivered_no_more_is_not_approved_and_has_failed(office: Office, expected: str) -> None:
    vault = office.vault
    asked = vault.ask(office.official, office.owner)
    vault.approve(asked, office.first)
    with vault.database.transaction() as tx:
        if expected == "approval_void":
            roles.withdraw(tx, vault.deps, office.first.id, KRA, actor=ADMINISTRATOR, authority="letter 2")
        else:
            tx.execute(sa.text("UPDATE escrow_keys SET keep_until = deposited_at"))
            deposit.destroy(tx, vault.escrow, office.key.id, reason="retention over", actor=ADMINISTRATOR)
    assert codes(lambda: vault.approve(asked, office.second)) == [expected]
    found = office.found(asked)
    assert (found.state, found.second, found.end and found.end.reason) == (RecoveryState.FAILED, None, expected)
    assert codes(lambda: vault.approve(asked, office.second)) == ["recovery_state"]


class AbsentToken:
    """A key-encryption key whose token is away."""

    def __init__(self, id_: str) -> None:
        self.id = id_

    def wrap(self, *_: object, **__: object) -> bytes:
        raise Unavailable("token_silent", "The key token does not answer.")

    def unwrap(self, *_: object, **__: object) -> Secret[bytes]:
        raise Unavailable("token_silent", "The key token does not answer.")


def test_while_the_token_is_away_a_recovery_waits_and_its_person_is_told_nothing(office: Office) -> None:
    vault = office.vault
    asked, halves = office.approved()
    office.mails()
    away = replace(vault.escrow, key_encryption_key=AbsentToken(vault.escrow.key_encryption_key.id))
    refused = refusal_of(lambda: recovery.collect(away, asked.id, halves, official=office.official.id))
    assert (type(refused), refused.code) == (Unavailable, "token_silent")
    assert office.state(asked) is RecoveryState.APPROVED
    assert (office.mails(), vault.release_count()) == ([], 0)
    assert len(vault.collect(asked, halves, office.official)) == 1
    assert office.state(asked) is RecoveryState.DELIVERED
