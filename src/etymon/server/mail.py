# SPDX-License-Identifier: Apache-2.0
"""Hands one notice to the mail server for one address over SMTP (RFC 5321)."""

import asyncio
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final, Literal

import aiosmtplib

from etymon.directory import mailbox
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
    """The mail server will not take mail for this address, now or later; without a code it was not even asked.

    `by_policy` where it says so for reasons of its own, such as whom it relays for (RFC 3463, X.7.Z) or what it thinks
    of the message, which may be its configuration and not the address.
    """

    def __init__(self, smtp_code: int | None, *, by_policy: bool) -> None:
        """Keep the reply's code; its text may name the person."""
        super().__init__("mail_address_refused", "The mail server takes no mail for the address.")
        self.smtp_code = smtp_code
        self.by_policy = by_policy


class AddressWaits(Unavailable):
    """The mail server answers, and takes no mail for this address yet."""

    def __init__(self, smtp_code: int) -> None:
        """Keep the reply's code; its text may name the person."""
        super().__init__("mail_address_waits", "The mail server does not take mail for the address now.")
        self.smtp_code = smtp_code


def deliver(server: MailServer, to: str, subject: str, text: str, message_id: str) -> None:
    """Hand one plain-text message to the mail server; raises `AddressRefused`, `AddressWaits`, or Unavailable.

    It goes to `to` and nobody else: what is not one mailbox is refused before a server could read more out of it.
    `message_id` is the job's, so that a repeated delivery is recognised as one.
    """
    if not mailbox.is_one(to):
        raise AddressRefused(None, by_policy=False)
    try:
        _send(server, to, _compose(server, to, subject, text, message_id))
    except aiosmtplib.SMTPRecipientsRefused as exc:
        (refusal,) = exc.recipients
        raise _refused(refusal, by_policy=refusal.message.lstrip().startswith("5.7.")) from exc
    except aiosmtplib.SMTPDataError as exc:  # the address was good, and what it is about to get is not wanted
        raise _refused(exc, by_policy=True) from exc
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as exc:
        raise Unavailable("mail_server_unavailable", "The mail server did not take the notice.") from exc


def _compose(server: MailServer, to: str, subject: str, text: str, message_id: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = server.sender
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = f"<{message_id}@{server.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: nobody's vacation notice should answer
    message.set_content(text)
    return message


def _send(server: MailServer, to: str, message: EmailMessage) -> None:
    asyncio.run(
        aiosmtplib.send(
            message,
            recipients=[to],  # and not whom a header names
            hostname=server.host,
            port=server.port,
            use_tls=server.protection == "tls",
            start_tls=server.protection == "starttls",
            username=server.user or None,
            password=server.password.reveal() if server.password else None,
            timeout=server.timeout_seconds,
        )
    )


def _refused(reply: aiosmtplib.SMTPResponseException, *, by_policy: bool) -> AddressRefused | AddressWaits:
    """Return what a reply to the recipient or the message means."""
    if reply.code >= PERMANENT and reply.code not in OF_THE_SENDER:
        return AddressRefused(reply.code, by_policy=by_policy)
    return AddressWaits(reply.code)
