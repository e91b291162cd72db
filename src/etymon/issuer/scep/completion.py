# SPDX-License-Identifier: Apache-2.0
"""The second half of an enrollment: sign what was planned, have it confirmed where that is asked for, and activate it.

Anybody may repeat it. Where an outside service confirms, nobody gets the certificate before the service has taken it.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

from etymon.audit.refusals import REFUSED
from etymon.ca import issuance, revocation
from etymon.ca.model import IssuedCertificate
from etymon.directory import people
from etymon.issuer import notices
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.invalidation import REVOCATION
from etymon.issuer.model import EndReason
from etymon.issuer.scep import errors, kept_request, store
from etymon.issuer.scep.model import Enrollment, EnrollmentState
from etymon.kernel.errors import Conflict, EtymonError, Unavailable
from etymon.storage import jobs
from etymon.storage.database import Transaction
from etymon.storage.jobs import Job

FINISH: Final = "issuer.scep_finish"
"""Kind of the job that finishes what a killed process left behind; with the request where a service is to be told."""

TELL_FAILURE: Final = "issuer.scep_tell_failure"
"""Kind of the job that tells a service of a failure: its payload has `transaction` and `detail`, and the request."""

GIVEN_UP_AFTER: Final = timedelta(hours=24)
"""A certificate that its service has not taken for this long is revoked; nobody has it."""


def finish(deps: Dependencies, enrollment_id: UUID, request: bytes | None = None) -> IssuedCertificate:
    """Return the certificate of a planned or active enrollment, signing it if nobody has.

    `request` is the PKCS #10 request, which a service that confirms has to be shown. Raises `enrollment_ended`,
    `Unavailable` while authority or service do not answer, and what the service says if it does not take it.
    """
    with deps.database.snapshot() as tx:
        enrollment = store.find_enrollment(tx, enrollment_id)
    if enrollment is None or enrollment.state is EnrollmentState.ENDED:
        raise errors.enrollment_ended()
    try:
        issued = issuance.complete(deps.ca, enrollment.certificate)
    except Conflict as exc:  # revoked or given up: nobody gets it
        end(deps, [enrollment], EndReason.UNSPECIFIED, actor="ca", source="")
        raise errors.enrollment_ended() from exc
    if enrollment.state is EnrollmentState.PLANNED:
        if enrollment.holder is None:
            _have_confirmed(deps, enrollment, issued, request)
        _activate(deps, enrollment, issued)
    return issued


def end(deps: Dependencies, found: Iterable[Enrollment], reason: EndReason, *, actor: str, source: str) -> int:
    """End enrollments, whether planned or active, and revoke their certificates; return how many it were."""
    with deps.database.transaction() as tx:
        return sum(end_one(tx, deps, each.id, reason, actor=actor, source=source) for each in found)


def end_one(
    tx: Transaction, deps: Dependencies, enrollment: UUID, reason: EndReason, *, actor: str, source: str
) -> int:
    """End one enrollment in the caller's transaction; return 1, or 0 if it has ended before."""
    locked = store.lock_enrollment(tx, enrollment)
    values = {"ended_at": deps.clock.now(), "end_reason": reason.value}
    if locked is None or not store.move(tx, locked, EnrollmentState.ENDED, values):
        return 0
    jobs.forget(tx, _finish_key(locked.id))
    revocation.revoke(tx, deps.ca, locked.certificate, REVOCATION[reason], actor=actor)
    record(
        tx,
        deps,
        "scep_enrollment:ended",
        actor=actor,
        subject=locked.id,
        source=source,
        connector=locked.connector,
        reason=reason.value,
    )
    _tell_ended(tx, deps, locked, reason)
    return 1


def _tell_ended(tx: Transaction, deps: Dependencies, ended: Enrollment, reason: EndReason) -> None:
    """Tell the person a certificate names, if it names one and a device had it; one that was renewed goes silently."""
    person = people.find(tx, ended.holder.person) if ended.holder and ended.holder.person else None
    if person is not None and ended.serial_number and reason is not EndReason.SUPERSEDED:
        because = notices.REASON_TEXTS[reason]
        notices.managed_certificate_ended(tx, deps, person, ended.serial_number, because)


def enqueue_finish(tx: Transaction, deps: Dependencies, enrollment: Enrollment, request: bytes) -> None:
    """Have a worker finish the enrollment if whoever planned it does not."""
    due = deps.clock.now() + issuance.LEFT_BEHIND_AFTER
    payload: dict[str, jobs.JSONValue] = {"enrollment": str(enrollment.id)}
    if enrollment.holder is None:
        payload |= kept_request.sealed(deps, request)
    jobs.enqueue(tx, deps.clock, deps.entropy, FINISH, payload, due=due, key=_finish_key(enrollment.id))


