# SPDX-License-Identifier: Apache-2.0
"""The demo's mail server, spoken to by the standard library's client and by curl."""

import smtplib
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from etymon.server.demo.peers import mail_server
from etymon.server.demo.peers.mail_server import MESSAGE_LIMIT_BYTES, MailServer

ALICE, BOB = "alice@agency.example", "bob@agency.example"
MESSAGE = b"From: bob@agency.example\r\nTo: alice@agency.example\r\nSubject: Hello\r\n\r\n.dots\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    with mail_server.serving(tmp_path / "mail", domains=frozenset({"agency.example"})) as running:
        yield running


def test_a_mail_is_kept_as_it_was_sent(server: MailServer) -> None:
    with smtplib.SMTP(server.host, server.port) as client:
        assert client.sendmail(BOB, [ALICE, BOB], MESSAGE) == {}
    mail = server.wait_for(ALICE, lambda content: b"Subject: Hello" in content)
    assert mail is not None
    assert (mail.sender, mail.recipients, mail.content) == (BOB, (ALICE, BOB), MESSAGE)
    assert server.mails(BOB) == (mail,)
    assert server.mails("carol@agency.example") == ()


def test_mail_for_other_domains_is_not_taken(server: MailServer) -> None:
    with smtplib.SMTP(server.host, server.port) as client, pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        client.sendmail(BOB, ["carol@elsewhere.example"], MESSAGE)
    assert refused.value.recipients["carol@elsewhere.example"][0] == 550
    assert server.mails() == ()


def test_a_mail_that_is_too_large_is_not_taken(server: MailServer) -> None:
    with smtplib.SMTP(server.host, server.port) as client, pytest.raises(smtplib.SMTPException):
        client.sendmail(BOB, [ALICE], b"x" * (MESSAGE_LIMIT_BYTES + 1))
    assert server.mails() == ()


def test_waiting_for_a_mail_that_does_not_come_ends(server: MailServer) -> None:
    assert server.wait_for(ALICE, limit=timedelta(0)) is None


def test_the_server_ends_while_somebody_still_talks(tmp_path: Path) -> None:
    with mail_server.serving(tmp_path / "mail", domains=frozenset({"agency.example"})) as running:
        client = smtplib.SMTP(running.host, running.port)
    client.close()
    with pytest.raises(OSError, match="refused"):
        smtplib.SMTP(running.host, running.port)


@pytest.mark.needs("curl")
def test_curl_delivers(server: MailServer, tmp_path: Path) -> None:
    (tmp_path / "message.eml").write_bytes(MESSAGE)
    subprocess.run(
        [
            *("curl", "--disable", "--silent", "--noproxy", "*", "--url", f"smtp://{server.host}:{server.port}"),
            *("--mail-from", BOB, "--mail-rcpt", ALICE, "--upload-file", tmp_path / "message.eml"),
        ],
        check=True,
    )
    (mail,) = server.mails(ALICE)
    assert mail.content == MESSAGE
