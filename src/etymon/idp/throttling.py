# SPDX-License-Identifier: Apache-2.0
"""Limits on guessing, counted in the database so that all processes of a deployment agree."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from etymon.idp.dependencies import Dependencies
from etymon.idp.store import counters
from etymon.kernel.clock import Clock
from etymon.storage.database import Database
from etymon.web.rate_limits import Count, RateLimit

WRONG_CODES: Final = "5 per 10 minutes"
"""Wrong user codes or binding codes from one browser or one address."""

STARTS: Final = "30 per 10 minutes"
"""Device authorizations that one address starts (RFC 8628 §5.1 counts on few live codes)."""


@dataclass(frozen=True, slots=True)
class DatabaseCounters:
    """The `web.rate_limits.Counters` of a deployment. A count is kept even when what it counts was refused."""

    database: Database
    clock: Clock

    def increase(self, key: str, window: timedelta, by: int) -> Count:
        """Add to the count."""
        with self.database.transaction() as tx:
            return counters.increase(tx, key, window, by, self.clock.now())

    def read(self, key: str) -> Count | None:
        """Return the count."""
        with self.database.snapshot() as tx:
            return counters.read(tx, key, self.clock.now())

    def clear(self, key: str) -> None:
        """Forget the count."""
        with self.database.transaction() as tx:
            counters.clear(tx, key)


def wrong_codes(deps: Dependencies, kind: str) -> RateLimit:
    """Return the limit on wrong codes of a kind."""
    return RateLimit(f"wrong-{kind}", WRONG_CODES, DatabaseCounters(deps.database, deps.clock), deps.clock)


def starts(deps: Dependencies) -> RateLimit:
    """Return the limit on device authorizations from one address."""
    return RateLimit("device-authorizations", STARTS, DatabaseCounters(deps.database, deps.clock), deps.clock)
