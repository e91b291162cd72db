# SPDX-License-Identifier: Apache-2.0
"""Browser sessions in a table of the service whose they are."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from etymon.storage.database import Database, Transaction
from etymon.web.exchange import Request
from etymon.web.sessions import Session, Sessions, Visit


@dataclass(frozen=True, slots=True)
class SessionTable:
    """The `web.sessions.SessionStore` of one transaction."""

    tx: Transaction
    table: sa.Table

    def add(self, digest: bytes, session: Session) -> None:
        """Keep a session that begins."""
        self.tx.execute(
            self.table.insert().values(
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
        columns = self.table.c
        wanted = (columns.id, columns.person_id, columns.started_at, columns.seen_at, columns.ends_at, columns.facts)
        row = self.tx.execute(sa.select(*wanted).where(columns.digest == digest)).one_or_none()
        return None if row is None else Session(*row)

    def touch(self, digest: bytes, seen_at: datetime) -> None:
        """Remember that the session was used."""
        self.tx.execute(self.table.update().where(self.table.c.digest == digest).values(seen_at=seen_at))

    def remove(self, digest: bytes) -> None:
        """Forget the session."""
        self.tx.execute(self.table.delete().where(self.table.c.digest == digest))

    def end_of_person(self, person: UUID) -> None:
        """Forget every session of a person."""
        self.tx.execute(self.table.delete().where(self.table.c.person_id == person))


def visit(database: Database, sessions: Sessions, table: sa.Table, request: Request) -> Visit:
    """Return who is at the browser. Reads only, but once a minute, to keep a session in use from running out."""
    with database.snapshot() as tx:
        found = sessions.visit(SessionTable(tx, table), request)
    if sessions.is_noted_again(found):
        with database.transaction() as tx:
            sessions.note(SessionTable(tx, table), found)
    return found
