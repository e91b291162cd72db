# SPDX-License-Identifier: Apache-2.0
"""A host that takes every connection and answers none, or never comes to an end of its answer."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from support import patience


class SilentHost:
    """Listens on a port of the loopback; what it says of an answer, it says a byte at a time and without end."""

    def __init__(self, port: int = 0, *, endless: bytes = b"") -> None:
        self._endless = endless
        self._door = socket.create_server(("127.0.0.1", port), backlog=128)
        self._held: dict[socket.socket, int] = {}  # and how much was said there
        self._bell, self._closing = socket.socketpair()
        self.accepted = 0
        self._thread = threading.Thread(target=self._run, name="silent-host")
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._door.getsockname()[1]}"

    def wait_for(self, connections: int) -> None:
        """Return once so many have come."""
        patience.until(lambda: self.accepted >= connections, f"{connections} connections to the silent host")

    def close(self) -> None:
        """Hang up on everybody, and listen no more; twice does no harm."""
        self._closing.close()
        self._thread.join()
        for one in (*self._held, self._door, self._bell):
            one.close()

    def _run(self) -> None:
        while True:
            pause = 0.005 if self._endless else None
            ready: Sequence[socket.socket] = select.select([self._door, self._bell], [], [], pause)[0]
            if self._bell in ready:
                return
            if self._door in ready:
                self._held[self._door.accept()[0]] = 0
                self.accepted += 1
            for one, said in self._held.items() if self._endless else ():
                with contextlib.suppress(OSError):  # it hung up
                    one.send(self._endless[said : said + 1] or b"x")
                self._held[one] = said + 1


@contextmanager
def silent_host(port: int = 0, *, endless: bytes = b"") -> Iterator[SilentHost]:
    host = SilentHost(port, endless=endless)
    try:
        yield host
    finally:
        host.close()
