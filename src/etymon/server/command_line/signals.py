# SPDX-License-Identifier: Apache-2.0
"""Stopping cleanly: SIGTERM and Ctrl-C finish what is under way."""

import signal
from collections.abc import Callable


def on_stop(stop: Callable[[], None]) -> None:
    """Call `stop` at SIGTERM and SIGINT."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop())
