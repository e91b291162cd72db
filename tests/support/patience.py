# SPDX-License-Identifier: Apache-2.0
"""Waiting for what other threads do: until it has happened, and not for ever."""

import threading
import time
from collections.abc import Callable
from typing import Final

LIMIT_SECONDS: Final = 30.0
LOOK_EVERY_SECONDS: Final = 0.02


def until(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as `condition` holds; fail the test if it never does."""
    end = time.monotonic() + LIMIT_SECONDS
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            message = f"{what}: not in {LIMIT_SECONDS:.0f} seconds"
            raise AssertionError(message)
        pause.wait(LOOK_EVERY_SECONDS)


class NoPause:
    """A phone's pauses, without waiting; whoever pauses that often waits for something that never comes."""

    MOST: Final = 50

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) > self.MOST:
            message = f"the phone paused {self.MOST} times: it waits for something that never comes"
            raise AssertionError(message)
