# SPDX-License-Identifier: Apache-2.0
"""What is done for the identity provider again and again."""

from datetime import timedelta
from typing import Final

from etymon.idp.dependencies import Dependencies
from etymon.idp.store import counters

REMOVE_EVERY: Final = timedelta(minutes=10)


def remove_over(deps: Dependencies) -> int:
    """Remove codes, sessions, counts and requests that are over; return how many. Several workers may do it at once."""
    with deps.database.transaction() as tx:
        return counters.remove_over(tx, deps.clock.now())