def enqueue_failure(deps: Dependencies, transaction_id: bytes, request: bytes, refusal: EtymonError) -> None:
    """Have a worker tell the service that what it let through was not granted."""
    payload: dict[str, jobs.JSONValue] = {
        "transaction": shown(transaction_id),
        "detail": f"{refusal.code}: {refusal.detail}",
        **kept_request.sealed(deps, request),
    }
    with deps.database.transaction() as tx:
        jobs.enqueue(tx, deps.clock, deps.entropy, TELL_FAILURE, payload)


def shown(transaction_id: bytes) -> str:
    """Return a transaction id as text; it has the characters of a PrintableString, or whatever the client took."""
    return transaction_id.decode("latin-1")


def finish_left_behind(deps: Dependencies, job: Job) -> None:
    """Finish an enrollment whose process died; give up one that its service has not taken for a day."""
    enrollment_id = UUID(str(job.payload["enrollment"]))
    try:
        finish(deps, enrollment_id, kept_request.opened(deps, job.payload))
    except Unavailable:
        _give_up(deps, enrollment_id)
    except REFUSED:  # ended meanwhile, or not taken: there is nothing to finish
        pass
    with deps.database.transaction() as tx:
        jobs.complete(tx, job)


def tell_failure(deps: Dependencies, job: Job) -> None:
    """Tell the service of a failure."""
    told, request = job.payload, kept_request.opened(deps, job.payload)
    if deps.validation is not None and request is not None:
        deps.validation.tell_failure(str(told["transaction"]), request, str(told["detail"]))
    with deps.database.transaction() as tx:
        jobs.complete(tx, job)


def _have_confirmed(
    deps: Dependencies, enrollment: Enrollment, issued: IssuedCertificate, request: bytes | None
) -> None:
    if deps.validation is None or request is None:
        raise Unavailable("validation_unavailable", "The service that confirms requests is not configured.")
    try:
        deps.validation.tell_success(shown(enrollment.transaction_id), request, issued)
    except REFUSED:
        end(deps, [enrollment], EndReason.CESSATION_OF_OPERATION, actor="validation", source="")
        raise


def _activate(deps: Dependencies, planned: Enrollment, issued: IssuedCertificate) -> None:
    with deps.database.transaction() as tx:
        enrollment = store.lock_enrollment(tx, planned.id)
        if enrollment is None or enrollment.state is EnrollmentState.ENDED:
            raise errors.enrollment_ended()
        stays = not _has_left(tx, enrollment)
        if stays:
            _move_to_active(tx, deps, enrollment, issued)
        else:
            end_one(tx, deps, enrollment.id, EndReason.AFFILIATION_CHANGED, actor="directory", source="")
    if not stays:
        raise errors.enrollment_ended()


def _move_to_active(tx: Transaction, deps: Dependencies, enrollment: Enrollment, issued: IssuedCertificate) -> None:
    serial = f"{issued.certificate.serial_number:x}"
    values = {
        "serial_number": serial,
        "not_after": issued.certificate.not_valid_after_utc,
        "issued_at": deps.clock.now(),
    }
    if not store.move(tx, enrollment, EnrollmentState.ACTIVE, values):
        return  # somebody was faster, with the same certificate
    jobs.forget(tx, _finish_key(enrollment.id))
    actor = f"scep_connector:{enrollment.connector}"
    record(tx, deps, "scep_enrollment:issued", actor=actor, subject=enrollment.id, serial=serial)


def _finish_key(enrollment: UUID) -> str:
    return f"{FINISH}:{enrollment}"


def _has_left(tx: Transaction, enrollment: Enrollment) -> bool:
    """Say whether the account ended between plan and activation, too late for whoever ends everything of a person."""
    if enrollment.holder is None or enrollment.holder.person is None:
        return False
    person = people.find(tx, enrollment.holder.person)
    return person is None or not person.active


def _give_up(deps: Dependencies, enrollment_id: UUID) -> None:
    """End an enrollment that cannot be finished for a day; raise `Unavailable` before, so that it is tried again."""
    with deps.database.snapshot() as tx:
        enrollment = store.find_enrollment(tx, enrollment_id)
    if enrollment is not None and enrollment.planned_at > deps.clock.now() - GIVEN_UP_AFTER:
        raise Unavailable("enrollment_unfinished", "The enrollment cannot be finished now.")
    if enrollment is not None:
        end(deps, [enrollment], EndReason.CESSATION_OF_OPERATION, actor="worker", source="")
