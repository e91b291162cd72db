# SPDX-License-Identifier: Apache-2.0
"""Brings notices to the mail server, each address by a job of its own: one that is refused keeps no other waiting."""

from collections.abc import Callable
from typing import Final

import structlog

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Outcome
from etymon.directory import notices, people
from etymon.kernel.errors import Unavailable
from etymon.server import mail
from etymon.server.deployment import Deployment
from etymon.server.mail import AddressRefused, MailServer
from etymon.storage import jobs
from etymon.storage.jobs import Job

log = structlog.get_logger("etymon.server")

POLICY_TRIES: Final = 36
"""So often a mail server that will not have us is asked, a day or so: somebody may be mending its configuration."""


def deliver(deployment: Deployment, count_refused: Callable[[], None], job: Job) -> None:
    """Send a notice to its address; raises Unavailable where it has to be tried again.

    An address that is refused for good is recorded, with its place among its person's, and nothing more is sent.
    """
    recipients = job.payload["to"]
    to = [str(address) for address in recipients] if isinstance(recipients, list) else []
    subject, text = str(job.payload["subject"]), str(job.payload["text"])
    if len(to) != 1:  # a version before wrote one job for all of a person's addresses
        with deployment.database.transaction() as tx:
            notices.notify(tx, deployment.clock, deployment.entropy, to, subject, text)
            jobs.complete(tx, job)
        return
    server = mail_server(deployment)
    try:
        mail.deliver(server, mail.compose(server, to[0], subject, text, job.id.hex))
    except AddressRefused as refusal:
        if refusal.by_policy and job.attempts < POLICY_TRIES:
            raise Unavailable("mail_server_refuses", "The mail server takes no mail for the address from us.") from None
        _record_refusal(deployment, job, to[0], refusal)
        count_refused()
        return
    with deployment.database.transaction() as tx:
        jobs.complete(tx, job)


def mail_server(deployment: Deployment) -> MailServer:
    """Return the configured mail server, or raise Unavailable where there is none."""
    read = deployment.settings
    if not read.smtp_host:
        raise Unavailable("no_mail_server", "No mail server is configured (smtp_host); notices wait.")
    return MailServer(
        read.smtp_host, read.smtp_port, read.smtp_tls, read.mail_from, read.smtp_user, read.smtp_password()
    )


def _record_refusal(deployment: Deployment, job: Job, address: str, refusal: AddressRefused) -> None:
    with deployment.database.transaction() as tx:
        found = people.of_mail_address(tx, address)
        person, position = found or (None, 0)
        event = AuditEvent(
            "server:notice:refused",
            "worker",
            f"person:{person}" if person else f"job:{job.id}",
            Outcome.FAILURE,
            {"smtp_code": refusal.smtp_code, "address": position},
        )
        trail.record(tx, deployment.clock, deployment.entropy, event)
        jobs.complete(tx, job)
    log.warning("notice_refused", person=str(person), smtp_code=refusal.smtp_code)
