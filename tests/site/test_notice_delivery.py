# SPDX-License-Identifier: Apache-2.0
"""Notices go to each address by itself: one that a mail server refuses, for a while or for good, delays no other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

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
from etymon.server.notice_delivery import POLICY_TRIES
from etymon.server.wiring import Wiring
from etymon.server.worker import Worker
from etymon.storage import jobs
from support.clock import TurnedClock

PASSPHRASE = Secret("a passphrase of some length")
OFFICE, HOME = "alice@agency.example", "alice@home.example"


class Choosy(MailServer):
    """Answers for an address what a test wants; the rest is the demo's mail server."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, frozenset({"agency.example", "home.example"}))
        self.replies: dict[str, str] = {}

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.replies:
            return self.replies[address]
        return await super().handle_RCPT(server, session, envelope, address, options)


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
        with ThreadPoolExecutor(2) as pool:
            return self.worker.run_due_jobs(pool)

    def arrived(self, address: str, subject: str) -> list[bytes]:
        wanted = f"Subject: {subject}\r\n".encode()
        return [mail.content for mail in self.server.mails(address) if wanted in mail.content]

    def waiting(self) -> int:
        mine = jobs.jobs.c.kind == notices.MAIL_JOB
        with self.deployment.database.snapshot() as tx:
            return tx.scalar(sa.select(sa.func.count()).select_from(jobs.jobs).where(mine)) or 0

    def refused(self) -> list[tuple[str, dict[str, Any]]]:
        with self.deployment.database.snapshot() as tx:
            found = [one.event for one in trail.page(tx, name="server:notice:refused", limit=50)]
        return [(event.subject, dict(event.facts)) for event in found]

    @property
    def counted(self) -> float:
        (line,) = [
            one
            for one in bytes(self.metrics.exposition().body).splitlines()
            if one.startswith(b"etymon_notices_refused_total")
        ]
        return float(line.split()[1])


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    directory = tmp_path_factory.mktemp("post")
    (directory / "mail").mkdir()
    server = Choosy(directory / "mail")
    with mail_server.listening(server):
        yield Post(directory, server)


@contextmanager
def refusing(post: Post, address: str, reply: str) -> Iterator[None]:
    """Have the mail server refuse one address for a while."""
    post.server.replies[address] = reply
    try:
        yield
    finally:
        del post.server.replies[address]


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
    before, counted = post.refused(), post.counted
    with refusing(post, HOME, "550 5.1.1 no such mailbox"):
        post.tell("For good")
        post.work()
    assert len(post.arrived(OFFICE, "For good")) == 1
    assert (post.waiting(), post.counted) == (0, counted + 1)
    assert len(post.refused()) == len(before) + 1
    assert post.refused()[0] == (f"person:{post.person}", {"smtp_code": 550, "address": 2})


@pytest.mark.parametrize("reply", ["550 5.7.1 relaying denied", "530 5.7.0 Authentication required"])
def test_a_server_that_will_not_have_us_is_asked_again_for_a_day(post: Post, reply: str) -> None:
    before, subject = post.refused(), f"From us {reply[:3]}"
    with refusing(post, OFFICE, reply):
        post.tell(subject)
        for _ in range(POLICY_TRIES - 1):
            post.work()
            post.clock.advance(timedelta(hours=1))
        assert (post.waiting(), post.refused()) == (1, before)
    post.work()
    assert len(post.arrived(OFFICE, subject)) == 1


def test_a_server_that_never_will_have_us_is_on_record_in_the_end(post: Post) -> None:
    before = len(post.refused())
    with refusing(post, OFFICE, "550 5.7.1 relaying denied"):
        post.tell("Never")
        for _ in range(POLICY_TRIES):
            post.work()
            post.clock.advance(timedelta(hours=1))
    assert (post.waiting(), len(post.refused())) == (0, before + 1)


def test_a_job_of_the_version_before_becomes_one_for_each_address(post: Post) -> None:
    post.enqueue({"to": [OFFICE, HOME], "subject": "Older", "text": "Something happened."})
    assert post.work() == 1
    assert post.waiting() == 2
    assert post.work() == 2
    assert all(len(post.arrived(address, "Older")) == 1 for address in (OFFICE, HOME))
