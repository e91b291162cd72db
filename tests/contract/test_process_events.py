# SPDX-License-Identifier: Apache-2.0
"""What a process leaves in the trail when it starts, and when it must not."""

import pytest
import sqlalchemy as sa

from etymon.audit.tables import events
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Malformed
from etymon.server import process_events
from etymon.server.software_integrity import Software
from etymon.storage.database import Database
from support.clock import TurnedClock

RECORD = "0" * 64


def trail(database: Database) -> list[tuple[str, str, str]]:
    with database.snapshot() as tx:
        rows = tx.execute(sa.select(events.c.name, events.c.outcome, events.c.facts))
        return [(row.name, str(row.outcome), str(row.facts)) for row in rows]


@pytest.mark.parametrize(
    ("software", "told"),
    [(Software("1.2", RECORD), "as installed"), (Software("1.2", None), "not checkable")],
)
def test_a_start_tells_what_was_found_of_the_software(
    database: Database, clock: TurnedClock, entropy: Entropy, software: Software, told: str
) -> None:
    process_events.started(database, clock, entropy, "serve", software)
    ((name, _, facts),) = trail(database)
    assert name == "server:process:started"
    assert told in facts
    assert (RECORD in facts) == (software.record is not None)


def test_changed_software_is_on_record_and_does_not_start(
    database: Database, clock: TurnedClock, entropy: Entropy
) -> None:
    changed = tuple(f"etymon/{number:02}.py" for number in range(12))
    with pytest.raises(Malformed, match="software_changed") as refused:
        process_events.started(database, clock, entropy, "serve", Software("1.2", RECORD, changed))
    assert "etymon/00.py" in refused.value.detail
    ((name, outcome, facts),) = trail(database)
    assert (name, outcome.lower().endswith("failure")) == ("server:software:changed", True)
    assert "etymon/09.py and 2 more" in facts
