# SPDX-License-Identifier: Apache-2.0
"""Undoing an approval by the link of its notice. The id ends access and gives none."""

from typing import Final
from uuid import UUID

from etymon.audit import trail
from etymon.audit.model import AuditEvent
from etymon.idp import grants
from etymon.idp.dependencies import Dependencies
from etymon.idp.model import DeviceAuthorization
from etymon.idp.store import device_authorizations as store
from etymon.idp.store import grants as grant_store
from etymon.idp.store import sessions as session_store
from etymon.kernel.errors import NotFound
from etymon.storage import jobs
from etymon.storage.database import Transaction

APPROVAL_UNDONE: Final = "idp.approval_undone"
"""A job for the endpoint manager of the deployment. Payload: `enrollment_session`, `person`."""


def find(tx: Transaction, undo_id: UUID) -> DeviceAuthorization:
    """Return the approval of an undo link; raises NotFound `undo_unknown`."""
    found = store.by_undo_id(tx, undo_id)
    if found is None or found.sign_in is None:
        raise NotFound("undo_unknown", "There is nothing to undo here: the link is wrong, or more than a month old.")
    return found


def undo(tx: Transaction, deps: Dependencies, undo_id: UUID) -> bool:
    """End what the approval made, and the person's sessions here; False when it had ended before."""
    authorization = find(tx, undo_id)
    if authorization.sign_in is None or not store.end(tx, authorization.id):
        return False
    person = authorization.sign_in.person
    grant = grant_store.of_device_authorization(tx, authorization.id)
    if grant is not None:
        grants.end(tx, deps, grant.id, actor=f"person:{person}", reason="undone")
    session_store.kept(tx).end_of_person(person)
    if authorization.device is not None:
        payload = {"enrollment_session": authorization.device.enrollment_session, "person": str(person)}
        jobs.enqueue(tx, deps.clock, deps.entropy, APPROVAL_UNDONE, payload)
    event = AuditEvent(
        "idp:device_authorization:undone", f"person:{person}", f"device_authorization:{authorization.id}"
    )
    trail.record(tx, deps.clock, deps.entropy, event)
    return True
