# SPDX-License-Identifier: Apache-2.0
"""Who does which job, and which duties a worker has: the strangers' follow-ups side by side."""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from etymon.audit import sealer
from etymon.ca import crl, holds, issuance, ocsp, publication, responder
from etymon.ca.revocation import PUBLISH_CRL
from etymon.directory import feeds
from etymon.directory.identity_accounts import ACCOUNT_CHANGED_JOB
from etymon.directory.model import TerminationReason
from etymon.directory.notices import MAIL_JOB
from etymon.directory.people import ACCOUNT_ENDED_JOB
from etymon.escrow import recovery, retention
from etymon.idp import accounts as idp_accounts
from etymon.idp import duties as idp_duties
from etymon.idp.undo import APPROVAL_UNDONE
from etymon.issuer import card_status_monitor, invalidation, phones_told, terminations
from etymon.issuer import follow_ups as issuer_follow_ups
from etymon.issuer import holds as issuer_holds
from etymon.issuer.intune import revocation
from etymon.issuer.scep import endings, registration_authority
from etymon.kernel.errors import NotFound, Unavailable
from etymon.mdm import credential_changes, desired_state, lifecycle, rekeys
from etymon.mdm import follow_ups as mdm_follow_ups
from etymon.server import notice_delivery, process_events
from etymon.server.deployment import Deployment
from etymon.server.metrics import Metrics
from etymon.server.wiring import Wiring
from etymon.server.worker import Duty, JobHandler
from etymon.storage import jobs
from etymon.storage.jobs import Job

log = structlog.get_logger("etymon.server")

SEAL_EVERY: Final = timedelta(seconds=2)
SWEEP_EVERY: Final = timedelta(seconds=30)
RENEW_EVERY: Final = timedelta(hours=1)
TIDY_EVERY: Final = timedelta(minutes=1)
PULL_EVERY: Final = timedelta(minutes=5)


def handlers(wiring: Wiring, metrics: Metrics) -> Mapping[str, JobHandler]:
    """Return the handler of every kind of job."""
    return {
        MAIL_JOB: partial(
            notice_delivery.deliver, wiring.deployment, metrics, notice_delivery.NoServer(wiring.deployment.clock)
        ),
        PUBLISH_CRL: partial(crl.publish_asked, wiring.deployment.ca),
        ACCOUNT_ENDED_JOB: partial(_account_ended, wiring),
        ACCOUNT_CHANGED_JOB: partial(_person_changed, wiring),
        APPROVAL_UNDONE: partial(_approval_undone, wiring),
        phones_told.TELL: partial(_credentials_changed, wiring),
        **{kind: partial(handler, wiring.issuer) for kind, handler in issuer_follow_ups.HANDLERS.items()},
        **{kind: partial(handler, wiring.mdm) for kind, handler in mdm_follow_ups.HANDLERS.items()},
    }


def duties(wiring: Wiring) -> Sequence[Duty]:
    """Return what is done again and again."""
    deployment = wiring.deployment
    return (
        Duty("clock", SEAL_EVERY, process_events.clock_watch(deployment).look),
        Duty("seal", SEAL_EVERY, partial(seal, deployment)),
        Duty("issuance", SWEEP_EVERY, partial(issuance.sweep, deployment.ca)),
        Duty("issuer", issuer_follow_ups.SWEEP_EVERY, partial(issuer_follow_ups.sweep, wiring.issuer)),
        Duty("rekeys", rekeys.ASK_EVERY, partial(rekeys.ask, wiring.mdm)),
        Duty("card_status", card_status_monitor.SCHEDULE_EVERY, partial(card_status_monitor.schedule, wiring.issuer)),
        Duty("terminations", terminations.LOOK_EVERY, partial(terminations.alarm, wiring.issuer)),
        Duty("feeds", feeds.TOKEN_LIFETIME, partial(feeds.remove_what_is_over, wiring.feeds)),
        Duty("identity_provider", idp_duties.REMOVE_EVERY, partial(idp_duties.remove_over, wiring.idp)),
        Duty("escrow", RENEW_EVERY, partial(_destroy_keys, wiring)),
        Duty("recoveries", TIDY_EVERY, partial(recovery.end_late, wiring.issuer.escrow)),
        Duty("responders", RENEW_EVERY, partial(_renew_responders, deployment)),
        Duty("lists", TIDY_EVERY, partial(_make_lists, deployment)),
        Duty("credential_holds", SWEEP_EVERY, partial(issuer_holds.end_overdue, wiring.issuer)),
        Duty("holds", SWEEP_EVERY, partial(holds.end_overdue, deployment.ca)),
        Duty("ocsp_answers", TIDY_EVERY, partial(ocsp.forget_old, deployment.ca)),
        Duty("public_directory", TIDY_EVERY, partial(publication.write_all, deployment.ca)),
        Duty("scep", RENEW_EVERY, partial(registration_authority.renew, wiring.issuer)),
        Duty("intune", PULL_EVERY, partial(_pull_revocations, wiring)),
    )


