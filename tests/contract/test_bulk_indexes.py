# SPDX-License-Identifier: Apache-2.0
"""A page of a bulk command begins at its place and is read in order, however much is left or done already."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import pytest
import sqlalchemy as sa

from etymon.issuer.store import credentials, derivations
from etymon.issuer.store.derivations import Authorized
from support.clock import TurnedClock
from support.databases import SQLiteDatabases

PLACE: Final = UUID(int=2**127)


@pytest.mark.parametrize(
    "page",
    [
        lambda tx, now: derivations.authorized(tx, Authorized(frozenset(), None, now, "derived"), 50, after=PLACE),
        lambda tx, now: derivations.authorized(tx, Authorized(frozenset({PLACE}), PLACE, now), 50, after=PLACE),
        lambda tx, now: credentials.certified_by(tx, "derived", now, 200, after=PLACE),
    ],
    ids=["of an authority", "of an officer", "to be rekeyed"],
)
def test_a_page_is_searched_by_its_place_and_nothing_is_sorted(
    sqlite_databases: SQLiteDatabases, clock: TurnedClock, page: Callable[[Any, datetime], object]
) -> None:
    database, sent = sqlite_databases.migrated(), list[tuple[str, Any]]()

    def listen(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        sent.append((statement, parameters))

    sa.event.listen(database.engine, "before_cursor_execute", listen)
    with database.snapshot() as tx:
        page(tx, clock.now())
        statement, parameters = sent[-1]
        plan = [str(row[-1]) for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    sqlite_databases.drop(database)
    assert plan[0].endswith("(id>?)"), plan
    assert not [step for step in plan if "TEMP B-TREE" in step]
