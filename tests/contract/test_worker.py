# SPDX-License-Identifier: Apache-2.0
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import sqlalchemy as sa

from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Unavailable
from etymon.server.metrics import Metrics
from etymon.server.worker import Duty, Worker
from etymon.storage import jobs
from etymon.storage.database import Database
from support.clock import TurnedClock


def enqueue(database: Database, clock: TurnedClock, kind: str) -> None:
    with database.transaction() as tx:
        jobs.enqueue(tx, clock, SystemEntropy(), kind, {})


def waiting(database: Database) -> int:
    with database.snapshot() as tx:
        return tx.scalar(sa.select(sa.func.count()).select_from(jobs.jobs)) or 0


def test_a_failing_job_is_tried_again_later_and_ends_when_it_succeeds(database: Database, clock: TurnedClock) -> None:
    tries: list[int] = []

    def handler(job: jobs.Job) -> None:
        tries.append(job.attempts)
        if len(tries) == 1:
            raise Unavailable("mail_server_unavailable")
        with database.transaction() as tx:
            jobs.complete(tx, job)

    enqueue(database, clock, "mail.send")
    metrics = Metrics()
    worker = Worker(database, clock, {"mail.send": handler}, [], metrics)
    with ThreadPoolExecutor(1) as pool:
        assert worker.run_due_jobs(pool) == 1
        assert worker.run_due_jobs(pool) == 0
        clock.advance(timedelta(seconds=3))
        assert worker.run_due_jobs(pool) == 1
    assert tries == [1, 2]
    assert waiting(database) == 0
    assert b'etymon_jobs_total{kind="mail.send",outcome="failed"} 1.0' in bytes(metrics.exposition().body)


def test_a_kind_nobody_handles_here_is_left_for_another_worker(database: Database, clock: TurnedClock) -> None:
    enqueue(database, clock, "ca.publish_crl")
    with ThreadPoolExecutor(1) as pool:
        assert Worker(database, clock, {}, [], Metrics()).run_due_jobs(pool) == 0
    assert waiting(database) == 1


def test_duties_run_when_due_and_one_failure_does_not_end_the_others(clock: TurnedClock) -> None:
    ran: list[str] = []

    def fail() -> None:
        ran.append("fails")
        raise RuntimeError

    duties = [
        Duty("fails", timedelta(seconds=10), fail),
        Duty("seals", timedelta(seconds=1), lambda: ran.append("seals")),
    ]
    worker = Worker(Database("sqlite://"), clock, {}, duties, Metrics())
    worker.run_due_duties()
    worker.run_due_duties()
    clock.advance(timedelta(seconds=1))
    worker.run_due_duties()
    assert ran == ["fails", "seals", "seals"]


def test_duties_go_on_when_the_clock_is_set_back(clock: TurnedClock) -> None:
    done: list[str] = []
    worker = Worker(
        Database("sqlite://"), clock, {}, [Duty("seal", timedelta(seconds=2), lambda: done.append("seal"))], Metrics()
    )
    worker.run_due_duties()
    clock.advance(timedelta(hours=-3))
    worker.run_due_duties()
    worker.run_due_duties()
    assert done == ["seal", "seal"]


def test_a_stopped_worker_finishes_the_job_it_has(database: Database, clock: TurnedClock) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def handler(job: jobs.Job) -> None:
        begun.set()
        may_end.wait(20)
        with database.transaction() as tx:
            jobs.complete(tx, job)

    enqueue(database, clock, "mail.send")
    worker = Worker(database, clock, {"mail.send": handler}, [], Metrics())
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert begun.wait(20)
    worker.stop()
    may_end.set()
    thread.join(20)
    assert not thread.is_alive()
    assert waiting(database) == 0
