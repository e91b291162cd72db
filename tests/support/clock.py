# SPDX-License-Identifier: Apache-2.0
"""A clock that a test turns."""

from datetime import UTC, datetime, timedelta


class TurnedClock:
    """Stands still until it is turned, from the beginning of the present minute on: what is made then is kept for
    others (`support.ca_site`)."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime.now(UTC).replace(second=0, microsecond=0)

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by
