# SPDX-License-Identifier: Apache-2.0
"""An SMTP server (RFC 5321) for the demo: takes mail for one organisation and keeps every message as a file.

It is used where no other mail server is configured, and comes with the package extra `demo`.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from etymon.server.demo.peers.daemons import LOOPBACK
from etymon.server.demo.peers.programs import MissingProgram, ProgramsMissing

MESSAGE_LIMIT_BYTES: Final = 10_000_000
ARRIVAL_LIMIT: Final = timedelta(seconds=20)
PACKAGE: Final = MissingProgram("aiosmtpd", "etymon[demo]")


@dataclass(frozen=True, slots=True)
class StoredMail:
    """A message that was accepted, with the envelope it came in."""

    sender: str
    recipients: tuple[str, ...]
    path: Path

    @property
    def content(self) -> bytes:
        """The message as it was sent."""
        return self.path.read_bytes()


class MailServer:
    """A running mail server; `port` is where it listens on the loopback address."""

    host: Final = LOOPBACK

    def __init__(self, directory: Path, domains: frozenset[str]) -> None:
        self.port = 0
        self._directory = directory
        self._domains = domains
        self._arrived = threading.Condition()
        self._mails: list[StoredMail] = []

    def mails(self, recipient: str | None = None) -> tuple[StoredMail, ...]:
        """Return what was accepted, in order of arrival; for one recipient where one is named."""
        with self._arrived:
            return tuple(mail for mail in self._mails if recipient is None or recipient in mail.recipients)

    def wait_for(
        self, recipient: str, wanted: Callable[[bytes], bool] = lambda _: True, *, limit: timedelta = ARRIVAL_LIMIT
    ) -> StoredMail | None:
        """Return the first mail for `recipient` whose content is `wanted`, or None when none came in `limit`."""

        def found() -> StoredMail | None:
            mails = (mail for mail in self._mails if recipient in mail.recipients)
            return next((mail for mail in mails if wanted(mail.content)), None)

        with self._arrived:
            return self._arrived.wait_for(found, limit.total_seconds())

    # The names and arguments of these two are aiosmtpd's.
    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Take a recipient of the organisation's own domains; relay for nobody."""
        if address.rpartition("@")[2].lower() not in self._domains:
            return "550 5.7.1 not for this organisation"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Keep the message before the sender is told that it was taken."""
        with self._arrived:
            path = self._directory / f"{len(self._mails) + 1:06}.eml"
            path.write_bytes(envelope.content)
            self._mails.append(StoredMail(envelope.mail_from, tuple(envelope.rcpt_tos), path))
            self._arrived.notify_all()
        return "250 2.0.0 stored"


@contextmanager
def serving(directory: Path, *, domains: frozenset[str]) -> Iterator[MailServer]:
    """Take mail for `domains` into `directory` until the block ends; raises `ProgramsMissing` without aiosmtpd."""
    directory.mkdir(parents=True, exist_ok=True)
    mail_server = MailServer(directory, domains)
    with listening(mail_server):
        yield mail_server


@contextmanager
def listening(mail_server: MailServer) -> Iterator[None]:
    """Have a mail server listen until the block ends; raises `ProgramsMissing` without aiosmtpd."""
    if find_spec("aiosmtpd") is None:
        raise ProgramsMissing((PACKAGE,))
    from aiosmtpd.smtp import SMTP  # noqa: PLC0415 - the extra is absent in a production installation

    loop = asyncio.new_event_loop()

    def session() -> Any:
        return SMTP(
            mail_server, data_size_limit=MESSAGE_LIMIT_BYTES, enable_SMTPUTF8=True, hostname="localhost", loop=loop
        )

    listener = loop.run_until_complete(loop.create_server(session, LOOPBACK, 0))
    mail_server.port = listener.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="mail server")
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(_closed(listener))
        loop.close()


async def _closed(listener: asyncio.Server) -> None:
    listener.close()
    conversations = asyncio.all_tasks() - {asyncio.current_task()}
    for conversation in conversations:
        conversation.cancel()
    await asyncio.gather(*conversations, return_exceptions=True)
