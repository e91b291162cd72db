# SPDX-License-Identifier: Apache-2.0
"""A clock that runs, and that a test sets ahead or back for everybody who shares it."""

from datetime import UTC, datetime, timedelta


class RunningClock:
    """The machine's time and a difference. What happens every few seconds goes on happening."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, by: timedelta) -> None:
        self._ahead += by
