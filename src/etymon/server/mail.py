# SPDX-License-Identifier: Apache-2.0
"""Delivers notices over SMTP (RFC 5321). A notice that cannot be delivered stays a job and is tried again."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Literal

import aiosmtplib

from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where notices are handed over, and as whom."""

    host: str
    port: int
    protection: Literal["none", "starttls", "tls"]
    sender: str
    user: str = ""
    password: Secret[str] | None = None
    timeout_seconds: float = 20


def compose(server: MailServer, to: Sequence[str], subject: str, text: str, message_id: str) -> EmailMessage:
    """Return one plain-text message. `message_id` is the job's, so that a repeated delivery is recognised as one."""
    message = EmailMessage(policy=SMTP)
    message["From"] = server.sender
    message["To"] = ", ".join(to)
    message["Subject"] = subject
    message["Message-ID"] = f"<{message_id}@{server.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: nobody's vacation notice should answer
    message.set_content(text)
    return message


def deliver(server: MailServer, message: EmailMessage) -> None:
    """Hand `message` to the mail server, or raise Unavailable."""
    try:
        asyncio.run(
            aiosmtplib.send(
                message,
                hostname=server.host,
                port=server.port,
                use_tls=server.protection == "tls",
                start_tls=server.protection == "starttls",
                username=server.user or None,
                password=server.password.reveal() if server.password else None,
                timeout=server.timeout_seconds,
            )
        )
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as exc:
        raise Unavailable("mail_server_unavailable", "The mail server did not take the notice.") from exc
