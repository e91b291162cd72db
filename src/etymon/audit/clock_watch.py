# SPDX-License-Identifier: Apache-2.0
"""Noticing that the machine's clock was set: times in the trail mean little without it (CP 5.4.1, A-5)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from etymon.audit import store, trail
from etymon.audit.model import AuditEvent, Outcome
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.storage.database import Database

TOLERANCE: Final = timedelta(seconds=1)
"""Time services bring a clock to the hour by slewing it half a millisecond a second at most; more is a step."""

READINGS: Final = 10

ACTOR: Final = "system"


class ClockWatch:
    """Compares the clock with the time that has really passed since it was last looked at; one for each process."""

    def __init__(
        self, database: Database, clock: Clock, entropy: Entropy, elapsed: Callable[[], float], source: str
    ) -> None:
        """Take `elapsed`, seconds from any start that nobody can set, and the machine's name as `source`."""
        self._database, self._clock, self._entropy = database, clock, entropy
        self._elapsed, self._source = elapsed, source
        self._seen: tuple[datetime, float] | None = None

    def look(self) -> timedelta:
        """Record a step of the clock since the last look, and return it; zero where there was none.

        The first look holds the clock against the newest event: a clock that is behind it was set back while nothing
        ran, or differs from that of another machine.
        """
        now, elapsed = self._moment()
        if self._seen is None:
            with self._database.snapshot() as tx:
                newest = store.newest(tx)
            step = min(timedelta(0), now - newest) if newest is not None else timedelta(0)
        else:
            before, elapsed_before = self._seen
            step = (now - before) - timedelta(seconds=elapsed - elapsed_before)
        self._seen = (now, elapsed)
        if abs(step) < TOLERANCE:
            return timedelta(0)
        facts = {"seconds": round(step.total_seconds(), 3)}
        stepped = AuditEvent("audit:clock:stepped", ACTOR, "clock", Outcome.FAILURE, facts, self._source)
        with self._database.transaction() as tx:
            trail.record(tx, self._clock, self._entropy, stepped)
        return step

    def _moment(self) -> tuple[datetime, float]:
        """Return both times of one moment; a pause between the two readings would look like a step."""
        tries = 0
        while True:
            before = self._elapsed()
            now = self._clock.now()
            after = self._elapsed()
            tries += 1
            if after - before < TOLERANCE.total_seconds() / 10 or tries == READINGS:
                return now, after
