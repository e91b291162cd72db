# SPDX-License-Identifier: Apache-2.0
"""Revocation: in the caller's transaction, at once for whoever asks us, with a job that publishes it to everybody."""

from typing import Final
from uuid import UUID

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Fact
from etymon.ca import issuance, status_store, store
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import CertificateRecord, CertificateState, Revocation, RevocationReason
from etymon.kernel.errors import Conflict, NotFound
from etymon.storage import jobs
from etymon.storage.database import Transaction

PUBLISH_CRL: Final = "ca.publish_crl"
"""Kind of the job that publishes an authority's CRL; its payload has `ca`."""


def revoke(
    tx: Transaction, deps: Dependencies, certificate_id: UUID, reason: RevocationReason, *, actor: str
) -> Revocation:
    """End an issued certificate now and return how it ended; one that was revoked before stays as it was.

    One that is held is revoked since its hold began: nobody was to rely on it from then on.

    A certificate that is still planned is given up instead and never issued: then `Conflict` `certificate_abandoned`
    is for whoever completes it, and `revoked_at` here is the present. One that was given up before stays so. Raises
    `NotFound`.
    """
    return _end(tx, deps, issuance.find_record(tx, certificate_id), reason, actor)


def revoke_serial(
    tx: Transaction, deps: Dependencies, ca: str, serial: int, reason: RevocationReason, *, actor: str
) -> Revocation:
    """End the certificate with a serial number of an authority, like `revoke`."""
    record = store.find_by_serial(tx, ca, serial)
    if record is None:
        raise NotFound("certificate_not_found", "There is no such certificate.")
    return _end(tx, deps, record, reason, actor)


def announce(tx: Transaction, deps: Dependencies, record: CertificateRecord) -> None:
    """Make a change of status known: the list is due, and no kept OCSP answer says otherwise from this commit on.

    However many changes there are, one job an authority waits for its list.
    """
    status_store.count_change(tx, record.ca)
    status_store.forget_answers(tx, record)
    payload: dict[str, jobs.JSONValue] = {"ca": record.ca}
    jobs.enqueue(tx, deps.clock, deps.entropy, PUBLISH_CRL, payload, key=f"{PUBLISH_CRL}:{record.ca}")


def tell(
    tx: Transaction, deps: Dependencies, verb: str, record: CertificateRecord, actor: str, **further: Fact
) -> None:
    """Write down what was done to a certificate."""
    facts = {"profile": record.profile, "authority": record.ca, "serial": store.serial_text(record.serial), **further}
    event = AuditEvent(f"ca:certificate:{verb}", actor, str(record.id), facts=facts)
    trail.record(tx, deps.clock, deps.entropy, event)


def _end(
    tx: Transaction, deps: Dependencies, record: CertificateRecord, reason: RevocationReason, actor: str
) -> Revocation:
    now = deps.clock.now()
    given_up = record.state is CertificateState.ABANDONED
    if given_up or (record.state is CertificateState.PLANNED and issuance.abandon(tx, deps, record)):
        return Revocation(record.id, record.ca, record.serial, now, reason)
    since = status_store.revoke(tx, record.id, now, reason)
    if since is None:
        return _already(tx, record.id)
    announce(tx, deps, record)
    held = {"held_since": since.isoformat()} if since != now else {}
    tell(tx, deps, "revoked", record, actor, reason=reason.name.lower(), **held)
    return Revocation(record.id, record.ca, record.serial, since, reason)


def _already(tx: Transaction, certificate_id: UUID) -> Revocation:
    record = store.find_certificate(tx, certificate_id)
    if record is None or record.revoked_at is None or record.reason is None:
        raise Conflict(
            "certificate_not_issued", "The certificate was never issued, so that there is nothing to revoke."
        )
    return Revocation(record.id, record.ca, record.serial, record.revoked_at, record.reason)
