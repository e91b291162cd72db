# SPDX-License-Identifier: Apache-2.0
"""Certificate holds: a subscriber's certificate suspended for a while (Common Policy 4.9.13 to 4.9.16).

What is held is revoked for everybody who asks, with the reason `certificateHold`, until it is restored. It has to be
restored within `maximum_hold` and before the certificate ends; afterwards the worker revokes it.
"""

from typing import Final
from uuid import UUID

import structlog

from etymon.ca import issuance, revocation, status_store, store
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import CertificateRecord, CertificateState, Hold, RevocationReason
from etymon.ca.profiles import profile_named
from etymon.kernel.errors import Conflict, EtymonError, Expired, NotPermitted
from etymon.storage.database import Transaction

log = structlog.get_logger("etymon.ca")

ENDED_AT_A_TIME: Final = 100


def hold(tx: Transaction, deps: Dependencies, certificate_id: UUID, *, requested_by: str, actor: str) -> Hold:
    """Suspend an issued certificate now; return until when it may be restored.

    `requested_by` asked for it, `actor` does it; who may ask is the caller's to know. Raises `NotFound`, `NotPermitted`
    for what is no subscriber's, `Expired` past the certificate's end, and `Conflict` for what is not in force.
    """
    record = issuance.find_record(tx, certificate_id)
    now = deps.clock.now()
    if profile_named(record.profile).asserts_all_policies:
        raise NotPermitted("hold_not_permitted", "Only a subscriber's certificate can be held. Revoke this one.")
    if record.not_after <= now:
        raise Expired("certificate_expired", "The certificate has ended, so that there is nothing to hold.")
    revocation.tell(tx, deps, "hold_requested", record, requested_by)
    until = min(now + deps.maximum_hold, record.not_after)
    moved = store.move(tx, record.id, CertificateState.ISSUED, CertificateState.HELD, revoked_at=now, held_until=until)
    if not moved:
        raise _not_in_force(issuance.find_record(tx, certificate_id))
    revocation.announce(tx, deps, record)
    revocation.tell(tx, deps, "held", record, actor, requested_by=requested_by, until=until.isoformat())
    return Hold(record.id, record.ca, record.serial, now, until)


def restore(
    tx: Transaction,
    deps: Dependencies,
    certificate_id: UUID,
    *,
    requested_by: str,
    actor: str,
    identity_evidence: str,
) -> None:
    """Put a held certificate in force again, as if it had never been held.

    `identity_evidence` names the record of how the subscriber's identity was established anew (CP 4.9.15). Raises
    `NotFound`, `Expired` for a hold that has lasted too long, and `Conflict` for what is not held, and for what an
    authority certified that was revoked meanwhile, it or one above (`authority_revoked`).
    """
    record = issuance.find_record(tx, certificate_id)
    if not identity_evidence:
        raise NotPermitted("identity_not_established", "Establish the subscriber's identity anew before restoring.")
    if record.held_until is not None and record.held_until <= deps.clock.now():
        raise Expired("hold_over", "The hold has lasted as long as it may: the certificate is revoked. Issue another.")
    if issuance.is_below_revoked(store.lineage(tx, record.ca), record.profile):
        raise Conflict(
            "authority_revoked",
            f"The authority {record.ca}, or one above it, was revoked: what it certified does not come back. Issue "
            "another.",
        )
    revocation.tell(tx, deps, "restore_requested", record, requested_by)
    moved = store.move(tx, record.id, CertificateState.HELD, CertificateState.ISSUED, revoked_at=None, held_until=None)
    if not moved:
        raise Conflict("certificate_not_held", "The certificate is not held, so that there is nothing to restore.")
    revocation.announce(tx, deps, record)
    facts = {"requested_by": requested_by, "identity_evidence": identity_evidence}
    revocation.tell(tx, deps, "restored", record, actor, **facts)


def end_overdue(deps: Dependencies) -> int:
    """Revoke what was held for as long as it may be; return how many. A worker does this every few seconds."""
    with deps.database.snapshot() as tx:
        over = status_store.holds_over(tx, deps.clock.now(), ENDED_AT_A_TIME)
    ended = 0
    for certificate_id in over:
        try:
            with deps.database.transaction() as tx:
                revocation.revoke(tx, deps, certificate_id, RevocationReason.UNSPECIFIED, actor="worker")
        except EtymonError as error:
            log.warning("hold_not_ended", certificate=str(certificate_id), code=error.code)
        else:
            ended += 1
    return ended


def _not_in_force(record: CertificateRecord) -> Conflict:
    match record.state:
        case CertificateState.HELD:
            return Conflict("certificate_held", "The certificate is held already.")
        case CertificateState.REVOKED:
            return Conflict("certificate_revoked", "The certificate was revoked, which is for good.")
        case _:
            return Conflict("certificate_not_issued", "The certificate was never issued.")
