# SPDX-License-Identifier: Apache-2.0
"""A clock that a test turns."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta


class TurnedClock:
    """Stands still until it is turned, from the beginning of the present minute on: what is made then is kept for
    others (`support.ca_site`)."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime.now(UTC).replace(second=0, microsecond=0)
        self._ticks: Iterator[int] = itertools.repeat(0)

    def now(self) -> datetime:
        return self._now + timedelta(microseconds=next(self._ticks))

    def advance(self, by: timedelta) -> None:
        self._now += by

    def tick(self) -> None:
        """Be a microsecond later from now on whenever somebody looks: what happens one after the other has an order."""
        self._ticks = itertools.count(1)
