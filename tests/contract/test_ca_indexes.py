# SPDX-License-Identifier: Apache-2.0
"""No query of the authorities reads a whole table of certificates, however many there are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from etymon.ca import status_store, store
from etymon.ca.model import CertificateState, RevocationReason
from etymon.kernel.entropy import Entropy
from etymon.storage.database import Database, Transaction
from support.ca_site import CASite
from support.clock import TurnedClock

Query = Callable[[Transaction, TurnedClock], object]

QUERIES: dict[str, Query] = {
    "by id": lambda tx, _: store.find_certificate(tx, uuid4()),
    "by request key": lambda tx, _: store.find_by_request_key(tx, "request"),
    "by serial": lambda tx, _: store.find_by_serial(tx, "derived", 7),
    "by thumbprint": lambda tx, _: store.find_by_thumbprint(tx, bytes(32)),
    "state": lambda tx, _: store.state_of_issued(tx, bytes(32), bytes(32)),
    "responder": lambda tx, clock: store.newest_responder(tx, "derived", clock.now()),
    "plans left behind": lambda tx, clock: store.planned_before(tx, clock.now(), 10),
    "revoked": lambda tx, clock: list(status_store.listed(tx, "derived", clock.now() - timedelta(days=1))),
    "revoked ever": lambda tx, _: list(status_store.listed(tx, "derived", None)),
    "what answers": lambda tx, clock: status_store.responding(tx, "derived", 7, clock.now()),
    "status": lambda tx, _: status_store.status(tx, "derived", 7),
    "holds over": lambda tx, clock: status_store.holds_over(tx, clock.now(), 10),
    "revoke": lambda tx, clock: status_store.revoke(tx, uuid4(), clock.now(), RevocationReason.SUPERSEDED),
    "move": lambda tx, _: store.move(tx, uuid4(), CertificateState.PLANNED, CertificateState.ABANDONED),
}


@contextmanager
def recorded(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Collect what is sent to the database."""
    sent: list[tuple[str, Any]] = []

    def listen(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        sent.append((statement, parameters))

    sa.event.listen(database.engine, "before_cursor_execute", listen)
    try:
        yield sent
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", listen)


def plan_of(tx: Transaction, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN QUERY PLAN" if tx.dialect.name == "sqlite" else "EXPLAIN"
    return "\n".join(str(row[-1]) for row in tx.exec_driver_sql(f"{explain} {statement}", parameters))


@pytest.mark.parametrize("name", list(QUERIES))
def test_a_query_goes_by_an_index(
    name: str, database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path
) -> None:
    CASite(database, clock, entropy, tmp_path, hierarchy=())
    with database.transaction() as tx:
        if tx.dialect.name == "postgresql":
            tx.exec_driver_sql("SET LOCAL enable_seqscan = off")  # tables are empty here; show what could be used
        with recorded(database) as sent:
            QUERIES[name](tx, clock)
        plans = [plan_of(tx, *found) for found in sent if "ca_certificates" in found[0]]
    assert plans
    for plan in plans:
        assert "SCAN ca_certificates" not in plan
        assert "Seq Scan on ca_certificates" not in plan
        if name.startswith("revoked") and database.dialect == "sqlite":  # PostgreSQL decides by how much is vacuumed
            assert "USING COVERING INDEX ix_ca_certificates_listed" in plan
            assert "TEMP B-TREE" not in plan
