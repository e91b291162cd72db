# SPDX-License-Identifier: Apache-2.0
"""Which certificates their issuer wants rekeyed: asked for by time, so that an answer holds only what is new.

The phone that holds one is told at its next check-in, and does the rest by itself.
"""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.mdm.connectors.connector import RekeysDue
from etymon.mdm.dependencies import Dependencies
from etymon.mdm.store import issuers, rekeys
from etymon.storage import jobs
from etymon.storage.jobs import Job

HEAR_JOB: Final = "mdm.hear_rekeys"
"""Payload: `issuer`. Asks an issuer what became due since it was asked last."""

ASK_EVERY: Final = timedelta(seconds=15)
OVERLAP: Final = timedelta(minutes=1)
"""How far back is asked again: what was decided before the last answer may have been committed after it."""

LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


def ask(deps: Dependencies) -> None:
    """Have the present issuer asked; a worker does this every `ASK_EVERY`."""
    with deps.database.snapshot() as tx:
        issuer = issuers.live(tx)
    if issuer is None:
        return
    payload: dict[str, jobs.JSONValue] = {"issuer": str(issuer.id)}
    with deps.database.transaction() as tx:
        jobs.enqueue(tx, deps.clock, deps.entropy, HEAR_JOB, payload, key=f"{HEAR_JOB}:{issuer.id}")


def hear(deps: Dependencies, job: Job) -> None:
    """Ask an issuer page by page and have the devices told."""
    id_ = UUID(str(job.payload["issuer"]))
    with deps.database.snapshot() as tx:
        issuer = issuers.find(tx, id_)
        heard = rekeys.heard_until(tx, id_)
    if issuer is not None and issuer.ended_at is None:
        connector = deps.connectors[issuer.terms.kind](issuer.terms.url)
        since = LONG_AGO if heard is None else heard - OVERLAP
        page = connector.rekeys_due(since)
        _take(deps, id_, page)
        while page.following is not None:
            page = connector.rekeys_due(since, page.following)
            _take(deps, id_, page)
    with deps.database.transaction() as tx:
        jobs.complete(tx, job)


def _take(deps: Dependencies, issuer: UUID, page: RekeysDue) -> None:
    if not page.found:
        return
    with deps.database.transaction() as tx:
        devices = rekeys.remember(tx, {due.certificate_thumbprint: due.device_thumbprint for due in page.found})
        rekeys.set_heard_until(tx, issuer, page.found[-1].since)
    for device in devices:
        deps.wake_ups.wake(device)
