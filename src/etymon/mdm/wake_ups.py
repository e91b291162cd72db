# SPDX-License-Identifier: Apache-2.0
"""Waking check-ins that wait in this process, so that a change here reaches its phones at once.

Nothing depends on it: a waiting check-in also looks by itself now and then, and finds what other processes did.
"""

import asyncio
import threading
from typing import TypeAlias
from uuid import UUID

Sleeper: TypeAlias = "tuple[asyncio.AbstractEventLoop, asyncio.Event]"


class WakeUps:
    """Who sleeps, by device."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sleepers: dict[UUID, set[Sleeper]] = {}
        self._closed = False

    def wake(self, device: UUID | None = None) -> None:
        """Wake the check-ins of one device, or of all; call it after the commit, from any thread."""
        with self._lock:
            chosen = list(self._sleepers.values()) if device is None else [self._sleepers.get(device, set())]
            sleepers = [sleeper for group in chosen for sleeper in group]
        for loop, event in sleepers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """Let nobody sleep any more: the process is about to end."""
        with self._lock:
            self._closed = True
        self.wake()

    @property
    def is_closed(self) -> bool:
        """Whether the process is about to end."""
        return self._closed

    @property
    def sleepers(self) -> int:
        """How many check-ins wait in this process."""
        with self._lock:
            return sum(map(len, self._sleepers.values()))

    def is_anybody_asleep(self, device: UUID) -> bool:
        """Say whether a check-in of this device waits in this process."""
        with self._lock:
            return device in self._sleepers

    async def sleep(self, device: UUID, seconds: float) -> None:
        """Sleep until `device` is woken, at most `seconds`."""
        sleeper: Sleeper = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._closed:
                return
            self._sleepers.setdefault(device, set()).add(sleeper)
        try:
            await asyncio.wait_for(sleeper[1].wait(), seconds)
        except TimeoutError:
            pass
        finally:
            with self._lock:
                group = self._sleepers[device]
                group.discard(sleeper)
                if not group:
                    del self._sleepers[device]
