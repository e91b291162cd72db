# SPDX-License-Identifier: Apache-2.0
"""A person at a terminal: a command with a controlling terminal of its own, what it writes, and what is typed there."""

import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LONGEST_WAIT_SECONDS: Final = 60


class Terminal:
    """What a running `etymon` command shows, and its keyboard."""

    def __init__(self, process: int, descriptor: int) -> None:
        self._process, self._descriptor = process, descriptor
        self._seen = 0
        self._status: int | None = None
        self.text = ""
        """Everything on the screen so far; what is typed without echo is not on it."""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the first match of `pattern` on the screen, after what was waited for before."""
        ends = time.monotonic() + LONGEST_WAIT_SECONDS
        while not (found := re.search(pattern, self.text[self._seen :])):
            assert time.monotonic() < ends, self.text
            assert self._read(), self.text
        self._seen += found.end()
        return found

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._descriptor, f"{text}\n".encode())

    def end(self) -> int:
        """Return the exit status when the command has ended."""
        while self._read():
            pass
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        return self._status

    def _read(self) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], LONGEST_WAIT_SECONDS)
        assert ready, self.text
        try:
            octets = os.read(self._descriptor, 4096)
        except OSError:  # Linux's way to say that the other side was closed
            return False
        self.text += octets.decode("utf-8", "replace")
        return bool(octets)


@contextmanager
def typing(*arguments: str) -> Iterator[Terminal]:
    """Run an `etymon` command; when the block ends it is waited for, and after a failure stopped."""
    process, descriptor = pty.fork()
    if process == 0:
        wide = {**os.environ, "COLUMNS": "400"}  # so that no sentence is broken
        command = [sys.executable, "-m", "etymon.server", *arguments]
        os.execve(sys.executable, command, wide)  # noqa: S606 - our own program
    terminal = Terminal(process, descriptor)
    try:
        yield terminal
    except BaseException:
        os.kill(process, signal.SIGKILL)
        raise
    finally:
        terminal.end()
        os.close(descriptor)
