# SPDX-License-Identifier: Apache-2.0
"""Puts the software card into a virtual reader: the card side of vpcd's protocol (vsmartcard project).

The card connects to the reader over TCP; connected is inserted, disconnected is removed. Each message is a two-byte
big-endian length and that many bytes: one byte is for the reader's contacts, four or more are a command APDU.
"""

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from etymon.card.applet import PIVApplet

PORT: Final = 35_963
"""Where vpcd's first reader listens, unless it is configured otherwise."""

_POLL_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = 0.3
_REINSERT_SECONDS: Final = 1.0
"""pcscd looks for the card every 0.4 seconds; one that is back before it was missed is never seen again."""
_CONNECT_SECONDS: Final = 3.0
_SEND_SECONDS: Final = 10.0
_LENGTH_BYTES: Final = 2


class Contact(IntEnum):
    """What the reader does to the card besides sending commands."""

    POWER_OFF = 0
    POWER_ON = 1
    RESET = 2
    GET_ATR = 4


def _ignore(*, inserted: bool) -> None:
    del inserted


def insert(
    applet: PIVApplet,
    host: str,
    port: int,
    stop: threading.Event,
    changed: Callable[..., None] = _ignore,
) -> None:
    """Keep the card inserted until `stop` is set; comes back by itself when the reader went away.

    `changed(inserted=…)` is called when the card goes in and when it comes out.
    """
    while not stop.is_set():
        try:
            connection = socket.create_connection((host, port), _CONNECT_SECONDS)
        except OSError:
            stop.wait(_RETRY_SECONDS)
            continue
        with connection:
            changed(inserted=True)
            with contextlib.suppress(OSError):
                _serve(applet, connection, stop)
            applet.power_off()
            changed(inserted=False)
        stop.wait(_REINSERT_SECONDS)


def _serve(applet: PIVApplet, connection: socket.socket, stop: threading.Event) -> None:
    while True:
        head = _receive(connection, _LENGTH_BYTES, stop)
        if head is None:
            return
        message = _receive(connection, int.from_bytes(head, "big"), stop)
        if message is None:
            return
        answer = _answer(applet, message)
        if answer is not None:
            connection.settimeout(_SEND_SECONDS)
            connection.sendall(len(answer).to_bytes(_LENGTH_BYTES, "big") + answer)


def _answer(applet: PIVApplet, message: bytes) -> bytes | None:
    """Return what goes back; power and reset are not answered, and what is no message is not either."""
    if len(message) > 1:
        return applet.process(message)
    contact = message[0] if message else None
    if contact == Contact.GET_ATR:
        return applet.atr
    if contact == Contact.RESET:
        applet.reset()
    elif contact in {Contact.POWER_OFF, Contact.POWER_ON}:
        applet.power_off()
    return None


def _acknowledge_at_once(connection: socket.socket) -> None:
    """Tell the reader at once what came: it sends the length apart, and its Nagle would wait 40 ms with the rest.

    The system forgets this wish after a while, so it is said before every read.
    """
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _receive(connection: socket.socket, count: int, stop: threading.Event) -> bytes | None:
    """Return exactly `count` bytes, or None when the reader is gone or `stop` is set."""
    connection.settimeout(_POLL_SECONDS)
    data = b""
    while len(data) < count:
        if stop.is_set():
            return None
        _acknowledge_at_once(connection)
        try:
            part = connection.recv(count - len(data))
        except TimeoutError:
            continue
        if not part:
            return None
        data += part
    return data
