# SPDX-License-Identifier: Apache-2.0
"""A smart-card reader for outside programs: pcscd with the virtual reader vpcd, in namespaces of its own.

vpcd listens on every address of its machine, so it gets a network of its own, with nothing but loopback; pcscd gets
its own /run beside any that the machine has. Both namespaces live as long as pcscd and are gone with it, and pcscd is
ended when this process is.

    with reader() as slot, slot.inserted(applet):
        slot.run("pkcs11-tool", "--login", "--pin", "142536", "--test")

What runs by `slot.run` or `slot.wrapper` is inside: it sees the reader, and no server of the outside. Three ways in:

- `slot.listen()` returns a listening socket on 127.0.0.1 *inside*, to be served from this process (any thread);
- `namespace_relay.relay(slot, port)` makes 127.0.0.1:port of the inside lead to 127.0.0.1:port of the outside;
- `slot.wrapper("chromium")` is a script to be named where a program starts another one by path (Playwright).
"""

import ctypes
import os
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import pytest

from etymon.card import vpcd
from etymon.card.applet import PIVApplet
from support import programs

T = TypeVar("T")

PROGRAMS: Final = ("pcscd", "vpcd-config", "opensc-tool", "unshare", "nsenter", "setpriv", "ip")
"""What a test that uses a reader `needs`."""

_CLONE_NEWNET: Final = 0x4000_0000
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
_NOTICE_SECONDS: Final = 0.9

_SET_UP: Final = """
set -e
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/pcscd
if [ -d /etc/chromium ]; then
    mount -t tmpfs tmpfs /etc/chromium
    mkdir -p /etc/chromium/policies/managed
fi
exec pcscd --foreground
"""


@dataclass(slots=True)
class Reader:
    """A running pcscd with an empty virtual reader."""

    pid: int
    directory: Path
    _used: bool = False

    @property
    def root(self) -> Path:
        """The file system as the inside sees it."""
        return Path(f"/proc/{self.pid}/root")

    def command(self, *words: str) -> list[str]:
        """Return the command that runs `words` inside."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", f"--wdns={self.directory}", "--", *words]

    def run(
        self,
        *words: str,
        check: bool = True,
        data: bytes | None = None,
        env: Mapping[str, str] | None = None,
        seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside; its output is text, and what it said is in the error when it fails."""
        done = subprocess.run(
            self.command(*words),
            input=data,
            capture_output=True,
            check=False,
            timeout=seconds,
            env={**os.environ, **(env or {})},
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if check and done.returncode:
            message = f"{words[0]} ended with {done.returncode}\n{out}\n{err}"
            raise AssertionError(message)
        return subprocess.CompletedProcess(words, done.returncode, out, err)

    def wrapper(self, program: str, *before: str) -> Path:
        """Return a script that runs `program` inside with whatever arguments it is given; `before` runs it there."""
        path = self.directory / f"inside-{Path(program).name}"
        found = str(programs.required(program))
        path.write_text(f'#!/bin/sh\nexec {shlex.join(self.command(*before, found))} "$@"\n')
        path.chmod(0o700)
        return path

    def inside(self, act: Callable[[], T]) -> T:
        """Call `act` in a thread that is inside the network; sockets it makes stay there."""
        outcome: list[T] = []
        failure: list[BaseException] = []

        def enter() -> None:
            try:
                enter_network(self.pid)
                outcome.append(act())
            except BaseException as exc:  # noqa: BLE001 - handed to whoever asked
                failure.append(exc)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]

    def listen(self, port: int = 0) -> socket.socket:
        """Return a listening socket on 127.0.0.1 inside."""
        return self.inside(lambda: socket.create_server(("127.0.0.1", port)))

    def allow_certificates(self, origin: str, issuer: str) -> None:
        """Have Chromium take the certificate issued by `issuer` for `origin` without asking."""
        choice = f'{{\\"pattern\\":\\"{origin}\\",\\"filter\\":{{\\"ISSUER\\":{{\\"CN\\":\\"{issuer}\\"}}}}}}'
        policy = self.root / "etc/chromium/policies/managed/certificates.json"
        policy.write_text(f'{{"AutoSelectCertificateForUrls": ["{choice}"]}}\n')

    @contextmanager
    def inserted(self, applet: PIVApplet) -> Iterator[None]:
        """Put the card into the reader; it is there when this begins, and out when it ends."""
        stop, there = threading.Event(), threading.Event()

        def changed(*, inserted: bool) -> None:
            if inserted:
                there.set()

        def be_inserted() -> None:
            enter_network(self.pid)
            vpcd.insert(applet, "127.0.0.1", vpcd.PORT, stop, changed)

        if self._used:
            self._wait_until("No", steady_seconds=_NOTICE_SECONDS)
        self._used = True
        thread = threading.Thread(target=be_inserted, name="card", daemon=True)
        thread.start()
        try:
            assert there.wait(_START_SECONDS), "the virtual reader does not take the card"
            self._wait_until("Yes")
            yield
        finally:
            stop.set()
            thread.join(_STOP_SECONDS)
        self._wait_until("No")

    def _wait_until(self, state: str, *, steady_seconds: float = 0.0) -> None:
        """Wait until OpenSC has said for some time that there is a card (Yes) or none (No).

        pcscd looks every 0.4 seconds; a card put in before it noticed that the last one went is never seen.
        `opensc-tool --wait` is no help: now and then it misses the insertion and waits for ever.
        """
        deadline = time.monotonic() + _START_SECONDS
        since: float | None = None
        while since is None or time.monotonic() - since < steady_seconds:
            if time.monotonic() > deadline:
                message = f"the virtual reader still does not say {state} to: is a card present"
                raise AssertionError(message)
            if self._first_slot() != state:
                since = None
            elif since is None:
                since = time.monotonic()
                continue
            time.sleep(_POLL_SECONDS)

    def _first_slot(self) -> str:
        """Return what OpenSC says of the first slot: Yes, No, or nothing while it is in between."""
        listed = self.run("opensc-tool", "--list-readers", check=False).stdout.splitlines()
        return next((line.split()[1] for line in listed if line.startswith("0 ")), "")


