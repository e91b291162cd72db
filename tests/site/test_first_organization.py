# SPDX-License-Identifier: Apache-2.0
"""Every command of docs/operations/first-organization.md, run as it stands there, in an empty directory.

Only the ports are others, and what a person does in a browser is done by the scripted one, with the card from its file.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import pytest

from etymon.card.server_trust import ServerTrust
from etymon.card.tls import CardTLSTransport
from etymon.kernel.clock import SystemClock
from etymon.phone.screen import UserCode
from etymon.server.command_line import site_access
from etymon.server.command_line.options import SiteChoice
from etymon.server.demo.browser import Browser
from support import patience, site_pages
from support.founding import free_ports

PAGE: Final = Path(__file__).parents[2] / "docs" / "operations" / "first-organization.md"
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
APPOINTED: Final = re.compile(r"^olga@agency\.example  officer  appointed by \S+ at (\S+)  (\w+)", re.MULTILINE)
CODE: Final = re.compile(r"^  (\w+)@agency\.example  ([0-9A-Z-]+)$", re.MULTILINE)
PORTS: Final = {"site_port": 8443, "certauth_port": 8444, "device_port": 8445, "status_port": 8080, "cards": 9080}
SECONDS: Final = 120


@dataclass
class Terminal:
    """A directory, and what is typed there."""

    folder: Path
    ports: Mapping[str, int]
    running: ExitStack
    codes: dict[str, str] = field(default_factory=dict)
    assigned: str = ""

    def type(self, command: str) -> str:
        """Run a command to its end, answering what it asks; what it says is in the error when it fails."""
        process = self._begin(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(self._answers(command), SECONDS)
        finally:
            process.kill()
        assert process.returncode == 0, f"{command}\n{out}\n{err}"
        return out

    @contextmanager
    def started(self, command: str, *, answers: str = "") -> Iterator[IO[str]]:
        """Start a command whose output is read while it runs; it has to end well when the block ends."""
        with self._begin(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(answers)
                process.stdin.close()
                yield process.stdout
                assert process.wait(SECONDS) == 0, command
            finally:
                process.kill()

    @contextmanager
    def staying(self, command: str, ready: str) -> Iterator[None]:
        """Keep a command running, once its output says that it is ready, and stop it as Ctrl-C does."""
        log = self.folder / f"{len(list(self.folder.glob('*.log')))}.log"
        with log.open("wb") as output:
            process = self._begin(f"exec {command}", stdout=output, stderr=subprocess.STDOUT)
        with process:
            try:
                patience.until(lambda: ready in log.read_text() or process.poll() is not None, f"{command} is ready")
                assert process.poll() is None, log.read_text()
                yield
                process.send_signal(signal.SIGINT)
                assert process.wait(SECONDS) == 0, log.read_text()
            finally:
                process.kill()

    def _begin(self, command: str, *, stdout: int | IO[bytes], stderr: int) -> "subprocess.Popen[str]":
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            self._words(command),
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PATH": path, "HOME": str(self.folder)},
            umask=0o077,
            start_new_session=True,
        )

    def _words(self, command: str) -> list[str]:
        settings = " ".join(f"--set {name}={port}" for name, port in self.ports.items() if name != "cards")
        command = command.replace("--set loopback_demo=true", f"--set loopback_demo=true {settings}")
        command = command.replace("ASSIGNED", self.assigned)
        return ["bash", "-euo", "pipefail", "-c", self.with_ports(command)]

    def with_ports(self, text: str) -> str:
        """Return text of the page with the ports of this run."""
        for name, usual in PORTS.items():
            text = text.replace(f"localhost:{usual}", f"localhost:{self.ports[name]}")
        return text

    def _answers(self, command: str) -> str:
        if command.startswith("etymon card bind"):
            return self.codes[command.split()[3].removesuffix(".card")] + "\n"
        return "y\n"


def commands(block: str) -> list[str]:
    return [line for line in re.sub(r"\\\n\s*", "", block).splitlines() if line]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    with ExitStack() as running:
        yield Terminal(tmp_path, ports, running)


@contextmanager
def browser_of(terminal: Terminal, name: str) -> Iterator[Browser]:
    """Put somebody's card into a PC, and open a browser there."""
    folder = terminal.folder
    site = site_access.chosen(SiteChoice(folder / "site", "", None))
    certauth = f"https://localhost:{terminal.ports['certauth_port']}"
    with site_access.opened(
        site, folder / f"{name}.card", pin=folder / "card.pin", passphrase=folder / "card.pass"
    ) as card:
        plain = CardTLSTransport(trust=ServerTrust(site.anchors), clock=SystemClock())
        with Browser(plain, site_access.transport(site, card), certauth_origin=certauth) as browser:
            yield browser


