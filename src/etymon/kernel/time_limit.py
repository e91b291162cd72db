# SPDX-License-Identifier: Apache-2.0
"""Waiting for others, and not longer than is wanted."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def within(seconds: float, exchange: Coroutine[Any, Any, T]) -> T:
    """Run `exchange` on an event loop of its own, or raise TimeoutError. For threads without a loop.

    Only so everything is bounded: a blocking client's time-outs begin anew with every address of a host and with every
    byte, and know nothing of names that are looked up. The loop closes without waiting for such a look-up.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(exchange, seconds))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())  # of answers that were not read to their end
        loop.close()
