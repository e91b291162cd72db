# SPDX-License-Identifier: Apache-2.0
"""Waiting check-ins are woken by what concerns them; the bound is what asyncio waits, no test waits for it."""

import asyncio
import threading
from uuid import UUID

from etymon.mdm.wake_ups import WakeUps

ONE, TWO = UUID(int=1), UUID(int=2)
LONG = 600.0


async def asleep(wake_ups: WakeUps, device: UUID) -> "asyncio.Task[None]":
    task = asyncio.create_task(wake_ups.sleep(device, LONG))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


def test_a_device_is_woken_from_another_thread() -> None:
    async def scenario() -> None:
        wake_ups = WakeUps()
        task = await asleep(wake_ups, ONE)
        threading.Thread(target=wake_ups.wake, args=(ONE,)).start()
        await task

    asyncio.run(scenario())


def test_waking_one_leaves_the_others_asleep_and_waking_all_does_not() -> None:
    async def scenario() -> None:
        wake_ups = WakeUps()
        first, again, other = [await asleep(wake_ups, device) for device in (ONE, ONE, TWO)]
        wake_ups.wake(ONE)
        await asyncio.gather(first, again)
        assert not other.done()
        wake_ups.wake()
        await other

    asyncio.run(scenario())


def test_nobody_sleeps_when_the_process_is_about_to_end() -> None:
    async def scenario() -> None:
        wake_ups = WakeUps()
        task = await asleep(wake_ups, ONE)
        wake_ups.close()
        await task
        assert wake_ups.is_closed
        await wake_ups.sleep(ONE, LONG)

    asyncio.run(scenario())


def test_waking_nobody_and_a_loop_that_has_ended_do_no_harm() -> None:
    wake_ups = WakeUps()
    wake_ups.wake(ONE)
    wake_ups.wake()

    async def scenario() -> None:
        await wake_ups.sleep(ONE, 0)

    asyncio.run(scenario())
    wake_ups.wake(ONE)
