# SPDX-License-Identifier: Apache-2.0
"""Service programs run in the foreground: started when they answer, stopped by process id, quoted when they fail."""

import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from etymon.kernel.errors import Unavailable
from etymon.server.demo.peers import programs
from etymon.server.demo.peers.programs import MissingProgram, Program

LOOPBACK: Final = "127.0.0.1"
START_LIMIT: Final = timedelta(seconds=30)
STOP_LIMIT: Final = timedelta(seconds=10)
LINE_LIMIT: Final = timedelta(seconds=10)
POLL_SECONDS: Final = 0.02
PORT_TRIES: Final = 5

T = TypeVar("T")


class DidNotStart(Unavailable):
    """A program did not become ready; `log` is what it said."""

    default_code = "program_did_not_start"

    def __init__(self, name: str, log: str) -> None:
        self.log = log
        super().__init__(detail=f"{name} did not start; its log says:\n{log}", program=name)


class Log:
    """The file a program writes its log to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def position(self) -> int:
        """Return where the log ends now, in bytes; what is written later is `since` that."""
        return self.path.stat().st_size if self.path.exists() else 0

    def since(self, position: int = 0) -> str:
        """Return what was written after `position`."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            file.seek(position)
            return file.read().decode(errors="replace")

    def lines(self, pattern: str, *, since: int = 0) -> tuple[str, ...]:
        """Return the lines after `since` in which the regular expression is found."""
        return tuple(line.strip() for line in self.since(since).splitlines() if re.search(pattern, line))

    def wait_for(self, pattern: str, *, since: int = 0, limit: timedelta = LINE_LIMIT) -> tuple[str, ...]:
        """Return `lines` as soon as there are some, none when `limit` passes: programs write after they answer."""
        found: list[tuple[str, ...]] = []

        def written() -> bool:
            found.append(self.lines(pattern, since=since))
            return bool(found[-1])

        poll(written, limit)
        return found[-1]


class Daemon:
    """A service program. It can be started again after it was stopped, and writes on in the same log."""

    def __init__(
        self,
        program: Program,
        arguments: Iterable[str | Path],
        *,
        directory: Path,
        log: Log,
        ready: Callable[[int], bool],
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`ready` is asked, with the log's position at the start, whether the program answers."""
        self.program = program
        self.command = (str(program.path), *map(str, arguments))
        self.log = log
        self._directory = directory
        self._ready = ready
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when the program answers; raise `DidNotStart` with its log when it does not.

        It is told to end with the thread that started it, so that a run that is killed leaves nothing behind.
        """
        position = self.log.position()
        with self.log.path.open("ab") as output:
            process = self._process = subprocess.Popen(
                (*_ending_with_us(), *self.command),
                cwd=self._directory,
                env=programs.environment(self._settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        poll(lambda: process.poll() is not None or self._ready(position), START_LIMIT)
        if process.poll() is not None or not self._ready(position):
            self.stop()
            raise DidNotStart(self.program.name, self.log.since(position))

    def stop(self) -> None:
        """End the program and wait until it is gone; nothing happens when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_LIMIT.total_seconds())
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the running program."""
        if self._process is not None:
            self._process.send_signal(number)


def poll(done: Callable[[], bool], limit: timedelta) -> bool:
    """Ask until `done` or until `limit` passes; return the last answer."""
    end = time.monotonic() + limit.total_seconds()
    while not (answer := done()) and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    return answer


def answers(port: int) -> bool:
    """Return whether somebody accepts TCP connections on this port of the loopback address."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def on_free_port(kind: socket.SocketKind, start: Callable[[int], T]) -> T:
    """Return what `start` returns for a port that was free; another is tried when somebody took it in between."""
    for _ in range(PORT_TRIES - 1):
        try:
            return start(free_port(kind))
        except DidNotStart as failure:
            if "address already in use" not in failure.log.lower():
                raise
    return start(free_port(kind))


def free_port(kind: socket.SocketKind) -> int:
    """Return a port of the loopback address that nobody uses now."""
    with socket.socket(type=kind) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _ending_with_us() -> tuple[str, ...]:
    found = programs.find("setpriv")
    return () if isinstance(found, MissingProgram) else (str(found.path), "--pdeathsig", "TERM")