def library(pattern: str, package: str) -> Path:
    """Return the first file that fits below /usr/lib or /usr/include; the test is not run where there is none."""
    for root in (Path("/usr/lib"), Path("/usr/include")):
        found = sorted(root.glob(pattern))
        if found:
            return found[0]
    return _not_run(f"NOT RUN: install {package}")


def pkcs11_module() -> Path:
    """Return OpenSC's PKCS#11 module."""
    return library("*/opensc-pkcs11.so", "opensc-pkcs11")


def enter_network(pid: int) -> None:
    """Move the calling thread into the network of a process."""
    handle = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if library.setns(handle, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(handle)


@contextmanager
def reader(directory: Path) -> Iterator[Reader]:
    """Start a reader; `directory` is for its files. Skips, with the reason, where namespaces are not allowed."""
    _require_namespaces()
    with (directory / "pcscd.log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "unshare", "--net", "--mount", "sh", "-c", _SET_UP],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            found = Reader(process.pid, directory)
            _wait_for(found.root / "run/pcscd/pcscd.comm", process, directory / "pcscd.log")
            yield found
        finally:
            process.kill()  # what it would tidy up is in its own namespaces, and gone with it
            process.wait()


def _wait_for(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            message = f"pcscd did not start\n{log.read_text(errors='replace')}"
            raise AssertionError(message)
        time.sleep(_POLL_SECONDS)


def _require_namespaces() -> None:
    allowed = (
        os.geteuid() == 0
        and not subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False).returncode
    )
    if allowed:
        return
    _not_run("NOT RUN: a virtual card reader needs network and mount namespaces; run as root")


def _not_run(reason: str) -> NoReturn:
    """Skip with a reason; where CI runs, what is missing is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