def read_until(output: IO[str], words: str) -> str:
    """Return the line after the one with the words."""
    for line in output:
        if words in line:
            return next(output).strip()
    raise AssertionError(words)


@pytest.mark.needs("openssl", "curl", "certutil", "pkcs11-register")
def test_the_first_organisation_is_made_by_the_commands_of_its_page(terminal: Terminal) -> None:
    site = f"https://localhost:{terminal.ports['site_port']}"
    for kind, block in BLOCK.findall(PAGE.read_text("utf-8")):
        if kind == "yaml":
            name = re.match(r"# (\S+)\n", block)
            assert name
            (terminal.folder / name[1]).write_text(terminal.with_ports(block), "utf-8")
            continue
        assert kind == "sh"
        for command in commands(block):
            run(terminal, site, command)
    shown = terminal.type("etymon phone status phone")
    assert "managed by Example Agency" in shown
    for purpose in ("authentication", "signature", "encryption"):
        assert purpose in shown


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_secrets_that_are_there_are_not_written_over(shell: str, tmp_path: Path) -> None:
    block = next(block for kind, block in BLOCK.findall(PAGE.read_text("utf-8")) if kind == "sh")

    def typed() -> tuple[str, dict[str, bytes]]:
        environment = {**os.environ, "LC_ALL": "C"}
        ended = subprocess.run(
            [shell], input=block, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, check=False
        )
        return ended.stderr, {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    told, written = typed()
    assert (told, len(written)) == ("", 6)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    told, kept = typed()
    assert kept == written
    said = re.findall(r"(\S+): (?:cannot overwrite existing file|File exists)$", told, re.MULTILINE)
    assert set(said) == set(written)


def run(terminal: Terminal, site: str, command: str) -> None:
    if "card insert " in command:
        with terminal.staying(command, "waiting for the reader"):
            return
    elif " serve " in command:
        terminal.running.enter_context(terminal.staying(command, '"status"'))
    elif "phone run phone --qr" in command:
        enroll(terminal, site, command)
    elif "phone run phone --link-qr" in command:
        link(terminal, site, command)
    elif command == "etymon phone run phone --once":
        patience.until(lambda: f"open {site}/issuer/" in terminal.type(command), "the phone asks for the credential")
    elif command.startswith("etymon appointments"):
        shown = terminal.type(command)
        told = APPOINTED.search(shown)
        assert told
        assert terminal.assigned or "otto@agency.example  officer  appointed by init at " in shown
        assert told[2] == ("confirmed" if terminal.assigned else "waits")
        terminal.assigned = told[1]
    else:
        shown = terminal.type(command)
        terminal.codes.update(CODE.findall(shown))


def enroll(terminal: Terminal, site: str, command: str) -> None:
    with terminal.started(command) as phone, browser_of(terminal, "alice") as browser:
        code = read_until(phone, "type this code")
        site_pages.approve(browser, UserCode(code, f"{site}/devicelogin", datetime.now(UTC)))
        assert "Enrolled with Example Agency." in phone.read()


def link(terminal: Terminal, site: str, command: str) -> None:
    with browser_of(terminal, "alice") as browser:
        site_pages.expect(site_pages.present_card(browser, site), "home")
        shown = site_pages.show_code(browser, site)
        (terminal.folder / "link.png").write_bytes(shown.image)
        with terminal.started(command, answers="correct horse\n" * 2) as phone:
            digits = read_until(phone, "Is this you").replace(" ", "")
            site_pages.confirm(browser, shown.page, digits)
            assert "Your derived credential is ready" in phone.read()
