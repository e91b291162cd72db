# SPDX-License-Identifier: Apache-2.0
"""What ends at the identity provider when an account ends."""

from uuid import UUID

from etymon.audit import trail
from etymon.audit.model import AuditEvent
from etymon.idp.dependencies import Dependencies
from etymon.idp.store import device_authorizations, grants, sessions


def account_ended(deps: Dependencies, person_id: UUID) -> None:
    """End every session, grant, code and approval of the person. Running it twice does no harm."""
    with deps.database.transaction() as tx:
        sessions.kept(tx).end_of_person(person_id)
        grants.end_of_person(tx, person_id, now=deps.clock.now())
        device_authorizations.end_of_person(tx, person_id)
        event = AuditEvent("idp:account:ended", "directory", f"person:{person_id}")
        trail.record(tx, deps.clock, deps.entropy, event)
