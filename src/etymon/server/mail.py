# SPDX-License-Identifier: Apache-2.0
"""Hands one notice to the mail server for one address over SMTP (RFC 5321)."""

import asyncio
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final, Literal

import aiosmtplib

from etymon.kernel.errors import EtymonError, Unavailable
from etymon.kernel.secret import Secret

PERMANENT: Final = 500
"""Replies from here on say that the same again will not do either (RFC 5321 §4.2.1)."""

OF_THE_SENDER: Final = frozenset({503, 530, 534, 535, 538})
"""Those that speak of how we came, not of whom we named: order of commands, authentication, encryption (RFC 4954)."""


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


class AddressRefused(EtymonError):
    """The mail server will not take mail for this address, now or later.

    `by_policy` where it says so for reasons of its own, such as whom it relays for (RFC 3463, X.7.Z), which may be its
    configuration and not the address.
    """

    def __init__(self, smtp_code: int, *, by_policy: bool) -> None:
        """Keep the reply's code; its text may name the person."""
        super().__init__("mail_address_refused", "The mail server takes no mail for the address.")
        self.smtp_code = smtp_code
        self.by_policy = by_policy


def compose(server: MailServer, to: str, subject: str, text: str, message_id: str) -> EmailMessage:
    """Return one plain-text message. `message_id` is the job's, so that a repeated delivery is recognised as one."""
    message = EmailMessage(policy=SMTP)
    message["From"] = server.sender
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = f"<{message_id}@{server.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: nobody's vacation notice should answer
    message.set_content(text)
    return message


def deliver(server: MailServer, message: EmailMessage) -> None:
    """Hand `message`, which has one recipient, to the mail server; raises `AddressRefused`, or Unavailable."""
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
    except aiosmtplib.SMTPRecipientsRefused as exc:
        for refusal in exc.recipients:
            if refusal.code >= PERMANENT and refusal.code not in OF_THE_SENDER:
                by_policy = refusal.message.lstrip().startswith("5.7.")
                raise AddressRefused(refusal.code, by_policy=by_policy) from exc
        raise Unavailable("mail_address_waits", "The mail server does not take mail for the address now.") from exc
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as exc:
        raise Unavailable("mail_server_unavailable", "The mail server did not take the notice.") from exc
