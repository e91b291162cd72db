# SPDX-License-Identifier: Apache-2.0
"""The process of `killed_site` as a test has it: start it, kill it, know where it died."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from support import killed_site

START_LIMIT_SECONDS: Final = 60
OUTSIDE: Final = "outside"


@dataclass
class KilledProcess:
    """A server that is started again and again. `deaths` counts where it was killed."""

    keeper: subprocess.Popen[bytes]
    deaths: Counter[str] = field(default_factory=Counter)
    passed: list[str] = field(default_factory=list)
    ahead_seconds: int = 0
    last_death: str = ""
    _told: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)
    _pid: int = 0

    def start(self, **order: Any) -> bool:
        """Start a server; return whether it came up, or died as `order` said."""
        self._order({"ahead_seconds": self.ahead_seconds, **order})
        while True:
            told = self._told.get(timeout=START_LIMIT_SECONDS)
            if "up" in told:
                self._pid = told["up"]
                return True
            if self._has_ended(told):
                return False

    @property
    def is_up(self) -> bool:
        """Whether the server lives, as far as was told."""
        while self._pid:
            try:
                told = self._told.get_nowait()
            except queue.Empty:
                return True
            self._has_ended(told)
        return False

    def wait_for_death(self, limit_seconds: float) -> bool:
        """Return whether the server died in time."""
        while self._pid:
            try:
                told = self._told.get(timeout=limit_seconds)
            except queue.Empty:
                return False
            self._has_ended(told)
        return True

    def kill(self) -> None:
        """Kill the server from outside, wherever it is."""
        before = self.deaths.total()
        if self.is_up:
            with contextlib.suppress(ProcessLookupError):  # it died by itself and was not told yet
                handle = os.pidfd_open(self._pid)
                try:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                finally:
                    os.close(handle)
            if self.wait_for_death(START_LIMIT_SECONDS) and self.deaths.total() == before:
                self.deaths[OUTSIDE] += 1

    def traced(self, last: str = "") -> list[str]:
        """Return the points that were told since the last time, once `last` is among them."""
        while last and last not in self.passed:
            assert not self._has_ended(self._told.get(timeout=START_LIMIT_SECONDS))
        found = list(self.passed)
        self.passed.clear()
        return found

    def _order(self, order: dict[str, Any]) -> None:
        assert not self.is_up
        assert self.keeper.stdin is not None
        self.keeper.stdin.write(json.dumps(order).encode() + b"\n")
        self.keeper.stdin.flush()

    def _has_ended(self, told: dict[str, Any]) -> bool:
        if "died" in told:
            self.last_death = told["died"]
            self.deaths[self.last_death] += 1
        if "passed" in told:
            self.passed.append(told["passed"])
        if "ended" in told:
            self._pid = 0
            assert told["ended"] == -signal.SIGKILL, f"the server ended by itself: {told['ended']}"
            return True
        assert "gone" not in told, "the keeper of the servers ended"
        return False

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._told.put(json.loads(line))
        self._told.put({"gone": True})


@contextmanager
def killed_process(directory: Path, passphrase: str, log: Path) -> Iterator[KilledProcess]:
    """Lend a process whose servers are killed; nothing of it is left afterwards."""
    tests = Path(killed_site.__file__).parents[1]
    with log.open("wb") as errors:
        keeper = subprocess.Popen(
            [sys.executable, "-m", killed_site.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])},
        )
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    process = KilledProcess(keeper)
    reader = threading.Thread(target=process._read, args=(keeper.stdout,))  # noqa: SLF001 - this is its module
    reader.start()
    try:
        process._order({"directory": str(directory), "passphrase": passphrase})  # noqa: SLF001
        yield process
    finally:
        process.kill()
        keeper.stdin.close()
        keeper.wait(START_LIMIT_SECONDS)
        reader.join()
        keeper.stdout.close()
