# SPDX-License-Identifier: Apache-2.0
"""The connections of a listener: how many at a time, and for how long each may keep it waiting.

Somebody who opens many connections and says nothing, or says it slowly, must not keep others out. So when there are too
many, the one that has waited longest without a whole request gives way, whether it is in its TLS handshake, in the
middle of a request, or idle; a newcomer gets in, and whoever is being answered is answered. It is one from the address
that has most of them waiting: somebody who types a PIN during a handshake is not pushed out by a crowd from elsewhere.
Behind a proxy all are of one address.
"""

import contextlib
import errno
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import structlog

from etymon.kernel.errors import Unavailable
from etymon.web.rate_limits import household

log = structlog.get_logger("etymon.web")

BACKLOG: Final = 128
"""Connections that the system holds until they are accepted, and that are accepted in one go."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one listener bears; times in seconds."""

    connections: int = 800
    """At a time, with those that are idle or have not finished their handshake."""

    handshake: float = 10.0
    """For TLS with a program."""

    card_handshake: float = 120.0
    """For TLS where the client may show a certificate: a person chooses one and types a PIN before it goes on."""

    headers: float = 10.0
    """From the connection, or from the first byte after an answer, to the end of a request's headers."""

    body: float = 30.0
    """From there to the end of its body."""

    answer: float = 120.0
    """From there to the last byte of the answer; the longest wait of a check-in is within it."""

    idle: int = 30
    """From there to the next request."""

    @property
    def answered(self) -> int:
        """Requests that are answered at a time; beyond them the answer is 503. The rest is room to come in."""
        return self.connections - self.connections // 8


USUAL: Final = ConnectionLimits()


class CannotListen(Unavailable):
    """A listener's address or port cannot be had; `listener` is its name, `number` the system's error."""

    default_code = "cannot_listen"

    def __init__(self, listener: str, host: str, port: int, error: OSError) -> None:
        self.listener, self.host, self.port, self.number = listener, host, port, error.errno
        super().__init__(
            detail=f"The {listener} listener cannot use port {port} of {host}: {error.strerror}.", listener=listener
        )


class Crowd:
    """Who is connected to one listener. Used by its event loop only."""

    def __init__(self, name: str, limits: ConnectionLimits) -> None:
        self._name = name
        self._limits = limits
        self._waiting: dict[int, socket.socket] = {}  # the one that waits longest comes first
        self._answered: dict[int, socket.socket] = {}
        self._from: dict[int, str] = {}
        self._waiting_from: Counter[str] = Counter()
        self._is_told = False

    def __len__(self) -> int:
        """Count the connections."""
        return len(self._waiting) + len(self._answered)

    @property
    def is_busy(self) -> bool:
        """Whether as many requests as may be, or more, are being answered."""
        if len(self._answered) <= self._limits.answered:
            return False
        self._tell("503")
        return True

    def enter(self, connection: socket.socket, household: str = "") -> None:
        """Let a connection of a household in; if that makes one too many, one that waits goes."""
        self._from[connection.fileno()] = household
        self._wait(connection.fileno(), connection)
        if len(self) > self._limits.connections:
            self._tell("closed")
            most = max(self._waiting_from.values())
            longest = next(number for number in self._waiting if self._waiting_from[self._from[number]] == most)
            with contextlib.suppress(OSError):  # it is gone
                self._wait_no_more(longest).shutdown(socket.SHUT_RDWR)  # the event loop sees its end and closes it

    def leave(self, number: int) -> None:
        """Forget a connection, by its file descriptor."""
        if number in self._waiting:
            self._wait_no_more(number)
        self._answered.pop(number, None)
        self._from.pop(number, None)
        if self._is_told and len(self) <= self._limits.connections // 2:
            self._is_told = False
            log.info("listener_has_room_again", listener=self._name)

    def is_answered(self, number: int) -> None:
        """Note that a connection's whole request is there."""
        if number in self._waiting:
            self._answered[number] = self._wait_no_more(number)

    def is_waiting(self, number: int) -> None:
        """Note that a connection was answered."""
        if number in self._answered:
            self._wait(number, self._answered.pop(number))

    def _wait(self, number: int, connection: socket.socket) -> None:
        self._waiting[number] = connection
        self._waiting_from[self._from[number]] += 1

    def _wait_no_more(self, number: int) -> socket.socket:
        household = self._from[number]
        self._waiting_from[household] -= 1
        if not self._waiting_from[household]:
            del self._waiting_from[household]
        return self._waiting.pop(number)

    def _tell(self, what: str) -> None:
        if not self._is_told:
            self._is_told = True
            log.warning("listener_crowded", listener=self._name, limit=self._limits.connections, further_are=what)


class Connection(socket.socket):
    """A socket that leaves its crowd when it closes."""

    crowd: Crowd

    def close(self) -> None:
        """Close and leave."""
        number = self.fileno()
        super().close()
        self.crowd.leave(number)


class Door(socket.socket):
    """A listening socket whose connections enter its crowd."""

    crowd: Crowd

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept one; asyncio sees only its own end of it, and knows no hook that also sees a failed handshake."""
        accepted, address = super().accept()
        connection = Connection(self.family, self.type, self.proto, fileno=accepted.detach())
        connection.crowd = self.crowd
        self.crowd.enter(connection, household(str(address[0])))
        return connection, address


class Entrance:
    """A listener's open doors, one for each address of its host, and who came in."""

    def __init__(self, name: str, host: str, port: int, limits: ConnectionLimits) -> None:
        """Open them, or raise CannotListen; connections are answered once a listener runs."""
        self.crowd = Crowd(name, limits)
        self.doors: list[Door] = []
        try:
            for family, kind, protocol, _, address in _addresses(host, port):
                door = Door(family, kind, protocol)
                self.doors.append(door)
                door.crowd = self.crowd
                door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                door.bind(address)
                door.listen(BACKLOG)  # of two that may bind one address, the second fails here
        except OSError as exc:
            self.close()
            raise CannotListen(name, host, port, exc) from exc

    def close(self) -> None:
        """Close the doors."""
        for door in self.doors:
            door.close()


def _addresses(host: str, port: int) -> list[Any]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as exc:
        raise OSError(errno.EADDRNOTAVAIL, exc.strerror) from exc
    return list(dict.fromkeys(found))
