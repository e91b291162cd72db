# SPDX-License-Identifier: Apache-2.0
"""The card side of the virtual reader's protocol, against a reader of a few lines."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from etymon.card import vpcd
from etymon.card.applet import PIVApplet
from support.card_edge import STATUS, VERIFY, Bench, bench

SELECT = "00A4040005A000000308"


class Slot:
    """The reader's end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(20)

    def tell(self, message: bytes) -> None:
        self.connection.sendall(len(message).to_bytes(2, "big") + message)

    def ask(self, message: bytes) -> bytes:
        self.tell(message)
        return self.heard()

    def heard(self) -> bytes:
        return self._exactly(int.from_bytes(self._exactly(2), "big"))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.connection.recv(count - len(data))
            assert part, "the card is gone"
            data += part
        return data


@contextmanager
def inserted(applet: PIVApplet, address: tuple[str, int]) -> Iterator[list[bool]]:
    """Insert the card for the block's time; gives what was told about it."""
    stop, told = threading.Event(), list[bool]()

    def changed(*, inserted: bool) -> None:
        told.append(inserted)

    thread = threading.Thread(target=vpcd.insert, args=(applet, *address, stop, changed))
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        found.settimeout(20)
        yield found


@pytest.fixture
def card() -> Bench:
    return bench()


def test_commands_atr_and_contacts(card: Bench, listener: socket.socket) -> None:
    with inserted(card.applet, listener.getsockname()) as told, listener.accept()[0] as connection:
        slot = Slot(connection)
        slot.tell(b"\x01")  # power on is not answered, so the ATR is the first thing heard
        assert slot.ask(b"\x04") == bytes.fromhex("3b800181")
        assert slot.ask(bytes.fromhex(SELECT)).endswith(b"\x90\x00")
        assert slot.ask(bytes.fromhex(VERIFY)) == b"\x90\x00"
        assert slot.ask(bytes.fromhex(STATUS)) == b"\x90\x00"
        for contact in (b"\x00", b"\x02"):
            slot.tell(contact)
            assert slot.ask(bytes.fromhex(STATUS)) == b"\x63\xc3"
            slot.ask(bytes.fromhex(VERIFY))
        slot.tell(b"\x09")  # unknown, and nothing
        slot.tell(b"")
        assert slot.ask(b"\x00\x20") == b"\x67\x00"
    assert told == [True, False]


def test_a_message_may_come_in_pieces(card: Bench, listener: socket.socket) -> None:
    with inserted(card.applet, listener.getsockname()), listener.accept()[0] as connection:
        slot = Slot(connection)
        command = bytes.fromhex(SELECT)
        for octet in len(command).to_bytes(2, "big") + command:
            connection.sendall(bytes([octet]))
        assert slot.heard().endswith(b"\x90\x00")


def test_a_card_pulled_out_has_forgotten_the_pin_when_it_comes_back(card: Bench, listener: socket.socket) -> None:
    with inserted(card.applet, listener.getsockname()) as told:
        with listener.accept()[0] as connection:
            assert Slot(connection).ask(bytes.fromhex(VERIFY)) == b"\x90\x00"
        with listener.accept()[0] as connection:  # it comes back by itself
            assert Slot(connection).ask(bytes.fromhex(STATUS)) == b"\x63\xc3"
    assert told == [True, False, True, False]


def test_the_reader_may_come_later_than_the_card(card: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as early:
        address = early.getsockname()
    stop = threading.Event()
    thread = threading.Thread(target=vpcd.insert, args=(card.applet, *address, stop))
    thread.start()
    with socket.create_server(address) as late:
        late.settimeout(20)
        with late.accept()[0] as connection:
            assert Slot(connection).ask(b"\x04") == card.applet.atr
    stop.set()
    thread.join()


def test_a_card_that_never_finds_a_reader_can_be_taken_away(card: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    with inserted(card.applet, address) as told:
        pass
    assert not told
