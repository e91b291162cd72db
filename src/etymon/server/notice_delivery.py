# SPDX-License-Identifier: Apache-2.0
"""Brings notices to the mail server, each address by a job of its own: one that is refused keeps no other waiting."""

import threading
from datetime import datetime, timedelta
from typing import Final

import structlog

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Fact, Outcome
from etymon.directory import notices, people
from etymon.kernel.clock import Clock
from etymon.kernel.errors import Unavailable
from etymon.server import mail
from etymon.server.deployment import Deployment
from etymon.server.mail import AddressRefused, AddressWaits, MailServer
from etymon.server.metrics import Metrics
from etymon.storage import jobs
from etymon.storage.database import Transaction
from etymon.storage.jobs import Job

log = structlog.get_logger("etymon.server")

A_DAY: Final = timedelta(days=1)
"""So long a mail server that will not have us is asked: somebody may be mending its configuration. An address that
still waits then is on record."""

REFUSED_SINCE: Final = "refused_since"
WAITS_SINCE: Final = "waits_since"
DELAYED: Final = "delayed_recorded"
"""In the payload: when the server first answered so, however long it was silent before; and that the trail has it that
this notice is late."""


NO_SERVER_AGAIN: Final = timedelta(hours=1)
"""So long a notice waits where no mail server is configured, and nothing is said of it again."""


class NoServer:
    """Says once in `NO_SERVER_AGAIN` that notices wait for want of a mail server, however many do."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._silent_until: datetime | None = None

    def tell(self) -> None:
        """Say it, unless it was said lately."""
        with self._lock:
            now = self._clock.now()
            if self._silent_until is not None and now < self._silent_until <= now + NO_SERVER_AGAIN:
                return
            self._silent_until = now + NO_SERVER_AGAIN
        log.warning("no_mail_server", detail="No mail server is configured (smtp_host); notices wait.")


def deliver(deployment: Deployment, metrics: Metrics, no_server: NoServer, job: Job) -> None:
    """Send a notice to its address; raises Unavailable where it has to be tried again.

    Where no mail server is configured it waits for `NO_SERVER_AGAIN`.

    An address that is refused for good is recorded, with its place among its person's, and nothing more is sent. One
    that has not taken the notice in a day is recorded once, and tried on.
    """
    recipients = job.payload["to"]
    to = [str(address) for address in recipients] if isinstance(recipients, list) else []
    subject, text = str(job.payload["subject"]), str(job.payload["text"])
    if len(to) != 1:  # a version before wrote one job for all of a person's addresses
        with deployment.database.transaction() as tx:
            notices.notify(tx, deployment.clock, deployment.entropy, to, subject, text)
            jobs.complete(tx, job)
        return
    if not deployment.settings.smtp_host:
        no_server.tell()
        with deployment.database.transaction() as tx:
            jobs.defer(tx, job, deployment.clock.now() + NO_SERVER_AGAIN)
        return
    try:
        mail.deliver(mail_server(deployment), to[0], subject, text, job.id.hex)
    except AddressRefused as refusal:
        if refusal.by_policy and not _is_so_for_a_day(deployment, job, REFUSED_SINCE):
            raise Unavailable("mail_server_refuses", "The mail server takes no mail for the address from us.") from None
        _record_refusal(deployment, job, to[0], refusal)
        metrics.notices_refused.inc()
        return
    except AddressWaits as wait:
        late = not job.payload.get(DELAYED) and _is_so_for_a_day(deployment, job, WAITS_SINCE)
        if late and _record_delay(deployment, job, to[0], wait):
            metrics.notices_delayed.inc()
        raise
    with deployment.database.transaction() as tx:
        jobs.complete(tx, job)


def mail_server(deployment: Deployment) -> MailServer:
    """Return the configured mail server."""
    read = deployment.settings
    return MailServer(
        read.smtp_host, read.smtp_port, read.smtp_tls, read.mail_from, read.smtp_user, read.smtp_password()
    )


def _is_so_for_a_day(deployment: Deployment, job: Job, since: str) -> bool:
    """Say whether the server has answered so for `A_DAY`, since the first time, which is written down."""
    first, now = job.payload.get(since), deployment.clock.now()
    if isinstance(first, str):
        return now >= datetime.fromisoformat(first) + A_DAY
    with deployment.database.transaction() as tx:
        jobs.amend(tx, job, {**job.payload, since: now.isoformat()})
    return False


def _record_refusal(deployment: Deployment, job: Job, address: str, refusal: AddressRefused) -> None:
    with deployment.database.transaction() as tx:
        person = _record(tx, deployment, job, address, "server:notice:refused", refusal.smtp_code)
        jobs.complete(tx, job)
    log.warning("notice_refused", person=person, smtp_code=refusal.smtp_code)


def _record_delay(deployment: Deployment, job: Job, address: str, wait: AddressWaits) -> bool:
    """Save that a notice is late; False where another worker has it by now."""
    with deployment.database.transaction() as tx:
        if not jobs.amend(tx, job, {**job.payload, DELAYED: True}):
            return False
        person = _record(tx, deployment, job, address, "server:notice:delayed", wait.smtp_code)
    log.warning("notice_delayed", person=person, smtp_code=wait.smtp_code)
    return True


def _record(
    tx: Transaction, deployment: Deployment, job: Job, address: str, name: str, smtp_code: int | None
) -> str | None:
    """Save what became of a notice; return whose it is."""
    person, position = people.of_mail_address(tx, address) or (None, 0)
    subject = f"person:{person}" if person else f"job:{job.id}"
    facts: dict[str, Fact] = {"smtp_code": smtp_code, "address": position}
    trail.record(tx, deployment.clock, deployment.entropy, AuditEvent(name, "worker", subject, Outcome.FAILURE, facts))
    return str(person) if person else None
