# SPDX-License-Identifier: Apache-2.0
"""Counts of tries that every process of a deployment must agree on, and the removal of what is over."""

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from etymon.idp.model import ProofState
from etymon.idp.tables import (
    assertion_ids,
    authorization_codes,
    counters,
    device_authorizations,
    grants,
    proofs,
    sessions,
)
from etymon.storage.database import Transaction
from etymon.web.certificate_proof import REQUEST_KEPT
from etymon.web.rate_limits import Count

KEPT_AFTERWARDS: Final = timedelta(days=30)
"""How long grants, device authorizations and codes stay: an undo link or a second use may still come."""


def increase(tx: Transaction, key: str, window: timedelta, by: int, now: datetime) -> Count:
    """Add to a count in one statement; one that is over begins again."""
    insert = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(counters)
    insert = insert.values(key=key, number=by, ends_at=now + window)
    over = counters.c.ends_at <= now
    row = tx.execute(
        insert.on_conflict_do_update(
            index_elements=[counters.c.key],
            set_={
                "number": sa.case((over, by), else_=counters.c.number + by),
                "ends_at": sa.case((over, insert.excluded.ends_at), else_=counters.c.ends_at),
            },
        ).returning(counters.c.number, counters.c.ends_at)
    ).one()
    return Count(row.number, row.ends_at)


def read(tx: Transaction, key: str, now: datetime) -> Count | None:
    """Return a count that is not over."""
    row = tx.execute(sa.select(counters).where(counters.c.key == key, counters.c.ends_at > now)).one_or_none()
    return None if row is None else Count(row.number, row.ends_at)


def clear(tx: Transaction, key: str) -> None:
    """Forget a count."""
    tx.execute(counters.delete().where(counters.c.key == key))


def remove_over(tx: Transaction, now: datetime) -> int:
    """Remove what is over and tells nothing any more; proofs that were redeemed are records and stay."""
    long_over = now - KEPT_AFTERWARDS
    open_proofs = (ProofState.ASKED.value, ProofState.PROVED.value)
    removals = (
        counters.delete().where(counters.c.ends_at <= now),
        assertion_ids.delete().where(assertion_ids.c.expires_at <= now),
        sessions.delete().where(sessions.c.ends_at <= now),
        proofs.delete().where(proofs.c.state.in_(open_proofs), proofs.c.expires_at <= now - REQUEST_KEPT),
        authorization_codes.delete().where(authorization_codes.c.expires_at <= long_over),
        grants.delete().where(grants.c.ends_at <= long_over),
        device_authorizations.delete().where(device_authorizations.c.expires_at <= long_over),
    )
    return sum(tx.execute(removal).rowcount for removal in removals)
