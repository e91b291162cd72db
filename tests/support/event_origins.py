# SPDX-License-Identifier: Apache-2.0
"""On which thread each audit event was written: whether a request asked for it, or the site or the test did it."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from etymon.storage.schema import metadata
from support.whole_site import WholeSite

EVENTS: Final = metadata.tables["audit_events"]
SERVING: Final = ("AnyIO worker thread", "refusals", "site")
"""Begin the names of threads that serve requests; `site` is the one of the event loop."""

Row = Mapping[str, Any]


class Origins:
    """Events since it began, as the database has them."""

    def __init__(self, site: WholeSite) -> None:
        self._site = site
        self._threads: dict[UUID, str] = {}

    def of_requests(self) -> Sequence[Row]:
        """Return what requests had written down."""
        return [row for row in self._rows() if self._threads[row["id"]].startswith(SERVING)]

    def of_the_site(self) -> Sequence[Row]:
        """Return what worker, duties and the test itself had written down."""
        return [row for row in self._rows() if not self._threads[row["id"]].startswith(SERVING)]

    def _rows(self) -> Sequence[Row]:
        return [row for row in self._site.rows("audit_events") if row["id"] in self._threads]

    def note(self, _: object, statement: object, __: object, parameters: Any, ___: object) -> None:
        """Hear of a statement before it is executed."""
        if isinstance(statement, sa.Insert) and statement.table is EVENTS:
            self._threads[parameters["id"]] = threading.current_thread().name


@contextmanager
def origins(site: WholeSite) -> Iterator[Origins]:
    """Watch the database of a site while the block runs."""
    found, engine = Origins(site), site.deployment.database.engine
    sa.event.listen(engine, "before_execute", found.note)
    try:
        yield found
    finally:
        sa.event.remove(engine, "before_execute", found.note)
