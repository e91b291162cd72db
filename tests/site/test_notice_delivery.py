# SPDX-License-Identifier: Apache-2.0
"""Notices go to each address by itself: one that a mail server refuses, for a while or for good, delays no other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from etymon.audit import trail
from etymon.directory import notices, people
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.server import follow_ups
from etymon.server.demo.peers import mail_server
from etymon.server.demo.peers.mail_server import MailServer
from etymon.server.deployment import Deployment
from etymon.server.initialization import RootKeys, initialize
from etymon.server.metrics import Metrics
from etymon.server.wiring import Wiring
from etymon.server.worker import Worker
from etymon.storage import jobs
from etymon.storage.jobs import LAST_RETRY
from support.clock import TurnedClock

PASSPHRASE = Secret("a passphrase of some length")
OFFICE, HOME = "alice@agency.example", "alice@home.example"
TRIES_OF_A_DAY = 25
"""With the first, one an hour."""


class Choosy(MailServer):
    """Answers for an address what a test wants; the rest is the demo's mail server."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, frozenset({"agency.example", "home.example"}))
        self.replies: dict[str, str] = {}
        self.replies_to_data: dict[str, str] = {}
        self.reply_to_sender = "250 OK"
        self.named: list[str] = []

    async def handle_MAIL(  # noqa: N802 - the library's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        if self.reply_to_sender.startswith("250"):
            envelope.mail_from = address
        return self.reply_to_sender

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        self.named.append(address)
        if address in self.replies:
            return self.replies[address]
        return await super().handle_RCPT(server, session, envelope, address, options)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - the library's name
        (address,) = envelope.rcpt_tos
        if address in self.replies_to_data:
            return self.replies_to_data[address]
        return await super().handle_DATA(server, session, envelope)


class Post:
    """A deployment, its worker, and a mail server that answers for an address what a test wants."""

    def __init__(self, directory: Path, server: Choosy) -> None:
        self.clock, self.server, self.metrics = TurnedClock(), server, Metrics()
        initialize(
            directory / "data",
            {
                "organization": "Example Agency",
                "loopback_demo": True,
                "status_url": "http://127.0.0.1:1",
                "smtp_host": server.host,
                "smtp_port": server.port,
                "smtp_tls": "none",
                "mail_from": "etymon@agency.example",
            },
            passphrase=PASSPHRASE,
            root_keys=RootKeys(directory / "roots", PASSPHRASE),
            founders=[],
            trust_entries=[],
            clock=self.clock,
            entropy=SystemEntropy(),
            progress=lambda _: None,
        )
        self.deployment = Deployment.open(directory / "data", PASSPHRASE, self.clock, SystemEntropy())
        handlers = follow_ups.handlers(Wiring(self.deployment), self.metrics)
        mail = {notices.MAIL_JOB: handlers[notices.MAIL_JOB]}
        self.worker = Worker(self.deployment.database, self.clock, mail, [], self.metrics)
        with self.deployment.database.transaction() as tx:
            self.person = people.create(
                tx,
                self.deployment,
                user_principal_name="alice@agency.example",
                display_name="Alice",
                mail_addresses=[OFFICE, HOME],
                actor="test",
            ).id

    def tell(self, subject: str) -> None:
        with self.deployment.database.transaction() as tx:
            notices.notify(tx, self.clock, SystemEntropy(), [OFFICE, HOME], subject, "Something happened.")

    def enqueue(self, payload: dict[str, jobs.JSONValue]) -> None:
        with self.deployment.database.transaction() as tx:
            jobs.enqueue(tx, self.clock, SystemEntropy(), notices.MAIL_JOB, payload)

    def work(self) -> int:
        self.clock.advance(timedelta(microseconds=1))  # so that what is recorded has an order
        with ThreadPoolExecutor(2) as pool:
            return self.worker.run_due_jobs(pool)

    def arrived(self, address: str, subject: str) -> list[bytes]:
        wanted = f"Subject: {subject}\r\n".encode()
        return [mail.content for mail in self.server.mails(address) if wanted in mail.content]

    def waiting(self) -> int:
        mine = jobs.jobs.c.kind == notices.MAIL_JOB
        with self.deployment.database.snapshot() as tx:
            return tx.scalar(sa.select(sa.func.count()).select_from(jobs.jobs).where(mine)) or 0

    def recorded(self, what: str) -> list[tuple[str, dict[str, Any]]]:
        with self.deployment.database.snapshot() as tx:
            found = [one.event for one in trail.page(tx, name=f"server:notice:{what}", limit=50)]
        return [(event.subject, dict(event.facts)) for event in found]

    def refused(self) -> list[tuple[str, dict[str, Any]]]:
        return self.recorded("refused")

    def counted(self, what: str) -> float:
        lines = bytes(self.metrics.exposition().body).splitlines()
        (line,) = [one for one in lines if one.startswith(f"etymon_notices_{what}_total".encode())]
        return float(line.split()[1])

    def try_for(self, tries: int) -> None:
        """Try what waits so many times, as if it were never late."""
        for _ in range(tries):
            self.work()
            self.clock.advance(LAST_RETRY)


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    directory = tmp_path_factory.mktemp("post")
    (directory / "mail").mkdir()
    server = Choosy(directory / "mail")
    with mail_server.listening(server):
        yield Post(directory, server)


@contextmanager
def silent(post: Post) -> Iterator[None]:
    """Have the mail server take nothing from anybody for a while."""
    post.server.reply_to_sender = "550 5.7.1 sender rejected"
    try:
        yield
    finally:
        post.server.reply_to_sender = "250 OK"


@contextmanager
def refusing(post: Post, address: str, reply: str, *, to: str = "RCPT") -> Iterator[None]:
    """Have the mail server refuse one address for a while, or take it and refuse what it is sent."""
    replies = post.server.replies_to_data if to == "DATA" else post.server.replies
    replies[address] = reply
    try:
        yield
    finally:
        del replies[address]


def test_each_address_has_a_message_of_its_own(post: Post) -> None:
    post.tell("Both")
    assert post.work() == 2
    for address, other in ((OFFICE, HOME), (HOME, OFFICE)):
        (content,) = post.arrived(address, "Both")
        assert f"To: {address}\r\n".encode() in content
        assert other.encode() not in content


def test_an_address_refused_for_a_while_is_tried_again_and_the_other_has_the_notice_once(post: Post) -> None:
    with refusing(post, HOME, "451 4.7.1 greylisted"):
        post.tell("For a while")
        post.work()
        assert (len(post.arrived(OFFICE, "For a while")), post.arrived(HOME, "For a while")) == (1, [])
        assert post.waiting() == 1
        post.clock.advance(timedelta(seconds=2))
        assert post.work() == 1
    post.clock.advance(timedelta(seconds=3))
    assert post.work() == 0  # the waits grow: two seconds, four
    post.clock.advance(timedelta(seconds=1))
    assert post.work() == 1
    assert (len(post.arrived(OFFICE, "For a while")), len(post.arrived(HOME, "For a while"))) == (1, 1)
    assert post.waiting() == 0


def test_an_address_refused_for_good_is_on_record_and_not_tried_again(post: Post) -> None:
    before, counted = post.refused(), post.counted("refused")
    with refusing(post, HOME, "550 5.1.1 no such mailbox"):
        post.tell("For good")
        post.work()
    assert len(post.arrived(OFFICE, "For good")) == 1
    assert (post.waiting(), post.counted("refused")) == (0, counted + 1)
    assert len(post.refused()) == len(before) + 1
    assert post.refused()[0] == (f"person:{post.person}", {"smtp_code": 550, "address": 2})


@pytest.mark.parametrize("reply", ["550 5.7.1 relaying denied", "530 5.7.0 Authentication required"])
def test_a_server_that_will_not_have_us_is_asked_again_for_a_day(post: Post, reply: str) -> None:
    before, subject = post.refused(), f"From us {reply[:3]}"
    with refusing(post, OFFICE, reply):
        post.tell(subject)
        post.try_for(TRIES_OF_A_DAY - 1)
        assert (post.waiting(), post.refused()) == (1, before)
    post.work()
    assert len(post.arrived(OFFICE, subject)) == 1


@pytest.mark.parametrize(
    ("to", "reply"), [("RCPT", "550 5.7.1 relaying denied"), ("DATA", "554 5.6.0 we do not like the message")]
)
def test_a_server_that_never_will_have_us_or_the_message_is_on_record_in_the_end(
    post: Post, to: str, reply: str
) -> None:
    before = post.refused()
    with refusing(post, OFFICE, reply, to=to):
        post.tell("Never")
        post.try_for(TRIES_OF_A_DAY - 1)
        assert (post.waiting(), post.refused()) == (1, before)
        post.try_for(1)
    assert (post.waiting(), len(post.refused())) == (0, len(before) + 1)
    assert post.refused()[0] == (f"person:{post.person}", {"smtp_code": int(reply[:3]), "address": 1})


def test_the_day_begins_when_the_server_first_refuses_and_not_when_it_could_not_be_asked(post: Post) -> None:
    before, subject = (post.refused(), post.recorded("delayed")), "After a weekend"
    with silent(post):
        post.tell(subject)
        post.try_for(2 * TRIES_OF_A_DAY)
    with (
        refusing(post, OFFICE, "554 5.6.0 a filter that is wrong", to="DATA"),
        refusing(post, HOME, "451 4.2.0 later"),
    ):
        post.try_for(1)
        assert (post.waiting(), post.refused(), post.recorded("delayed")) == (2, *before)
    assert post.work() == 2
    assert all(len(post.arrived(address, subject)) == 1 for address in (OFFICE, HOME))


@pytest.mark.parametrize(
    ("to", "reply"),
    [("RCPT", "451 4.2.0 later"), ("RCPT", "530 5.7.0 Authentication required"), ("DATA", "452 4.3.1 no room now")],
)
def test_an_address_that_waits_for_a_day_is_on_record_once_and_tried_on(post: Post, to: str, reply: str) -> None:
    before, counted, refused = post.recorded("delayed"), post.counted("delayed"), post.refused()
    subject = f"Waits {reply[:3]}"
    with refusing(post, HOME, reply, to=to):
        post.tell(subject)
        post.try_for(TRIES_OF_A_DAY - 1)
        assert post.recorded("delayed") == before
        post.try_for(3)
    assert (len(post.recorded("delayed")), post.counted("delayed")) == (len(before) + 1, counted + 1)
    assert post.recorded("delayed")[0] == (f"person:{post.person}", {"smtp_code": int(reply[:3]), "address": 2})
    assert post.work() == 1
    assert (len(post.arrived(HOME, subject)), post.waiting(), post.refused()) == (1, 0, refused)


def test_a_server_that_will_not_have_the_sender_says_nothing_of_addresses(post: Post) -> None:
    before, named = (post.refused(), post.recorded("delayed")), len(post.server.named)
    with silent(post):
        post.tell("As whom")
        post.try_for(TRIES_OF_A_DAY + 1)
    assert (post.waiting(), len(post.server.named)) == (2, named)
    assert (post.refused(), post.recorded("delayed")) == before
    assert post.work() == 2
    assert all(len(post.arrived(address, "As whom")) == 1 for address in (OFFICE, HOME))


@pytest.mark.parametrize(
    "address",
    [
        f"{OFFICE},{HOME}",
        f"{OFFICE}, eve@home.example",
        f"Friends: {OFFICE}, {HOME};",
        f"<{OFFICE}>",
        f"{OFFICE} (Alice)",
        f"{OFFICE}\r\nBcc: {HOME}",
        f'"{OFFICE},eve"@home.example',
        "al..ice@agency.example",
    ],
)
def test_what_is_not_one_mailbox_reaches_nobody_and_is_on_record(post: Post, address: str) -> None:
    """Whatever a job of a version before, or a row of its, holds."""
    before, named = len(post.refused()), len(post.server.named)
    post.enqueue({"to": [address], "subject": "Not one", "text": "Something happened."})
    assert post.work() == 1
    assert post.server.named[named:] == []
    assert (post.waiting(), len(post.refused())) == (0, before + 1)
    assert post.refused()[0][1] == {"smtp_code": None, "address": 0}


def test_a_job_of_the_version_before_becomes_one_for_each_address(post: Post) -> None:
    post.enqueue({"to": [OFFICE, HOME], "subject": "Older", "text": "Something happened."})
    assert post.work() == 1
    assert post.waiting() == 2
    assert post.work() == 2
    assert all(len(post.arrived(address, "Older")) == 1 for address in (OFFICE, HOME))


def test_without_a_mail_server_notices_wait_and_the_log_says_so_once_an_hour(post: Post) -> None:
    bare = replace(post.deployment, settings=post.deployment.settings.model_copy(update={"smtp_host": ""}))
    handlers = follow_ups.handlers(Wiring(bare), post.metrics)
    mail = {notices.MAIL_JOB: handlers[notices.MAIL_JOB]}
    worker = Worker(bare.database, post.clock, mail, [], post.metrics)
    post.tell("Without a server")
    post.tell("And another")
    with capture_logs() as logged, ThreadPoolExecutor(2) as pool:
        tries = []
        for _ in range(7):
            tries.append(worker.run_due_jobs(pool))
            post.clock.advance(timedelta(minutes=20))
    assert tries == [4, 0, 0, 4, 0, 0, 4]
    assert [each["event"] for each in logged] == ["no_mail_server"] * 3
    post.try_for(2)
    assert post.waiting() == 0
    for address in (OFFICE, HOME):
        assert len(post.arrived(address, "Without a server")) == len(post.arrived(address, "And another")) == 1
