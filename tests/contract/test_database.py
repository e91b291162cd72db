# SPDX-License-Identifier: Apache-2.0
"""The unit of work and the column types, on both engines."""

import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Unavailable
from etymon.storage import jobs, migrations
from etymon.storage.database import Database, Transaction
from etymon.storage.jobs import enqueue
from etymon.storage.rows import insert_unless_taken
from etymon.storage.schema import UTCDateTime


class Halt(Exception):
    """What a use case raises halfway."""


def count(database: Database) -> int:
    with database.snapshot() as tx:
        return tx.scalar(sa.select(sa.func.count()).select_from(jobs.jobs)) or 0


def test_a_finished_transaction_is_seen_by_others(database: Database, clock: Clock, entropy: Entropy) -> None:
    with database.transaction() as tx:
        enqueue(tx, clock, entropy, "mail", {"to": "somebody"})
    assert count(database) == 1


def test_a_transaction_that_raises_leaves_nothing(database: Database, clock: Clock, entropy: Entropy) -> None:
    with pytest.raises(Halt), database.transaction() as tx:  # noqa: PT012 - the whole unit of work is the act
        enqueue(tx, clock, entropy, "mail", {"to": "somebody"})
        raise Halt
    assert count(database) == 0


def test_a_snapshot_sees_one_state_while_others_write(database: Database, clock: Clock, entropy: Entropy) -> None:
    number = sa.select(sa.func.count()).select_from(jobs.jobs)
    with database.snapshot() as reader:
        assert reader.scalar(number) == 0
        with database.transaction() as tx:
            enqueue(tx, clock, entropy, "mail", {})
        assert reader.scalar(number) == 0
    assert count(database) == 1


def test_a_snapshot_cannot_write_and_the_next_transaction_can(
    database: Database, clock: Clock, entropy: Entropy
) -> None:
    with pytest.raises((Unavailable, sa.exc.DBAPIError)), database.snapshot() as tx:
        enqueue(tx, clock, entropy, "mail", {})
    with database.transaction() as tx:
        enqueue(tx, clock, entropy, "mail", {})
    assert count(database) == 1


def test_writers_at_once_all_finish(database: Database, clock: Clock, entropy: Entropy) -> None:
    def write(number: int) -> None:
        with database.transaction() as tx:
            tx.scalar(sa.select(sa.func.count()).select_from(jobs.jobs))  # reads before it writes
            enqueue(tx, clock, entropy, "mail", {"number": number})

    with ThreadPoolExecutor(6) as workers:
        list(workers.map(write, range(24)))
    assert count(database) == 24


def test_a_guarded_update_lets_exactly_one_of_many_through(database: Database, clock: Clock, entropy: Entropy) -> None:
    with database.transaction() as tx:
        enqueue(tx, clock, entropy, "unused", {})
    together = threading.Barrier(6)

    def consume(_: int) -> int:
        together.wait()
        with database.transaction() as tx:
            move = jobs.jobs.update().where(jobs.jobs.c.kind == "unused").values(kind="used")
            return tx.execute(move).rowcount

    with ThreadPoolExecutor(6) as workers:
        assert sum(workers.map(consume, range(6))) == 1


def test_a_database_that_is_not_there_is_unavailable() -> None:
    missing = Database("postgresql+psycopg://postgres@/nothing?host=/nonexistent")
    with pytest.raises(Unavailable) as refusal, missing.transaction():
        pass
    assert refusal.value.code == "database_unavailable"
    missing.close()


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 7, 1, 12, 30, 15, 123456, tzinfo=UTC),
        datetime(2026, 7, 1, 23, 0, tzinfo=timezone(timedelta(hours=-7))),
        datetime(1970, 1, 1, tzinfo=UTC),
    ],
)
def test_times_come_back_in_utc_to_the_microsecond(database: Database, moment: datetime) -> None:
    shelf = sa.Table("shelf", sa.MetaData(), sa.Column("at", UTCDateTime))
    with database.transaction() as tx:
        shelf.create(tx)
        tx.execute(shelf.insert().values(at=moment))
    with database.snapshot() as tx:
        read = tx.scalars(sa.select(shelf.c.at)).one()
        assert tx.scalars(sa.select(shelf.c.at).where(shelf.c.at <= moment)).one() == moment
    assert read == moment
    assert read.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    shelf = sa.Table("shelf", sa.MetaData(), sa.Column("at", UTCDateTime))
    with pytest.raises(sa.exc.StatementError, match="naive"), database.transaction() as tx:
        tx.execute(shelf.insert().values(at=datetime(2026, 7, 1)))  # noqa: DTZ001 - what is refused


def test_an_absent_time_stays_absent(database: Database) -> None:
    shelf = sa.Table("shelf", sa.MetaData(), sa.Column("number", sa.Integer), sa.Column("at", UTCDateTime))
    with database.transaction() as tx:
        shelf.create(tx)
        tx.execute(shelf.insert().values(number=1, at=None))
        assert tx.scalars(sa.select(shelf.c.at)).one() is None


def test_upgrading_twice_is_the_same_as_upgrading(empty_database: Database) -> None:
    migrations.upgrade(empty_database)
    migrations.upgrade(empty_database)
    assert count(empty_database) == 0


def test_processes_that_upgrade_at_once_do_not_meet(empty_database: Database) -> None:
    url = empty_database.engine.url.render_as_string(hide_password=False)
    program = (
        "import sys; from etymon.storage import migrations; from etymon.storage.database import Database;"
        "migrations.upgrade(Database(sys.argv[1]))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    complaints = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], complaints
    assert count(empty_database) == 0


def test_a_row_is_inserted_unless_its_like_is_there(database: Database, clock: Clock) -> None:
    def insert(tx: Transaction, key: str | None, *, kind: str | None = "mail") -> bool:
        return insert_unless_taken(
            tx,
            jobs.jobs,
            id=uuid.uuid4(),
            kind=kind,
            key=key,
            payload={},
            enqueued_at=clock.now(),
            due_at=clock.now(),
            attempts=0,
            requests=1,
        )

    with database.transaction() as tx:
        assert [insert(tx, "a"), insert(tx, "a"), insert(tx, "b"), insert(tx, None), insert(tx, None)] == [
            True,
            False,
            True,
            True,
            True,
        ]
    with pytest.raises(sa.exc.IntegrityError), database.transaction() as tx:
        insert(tx, "c", kind=None)  # what is missing is not what is taken
    assert count(database) == 4


def test_a_transaction_inside_another_of_the_same_thread_is_a_fault_and_not_a_wait(database: Database) -> None:
    with database.transaction(), pytest.raises(RuntimeError, match="inside another"), database.transaction():
        pass
    with database.transaction() as tx:
        assert tx.scalar(sa.select(1)) == 1
