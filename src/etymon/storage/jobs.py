# SPDX-License-Identifier: Apache-2.0
"""Follow-ups of a use case: written in its transaction, run later by a worker, at least once.

A handler is built so that running it twice does no harm, and reads what it works on after it was claimed: a
job asked for again while it runs is run once more.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

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
    sa.Column("claimed_until", UTCDateTime, nullable=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("last_error", sa.String(500), nullable=True),
    sa.Index("ix_jobs_due_at_kind", "due_at", "kind"),
)


def _asked_for_again(insert: postgresql.Insert | sqlite.Insert) -> Insert:
    earlier = sa.case((jobs.c.due_at < insert.excluded.due_at, jobs.c.due_at), else_=insert.excluded.due_at)
    return insert.on_conflict_do_update(
        index_elements=[jobs.c.key], set_={"requests": jobs.c.requests + 1, "due_at": earlier}
    )


_ENQUEUE: Final[Mapping[str, Insert]] = {
    "sqlite": _asked_for_again(sqlite.insert(jobs)),
    "postgresql": _asked_for_again(postgresql.insert(jobs)),
}
"""Built once: SQLAlchemy needs five times as long to build and recognise a statement as to run it."""


@dataclass(frozen=True, slots=True)
class Job:
    """One follow-up, claimed. `attempts` counts the claims, this one too; `requests` how often it was asked for."""

    id: UUID
    kind: str
    payload: Mapping[str, JSONValue]
    attempts: int
    requests: int


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
    """Add a job in the caller's transaction.

    With a `key`, a job that already has it stays, with its own payload, and is due at the earlier of both times;
    if a worker is running it, it runs once more. Transactions that ask for the same key wait for each other.
    """
    now = clock.now()
    values = {
        "id": random_id(entropy),
        "kind": kind,
        "key": key,
        "payload": dict(payload),
        "enqueued_at": now,
        "due_at": due or now,
        "claimed_until": None,
        "attempts": 0,
        "requests": 1,
    }
    tx.execute(_ENQUEUE[tx.dialect.name], values)


def claim(database: Database, clock: Clock, kinds: Collection[str], *, limit: int = 20) -> list[Job]:
    """Take up to `limit` due jobs for `CLAIM_LIFETIME`, the longest due first; no two workers take the same one."""
    now = clock.now()
    free = sa.and_(jobs.c.due_at <= now, sa.or_(jobs.c.claimed_until.is_(None), jobs.c.claimed_until <= now))
    due = sa.select(jobs.c.id).where(free, jobs.c.kind.in_(kinds)).order_by(jobs.c.due_at).limit(limit)
    with database.transaction() as tx:
        candidates = list(tx.scalars(due.with_for_update(skip_locked=True)))
        if not candidates:
            return []
        taken = tx.execute(
            jobs.update()
            .where(jobs.c.id.in_(candidates), free)
            .values(claimed_until=now + CLAIM_LIFETIME, attempts=jobs.c.attempts + 1)
            .returning(jobs.c.id, jobs.c.kind, jobs.c.payload, jobs.c.attempts, jobs.c.requests)
        )
        found = {row.id: Job(row.id, row.kind, row.payload, row.attempts, row.requests) for row in taken}
    return [found[id_] for id_ in candidates if id_ in found]


def complete(tx: Transaction, job: Job) -> None:
    """Remove a job that is done; call it in the transaction of the job's own effect where it has one.

    A job that was asked for again meanwhile stays and is free at once. One whose claim was lost to another worker
    is left to that worker.
    """
    mine = sa.and_(jobs.c.id == job.id, jobs.c.attempts == job.attempts)
    removed = tx.execute(jobs.delete().where(mine, jobs.c.requests == job.requests))
    if removed.rowcount == 0:
        tx.execute(jobs.update().where(mine).values(claimed_until=None))


def is_waiting(tx: Transaction, key: str) -> bool:
    """Say whether there is a job of a key, due or not."""
    return tx.scalar(sa.select(jobs.c.id).where(jobs.c.key == key)) is not None


def forget(tx: Transaction, key: str) -> None:
    """Remove the job of a key, because what it was for is done or over; a worker that runs it finishes."""
    tx.execute(jobs.delete().where(jobs.c.key == key))


def amend(tx: Transaction, job: Job, payload: Mapping[str, JSONValue]) -> bool:
    """Have a job's later tries find another payload; False for one whose claim was lost, which keeps its own."""
    mine = jobs.update().where(jobs.c.id == job.id, jobs.c.attempts == job.attempts)
    return tx.execute(mine.values(payload=dict(payload))).rowcount == 1


def defer(tx: Transaction, job: Job, until: datetime) -> None:
    """Keep a job whose time has not come; nothing went wrong."""
    tx.execute(
        jobs.update()
        .where(jobs.c.id == job.id, jobs.c.attempts == job.attempts)
        .values(due_at=until, claimed_until=None)
    )


def postpone(tx: Transaction, clock: Clock, job: Job, error: str) -> datetime:
    """Keep a job that failed for a later try, backing off from 2 seconds to an hour; return when.

    `error` holds nothing secret or personal; it stays in the row until the job is done.
    """
    wait: timedelta = min(LAST_RETRY, FIRST_RETRY * 2 ** min(job.attempts - 1, 16))
    due = clock.now() + wait
    tx.execute(
        jobs.update()
        .where(jobs.c.id == job.id, jobs.c.attempts == job.attempts)
        .values(due_at=due, claimed_until=None, last_error=error[:500])
    )
    return due
