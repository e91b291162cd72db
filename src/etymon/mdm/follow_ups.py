# SPDX-License-Identifier: Apache-2.0
"""Jobs of the endpoint manager. Each may run twice; network calls happen outside transactions."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final
from uuid import UUID

from etymon.mdm import desired_state, enrollment, lifecycle, rekeys
from etymon.mdm.connectors.connector import InvalidationOrder
from etymon.mdm.dependencies import Dependencies, record
from etymon.mdm.derived_credentials import DESCRIBE_JOB
from etymon.mdm.enrollment import FINISH_JOB
from etymon.mdm.lifecycle import END_JOB, INVALIDATE_JOB
from etymon.mdm.rekeys import HEAR_JOB
from etymon.mdm.store import devices, issuers
from etymon.storage import jobs
from etymon.storage.jobs import Job


def invalidate(deps: Dependencies, job: Job) -> None:
    """Have an issuer end a device's credentials."""
    id_ = UUID(str(job.payload["invalidation"]))
    with deps.database.snapshot() as tx:
        ordered = issuers.find_invalidation(tx, id_)
        issuer = issuers.find(tx, ordered.issuer) if ordered else None
        device = devices.find(tx, ordered.device) if ordered else None
    ended: tuple[str, ...] = ()
    is_open = ordered is not None and not ordered.is_done
    if ordered is not None and is_open and issuer is not None and device is not None and device.identity is not None:
        connector = deps.connectors[issuer.terms.kind](issuer.terms.url)
        order = InvalidationOrder(id_, device.identity.thumbprint, ordered.reason, ordered.comment)
        ended = connector.invalidate(order)
    with deps.database.transaction() as tx:
        if issuers.finish_invalidation(tx, id_, ended, deps.clock.now()) and device is not None:
            record(
                tx,
                deps,
                "derived_credential:invalidated",
                actor="service:mdm",
                subject=f"device:{device.id}",
                invalidation=str(id_),
                credentials=len(ended),
            )
        jobs.complete(tx, job)


def describe_issuer(deps: Dependencies, job: Job) -> None:
    """Ask an issuer what it calls itself and where people start."""
    id_ = UUID(str(job.payload["issuer"]))
    with deps.database.snapshot() as tx:
        issuer = issuers.find(tx, id_)
    description = None
    if issuer is not None and issuer.ended_at is None:
        description = deps.connectors[issuer.terms.kind](issuer.terms.url).describe()
    with deps.database.transaction() as tx:
        if description is not None:
            issuers.describe(tx, id_, description)
            desired_state.changed(tx)
        jobs.complete(tx, job)
    deps.wake_ups.wake()


def finish_enrollment(deps: Dependencies, job: Job) -> None:
    """Finish a completion whose process died."""
    enrollment.finish(deps, UUID(str(job.payload["session"])))
    with deps.database.transaction() as tx:
        jobs.complete(tx, job)


def end_device(deps: Dependencies, job: Job) -> None:
    """Let a device go that never reported its last command."""
    with deps.database.transaction() as tx:
        lifecycle.end_unheard(tx, deps, UUID(str(job.payload["device"])))
        jobs.complete(tx, job)


HANDLERS: Final[Mapping[str, Callable[[Dependencies, Job], None]]] = MappingProxyType(
    {
        INVALIDATE_JOB: invalidate,
        DESCRIBE_JOB: describe_issuer,
        HEAR_JOB: rekeys.hear,
        FINISH_JOB: finish_enrollment,
        END_JOB: end_device,
    }
)
