# SPDX-License-Identifier: Apache-2.0
"""Browser sessions of people who signed in."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from etymon.idp.tables import sessions
from etymon.storage.database import Transaction
from etymon.web.sessions import Session


@dataclass(frozen=True, slots=True)
class SessionTable:
    """The `web.sessions.SessionStore` of one transaction."""

    tx: Transaction

    def add(self, digest: bytes, session: Session) -> None:
        """Keep a session that begins."""
        self.tx.execute(
            sessions.insert().values(
                digest=digest,
                id=session.id,
                person_id=session.person,
                started_at=session.started_at,
                seen_at=session.seen_at,
                ends_at=session.ends_at,
                facts=dict(session.facts),
            )
        )

    def find(self, digest: bytes) -> Session | None:
        """Return the session of this digest, whether over or not."""
        row = self.tx.execute(sa.select(sessions).where(sessions.c.digest == digest)).one_or_none()
        if row is None:
            return None
        return Session(row.id, row.person_id, row.started_at, row.seen_at, row.ends_at, dict(row.facts))

    def touch(self, digest: bytes, seen_at: datetime) -> None:
        """Remember that the session was used."""
        self.tx.execute(sessions.update().where(sessions.c.digest == digest).values(seen_at=seen_at))

    def remove(self, digest: bytes) -> None:
        """Forget the session."""
        self.tx.execute(sessions.delete().where(sessions.c.digest == digest))


def end_of_person(tx: Transaction, person: UUID) -> int:
    """End every session of a person; return how many there were."""
    return tx.execute(sessions.delete().where(sessions.c.person_id == person)).rowcount
