# SPDX-License-Identifier: Apache-2.0
"""Follow-ups of a use case: written in its transaction, run later by a worker, at least once.

A handler is built so that running it twice does no harm.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

import sqlalchemy as sa

from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy, random_id
from etymon.storage.database import Database, Transaction
from etymon.storage.schema import UTCDateTime, metadata

JSONValue: TypeAlias = "str | int | float | bool | list[JSONValue] | dict[str, JSONValue] | None"

CLAIM_LIFETIME: Final = timedelta(minutes=2)
"""A claimed job whose worker died is free again after this."""

FIRST_RETRY: Final = timedelta(seconds=2)
LAST_RETRY: Final = timedelta(hours=1)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.String(80), nullable=False),
    sa.Column("key", sa.String(200), nullable=True, unique=True),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("enqueued_at", UTCDateTime, nullable=False),
    sa.Column("due_at", UTCDateTime, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("last_error", sa.String(500), nullable=True),
    sa.Index("ix_jobs_due_at_kind", "due_at", "kind"),
)


@dataclass(frozen=True, slots=True)
class Job:
    """One follow-up. `attempts` counts the claims, this one included."""

    id: UUID
    kind: str
    payload: Mapping[str, JSONValue]
    attempts: int


def enqueue(
    tx: Transaction,
    clock: Clock,
    entropy: Entropy,
    kind: str,
    payload: Mapping[str, JSONValue],
    *,
    due: datetime | None = None,
    key: str | None = None,
) -> None:
    """Add a job in the caller's transaction. With a `key`, a job that already has it is kept instead."""
    now = clock.now()
    if key is not None and tx.scalar(sa.select(jobs.c.id).where(jobs.c.key == key)) is not None:
        return
    tx.execute(
        jobs.insert().values(
            id=random_id(entropy),
            kind=kind,
            key=key,
            payload=dict(payload),
            enqueued_at=now,
            due_at=due or now,
            attempts=0,
        )
    )


def claim(database: Database, clock: Clock, kinds: Collection[str], *, limit: int = 20) -> list[Job]:
    """Take up to `limit` due jobs for `CLAIM_LIFETIME`; no two workers take the same one."""
    now = clock.now()
    due = sa.select(jobs.c.id).where(jobs.c.due_at <= now, jobs.c.kind.in_(kinds)).order_by(jobs.c.due_at).limit(limit)
    with database.transaction() as tx:
        candidates = list(tx.scalars(due.with_for_update(skip_locked=True)))
        if not candidates:
            return []
        taken = tx.execute(
            jobs.update()
            .where(jobs.c.id.in_(candidates), jobs.c.due_at <= now)
            .values(due_at=now + CLAIM_LIFETIME, attempts=jobs.c.attempts + 1)
            .returning(jobs.c.id, jobs.c.kind, jobs.c.payload, jobs.c.attempts)
        )
        return [Job(row.id, row.kind, row.payload, row.attempts) for row in taken]


def complete(tx: Transaction, job: Job) -> None:
    """Remove a job that is done; call it in the transaction of the job's own effect where it has one."""
    tx.execute(jobs.delete().where(jobs.c.id == job.id))


def postpone(tx: Transaction, clock: Clock, job: Job, error: str) -> datetime:
    """Keep a job that failed for a later try, backing off from 2 seconds to an hour; return when."""
    wait: timedelta = min(LAST_RETRY, FIRST_RETRY * 2 ** min(job.attempts - 1, 16))
    due = clock.now() + wait
    tx.execute(jobs.update().where(jobs.c.id == job.id).values(due_at=due, last_error=error[:500]))
    return due
