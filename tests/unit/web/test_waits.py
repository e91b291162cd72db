# SPDX-License-Identifier: Apache-2.0
import asyncio
from uuid import UUID

from etymon.web.waits import Waits

ONE, OTHER = UUID(int=1), UUID(int=2)


def test_whoever_waits_anew_ends_the_wait_before_and_no_other() -> None:
    async def story() -> None:
        waits = Waits()
        with waits.newest(ONE) as first, waits.newest(OTHER) as other:
            with waits.newest(ONE) as second:
                assert (first.is_set(), second.is_set(), other.is_set()) == (True, False, False)
                assert len(waits) == 2
            assert len(waits) == 1
        assert len(waits) == 0

    asyncio.run(story())
