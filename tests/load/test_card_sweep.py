# SPDX-License-Identifier: Apache-2.0
"""A sweep over cards that is killed goes on where it was, and does what follows from each revocation once."""

import signal
from pathlib import Path
from uuid import UUID

from etymon.audit import trail
from support import patience, swept_organization
from support.card_lists import list_host

CARDS = 6000
REVOKED = range(2500, 2650)


def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    with list_host() as host:
        organization = swept_organization.made(tmp_path, host)
        database = organization.wiring.deployment.database
        revoked = organization.crowd(CARDS, revoked=REVOKED)
        with organization.sweep() as process:
            patience.until(lambda: organization.source.cursor is not None, "the sweep is under way")
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        left = organization.source
        assert 0 < left.checked < CARDS + 1
        assert left.swept_at is None
        with organization.sweep() as process:
            assert process.stdout is not None
            shown = process.stdout.read()
            assert process.wait() == 0, shown
        assert f"{CARDS + 1} cards at 1 sources" in shown
        with database.snapshot() as tx:
            found = [one.event for one in trail.page(tx, name="issuer:card:found_revoked", limit=200)]
            (swept,) = [one.event for one in trail.page(tx, name="issuer:card_status:swept", limit=10)]
        assert sorted(UUID(event.subject) for event in found) == sorted(revoked)  # each once
        assert {event.facts["credentials"] for event in found} == {"kept"}
        assert swept.facts["checked"] == CARDS + 1
        assert host.asked == 2
        database.close()
