# SPDX-License-Identifier: Apache-2.0
"""Long polls that a process keeps open: one for each who waits, so that nobody fills a listener alone."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class Waits:
    """Who waits, by a device or a link. Used by one event loop only."""

    def __init__(self) -> None:
        self._newest: dict[UUID, asyncio.Event] = {}

    def __len__(self) -> int:
        """Count those who wait."""
        return len(self._newest)

    @contextmanager
    def newest(self, who: UUID) -> Iterator[asyncio.Event]:
        """Wait as `who`; the event is set when `who` waits anew, and this wait is over."""
        over = asyncio.Event()
        if who in self._newest:
            self._newest[who].set()
        self._newest[who] = over
        try:
            yield over
        finally:
            if self._newest.get(who) is over:
                del self._newest[who]