def seal(deployment: Deployment) -> int:
    """Chain and sign what waits in the audit trail; return how many events that were."""
    return sealer.seal(deployment.database, deployment.clock, deployment.entropy, deployment.signer("audit-seal"))


def _renew_responders(deployment: Deployment) -> None:
    for name in deployment.issuing_authorities():
        responder.renew(deployment.ca, deployment.authority_keys, name, actor="worker")


def _make_lists(deployment: Deployment) -> None:
    for name in deployment.issuing_authorities():
        crl.refresh_in_turn(deployment.ca, name)


def _pull_revocations(wiring: Wiring) -> None:
    if wiring.intune is None:
        return
    try:
        revocation.pull(wiring.issuer, wiring.intune)
    except Unavailable as error:
        log.warning("revocations_not_pulled", error_code=error.code)


def _destroy_keys(wiring: Wiring) -> None:
    days = wiring.deployment.settings.escrow_keep_days
    retention.destroy_over(wiring.issuer.escrow, timedelta(days=days) if days else None)


def _account_ended(wiring: Wiring, job: Job) -> None:
    person = UUID(str(job.payload["person_id"]))
    idp_accounts.account_ended(wiring.idp, person)
    reason = str(job.payload.get("reason"))
    known = reason in set(TerminationReason)  # a version before wrote any text
    invalidation.account_ended(
        wiring.issuer, person, TerminationReason(reason) if known else TerminationReason.UNSPECIFIED
    )
    endings.account_ended(wiring.issuer, person)
    lifecycle.account_ended(wiring.mdm, person)
    _done(wiring.deployment, job)


def _person_changed(wiring: Wiring, job: Job) -> None:
    with wiring.deployment.database.transaction() as tx:
        desired_state.membership_changed(tx, UUID(str(job.payload["person"])))
        jobs.complete(tx, job)
    wiring.mdm.wake_ups.wake()


def _credentials_changed(wiring: Wiring, job: Job) -> None:
    told, identity = job.payload["ended"], bytes.fromhex(str(job.payload["device"]))
    ended = [bytes.fromhex(str(one)) for one in told] if isinstance(told, list) else []
    with wiring.deployment.database.transaction() as tx:
        device = credential_changes.locked(tx, identity)
        if device is not None:
            credential_changes.ended(tx, wiring.mdm, device, ended)
            # how it stands now, and not as the job was made: jobs come in any order
            credential_changes.standing(tx, wiring.mdm, device, is_held=phones_told.is_held(tx, identity))
        jobs.complete(tx, job)
    if device is not None:
        wiring.mdm.wake_ups.wake(device)


def _approval_undone(wiring: Wiring, job: Job) -> None:
    session, person = UUID(str(job.payload["enrollment_session"])), job.payload["person"]
    with contextlib.suppress(NotFound):  # the enrollment never went on: there is nothing to end
        lifecycle.enrollment_undone(wiring.mdm, session, actor=f"person:{person}")
    _done(wiring.deployment, job)


def _done(deployment: Deployment, job: Job) -> None:
    with deployment.database.transaction() as tx:
        jobs.complete(tx, job)
