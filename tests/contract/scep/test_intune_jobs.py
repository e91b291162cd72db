# SPDX-License-Identifier: Apache-2.0
"""What is left for a worker to tell Intune, and how it is kept until then."""

import base64
import json
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from etymon.issuer.scep import completion, kept_request
from etymon.issuer.scep.model import EnrollmentState
from etymon.kernel.errors import Unavailable
from etymon.storage import jobs
from support.tenancy import Tenancy


def waiting_jobs(tenancy: Tenancy, kind: str = completion.FINISH) -> list[dict[str, Any]]:
    """Return what is kept of jobs that have not been done."""
    with tenancy.site.database.snapshot() as tx:
        return list(tx.scalars(sa.select(jobs.jobs.c.payload).where(jobs.jobs.c.kind == kind)))


def has_secret(payload: dict[str, Any], request: bytes) -> bool:
    return base64.b64encode(request).decode()[:200] in json.dumps(payload)


def test_what_is_kept_of_a_request_is_sealed_and_goes_when_intune_was_told(tenancy: Tenancy) -> None:
    tenancy.site.work()
    tenancy.cloud.statuses["successNotification"] = 503
    device = tenancy.device()
    request = device.request(tenancy.challenge())
    with pytest.raises(Unavailable):
        device.send(device.message(request))
    (payload,) = [each for each in waiting_jobs(tenancy) if each["enrollment"] == newest(tenancy)]
    assert not has_secret(payload, request)
    assert kept_request.opened(tenancy.site.deps, payload) == request
    tenancy.cloud.statuses.clear()
    assert device.send(device.message(request)).status == "success"
    assert newest(tenancy) not in [each["enrollment"] for each in waiting_jobs(tenancy)]


def test_what_an_older_replica_kept_in_clear_is_told_and_what_does_not_open_is_given_up(tenancy: Tenancy) -> None:
    tenancy.cloud.statuses["successNotification"] = 503
    told: list[str] = []
    for kept in ("request", "sealed"):
        device = tenancy.device()
        request = device.request(tenancy.challenge())
        with pytest.raises(Unavailable):
            device.send(device.message(request))
        told.append(newest(tenancy))
        changed = {"request": base64.b64encode(request).decode(), "sealed": base64.b64encode(bytes(99)).decode()}
        payload = {"enrollment": told[-1], "sealed_for": str(uuid.uuid4()), kept: changed[kept]}
        with tenancy.site.database.transaction() as tx:
            mine = jobs.jobs.c.key == f"{completion.FINISH}:{told[-1]}"
            tx.execute(jobs.jobs.update().where(mine).values(payload=payload))
    tenancy.cloud.statuses.clear()
    tenancy.site.turn(hours=25)
    tenancy.site.work()
    found = {str(each.id): each.state for each in tenancy.site.enrollments()}
    assert [found[id_] for id_ in told] == [EnrollmentState.ACTIVE, EnrollmentState.ENDED]


def newest(tenancy: Tenancy) -> str:
    return str(tenancy.site.enrollments()[-1].id)


def test_a_worker_tells_intune_of_what_nobody_came_back_for(tenancy: Tenancy) -> None:
    tenancy.cloud.statuses["successNotification"] = 503
    device = tenancy.device()
    message = device.message(device.request(tenancy.challenge())).encode()
    with pytest.raises(Unavailable):
        device.send(message)
    tenancy.cloud.statuses.clear()
    tenancy.site.turn(minutes=6)
    tenancy.site.work()
    assert tenancy.site.enrollments()[-1].state is EnrollmentState.ACTIVE
    assert len(tenancy.cloud.of("successNotification")) == 1


def test_a_certificate_that_intune_has_not_taken_for_a_day_is_revoked(tenancy: Tenancy) -> None:
    tenancy.cloud.statuses["successNotification"] = 503
    device = tenancy.device()
    with pytest.raises(Unavailable):
        device.send(device.message(device.request(tenancy.challenge())))
    tenancy.site.turn(hours=25)
    tenancy.site.work()
    assert tenancy.site.enrollments()[-1].state is EnrollmentState.ENDED
