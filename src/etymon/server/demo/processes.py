# SPDX-License-Identifier: Apache-2.0
"""Our own programs as the demo runs them: real processes with real command lines, ended by their own ids."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from etymon.server.demo.story import Untruth

START_LIMIT_SECONDS: Final = 30
STOP_LIMIT_SECONDS: Final = 20
LOG_LINES: Final = 12
USUAL_PORTS: Final = (8443, 8444, 8445, 8080)
COMMAND: Final = (sys.executable, "-m", "etymon.server")


def run(*arguments: str | Path) -> str:
    """Run an `etymon` command to its end and return what it wrote, or end the story with what it said."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise Untruth(f"`etymon {arguments[0]} …` ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


@contextlib.contextmanager
def running(log: Path, *arguments: str | Path, ready: Callable[[], bool]) -> Iterator[int]:
    """Run an `etymon` command in the background until the block ends; its log goes to `log`. Yields its process id."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        _wait(process, log, ready, str(arguments[0]))
        yield process.pid
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody listens on: the usual ones where they are free."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for usual in (*USUAL_PORTS[:count], *[0] * max(0, count - len(USUAL_PORTS))):
            door = held.enter_context(socket.socket())
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                door.bind(("127.0.0.1", usual))
            except OSError:
                door.bind(("127.0.0.1", 0))
            found.append(door.getsockname()[1])
    return found


def answers(port: int) -> bool:
    """Say whether somebody listens on a port of the loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def memory_megabytes(pid: int) -> float:
    """Return the most resident memory a process had so far, in 10^6 bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _wait(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool], name: str) -> None:
    end = time.monotonic() + START_LIMIT_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            told = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-LOG_LINES:])
            raise Untruth(f"`etymon {name}` does not run; its log ends with:\n{told}")
        time.sleep(0.1)
