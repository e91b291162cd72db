# SPDX-License-Identifier: Apache-2.0
"""The worker: runs follow-ups as they fall due and the regular duties of a site, until it is told to stop.

It may run inside `etymon serve` or as processes of its own; jobs are claimed in the database, so any number of workers
share them. A duty is safe to run in several workers at once.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from etymon.kernel.clock import Clock
from etymon.kernel.errors import EtymonError
from etymon.server.metrics import Metrics
from etymon.storage import jobs
from etymon.storage.database import Database

log = structlog.get_logger("etymon.worker")

IDLE_SECONDS: Final = 0.5
"""How long a worker without work waits before it looks again."""

THREADS: Final = 4

JobHandler = Callable[[jobs.Job], None]
"""Does a job and completes it in the transaction of its effect; raising leaves it for a later try."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Something done again and again: sealing the audit trail, publishing CRLs, sweeping what was left behind."""

    name: str
    every: timedelta
    act: Callable[[], object]


class Worker:
    """Claims jobs and runs duties on a few threads."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        handlers: Mapping[str, JobHandler],
        duties: Sequence[Duty],
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._clock = clock
        self._handlers = dict(handlers)
        self._duties = tuple(duties)
        self._metrics = metrics
        self._stop = threading.Event()
        self._next: dict[str, datetime] = {}

    def stop(self) -> None:
        """Finish what is under way and return from `run`."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`."""
        duties = threading.Thread(target=self._run_duties, name="duties")
        duties.start()
        try:
            with ThreadPoolExecutor(THREADS, thread_name_prefix="job") as pool:
                while not self._stop.is_set():
                    if not self.run_due_jobs(pool):
                        self._stop.wait(IDLE_SECONDS)
        finally:
            self._stop.set()
            duties.join()

    def run_due_jobs(self, pool: ThreadPoolExecutor) -> int:
        """Run the jobs that are due now; return how many there were."""
        try:
            claimed = jobs.claim(self._database, self._clock, list(self._handlers))
        except EtymonError as error:
            log.warning("jobs_not_claimed", error_code=error.code)
            return 0
        list(pool.map(self._run_job, claimed))
        return len(claimed)

    def run_due_duties(self) -> None:
        """Run the duties whose time has come."""
        for duty in self._duties:
            now = self._clock.now()
            due = self._next.get(duty.name, now)
            if due <= now or due > now + duty.every:  # the latter: the clock was set back meanwhile
                self._next[duty.name] = now + duty.every
                try:
                    duty.act()
                except Exception:  # the process edge: one duty's failure must not end the others
                    self._metrics.duties_failed.labels(duty.name).inc()
                    log.exception("duty_failed", duty=duty.name)

    def _run_duties(self) -> None:
        while not self._stop.is_set():
            self.run_due_duties()
            self._stop.wait(IDLE_SECONDS)

    def _run_job(self, job: jobs.Job) -> None:
        try:
            self._handlers[job.kind](job)
        except Exception as exc:  # the process edge: a failed job waits for its next try
            expected = isinstance(exc, EtymonError)
            reason = exc.code if isinstance(exc, EtymonError) else type(exc).__name__
            self._metrics.jobs.labels(job.kind, "failed").inc()
            log.warning("job_failed", kind=job.kind, attempts=job.attempts, reason=reason, exc_info=not expected)
            with self._database.transaction() as tx:
                jobs.postpone(tx, self._clock, job, reason)
        else:
            self._metrics.jobs.labels(job.kind, "done").inc()
