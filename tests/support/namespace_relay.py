# SPDX-License-Identifier: Apache-2.0
"""A way out of a card reader's network: its 127.0.0.1:port leads to 127.0.0.1:port of this process's network.

    with reader(tmp_path) as slot, relay(slot, site.port), relay(slot, site.certauth_port):
        ...  # a browser inside opens https://localhost:<site.port>/

Bytes are passed on as they come, so TLS ends where it always ends.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from support.card_reader import Reader

_CHUNK_BYTES: Final = 65_536


@contextmanager
def relay(reader: Reader, port: int, outside_port: int | None = None) -> Iterator[None]:
    """Lead 127.0.0.1:`port` of the inside to 127.0.0.1:`outside_port` (the same, if not given) outside."""
    listener = reader.listen(port)
    connections: set[socket.socket] = set()
    accepting = threading.Thread(
        target=_accept, args=(listener, outside_port or port, connections), name=f"relay {port}", daemon=True
    )
    accepting.start()
    try:
        yield
    finally:
        for open_socket in (listener, *connections):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()


def _accept(listener: socket.socket, port: int, connections: set[socket.socket]) -> None:
    threads: list[threading.Thread] = []
    while True:
        try:
            inner, _ = listener.accept()
        except OSError:
            break
        try:
            outer = socket.create_connection(("127.0.0.1", port))
        except OSError:
            inner.close()
            continue
        connections.update((inner, outer))
        threads.append(threading.Thread(target=_carry_both, args=(inner, outer, connections), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join()


def _carry_both(inner: socket.socket, outer: socket.socket, connections: set[socket.socket]) -> None:
    back = threading.Thread(target=_carry, args=(outer, inner), daemon=True)
    back.start()
    _carry(inner, outer)
    back.join()
    connections.difference_update((inner, outer))
    inner.close()
    outer.close()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    """Carry one direction until it ends, and tell the other side that it ended."""
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
