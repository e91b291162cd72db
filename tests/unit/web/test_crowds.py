# SPDX-License-Identifier: Apache-2.0
"""Who gives way when too many connections wait."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from etymon.web.connections import ConnectionLimits, Crowd

LIMIT = 16


class Line:
    """A connection, and the client at its other end."""

    def __init__(self, stack: ExitStack) -> None:
        self.server, self.client = (stack.enter_context(end) for end in socket.socketpair())
        self.client.settimeout(0)

    @property
    def is_open(self) -> bool:
        try:
            return self.client.recv(1) != b""
        except BlockingIOError:
            return True


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_who_waits_longest_gives_way_to_others_of_the_same_address_only(stack: ExitStack) -> None:
    crowd, lines = Crowd("certauth", ConnectionLimits(connections=LIMIT)), [Line(stack) for _ in range(LIMIT * 3)]
    person = Line(stack)
    crowd.enter(person.server, "192.0.2.1")
    for line in lines:
        crowd.enter(line.server, "198.51.100.7")
    assert person.is_open
    assert len(crowd) == LIMIT
    assert [line.is_open for line in lines] == [False] * (LIMIT * 2 + 1) + [True] * (LIMIT - 1)


def test_where_nobody_has_more_than_others_who_waits_longest_goes(stack: ExitStack) -> None:
    crowd, lines = Crowd("certauth", ConnectionLimits(connections=LIMIT)), [Line(stack) for _ in range(LIMIT + 2)]
    for number, line in enumerate(lines):
        crowd.enter(line.server, f"192.0.2.{number}")
    assert [line.is_open for line in lines] == [False] * 2 + [True] * LIMIT


def test_who_left_or_is_answered_counts_no_more_among_those_who_wait(stack: ExitStack) -> None:
    crowd, lines = Crowd("certauth", ConnectionLimits(connections=LIMIT)), [Line(stack) for _ in range(LIMIT)]
    for line in lines:
        crowd.enter(line.server, "198.51.100.7")
    for line in lines[:4]:
        crowd.is_answered(line.server.fileno())
    for line in lines[4:8]:
        crowd.leave(line.server.fileno())
    others = [Line(stack) for _ in range(9)]
    for line in others:
        crowd.enter(line.server, "203.0.113.9")
    assert [line.is_open for line in lines] == [True] * 8 + [False] * 2 + [True] * 6, "eight waited, more than there"
    assert [line.is_open for line in others] == [False] * 3 + [True] * 6
    crowd.is_waiting(lines[0].server.fileno())
    assert len(crowd) == LIMIT
