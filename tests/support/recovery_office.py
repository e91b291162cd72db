# SPDX-License-Identifier: Apache-2.0
"""People who recover keys from a vault."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from etymon.directory.model import Role
from etymon.directory.notices import MAIL_JOB
from etymon.escrow import recovery_store
from etymon.escrow.recovery_model import Recovery, RecoveryState
from support.vault import Vault, refusal_of

KRA: Final = Role.KEY_RECOVERY_AGENT
KRO: Final = Role.KEY_RECOVERY_OFFICIAL


class Office:
    """A vault, who recovers keys from it, and whose."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.official, self.first = vault.holding("official", KRO), vault.holding("first", KRA)
        self.second, self.owner = vault.holding("second", KRA, Role.OFFICER), vault.person("alice")
        self.key = vault.certified(self.owner)

    def approved(self) -> tuple[Recovery, list[str]]:
        """Return a recovery that both agents approved, and their halves."""
        asked = self.vault.ask(self.official, self.owner)
        return asked, [self.vault.approve(asked, agent) for agent in (self.first, self.second)]

    def state(self, asked: Recovery) -> RecoveryState:
        return self.found(asked).state

    def found(self, asked: Recovery) -> Recovery:
        with self.vault.database.snapshot() as tx:
            return recovery_store.find(tx, asked.id)

    def later(self, by: timedelta) -> None:
        with self.vault.database.transaction() as tx:  # what was recorded so far is sealed elsewhere
            tx.execute(sa.text("DELETE FROM audit_pending"))
        self.vault.clock.advance(by)

    def mails(self) -> list[str]:
        """Return whom mail waits for, and its text, since the last time."""
        return [f"{job.payload['to']} {job.payload['text']}" for job in self.vault.jobs(MAIL_JOB)]


def codes(*acts: Callable[[], object]) -> list[str]:
    return [refusal_of(act).code for act in acts]
