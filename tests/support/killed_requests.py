# SPDX-License-Identifier: Apache-2.0
"""Requests whose server is killed under way, and what every retry must find."""

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx
from cryptography import x509

from etymon.storage.database import Database
from support.killed_journey import Operation, Story
from support.killed_organization import Organization
from support.killed_process import KilledProcess
from support.killed_records import certificate_kept

DEATH_LIMIT_SECONDS: Final = 30
ANSWERED: Final = "answer:after"
ONE_IN: Final = 8
"""One restart in so many is killed while it starts, and one retry in so many on its own way."""


def tell(story: Story, carry_out: Callable[[Operation], httpx.Response]) -> None:
    """Go through a story from its first operation to its last."""
    with contextlib.suppress(StopIteration):
        operation = next(story)
        while True:
            operation = story.send(carry_out(operation))


@dataclass
class Killings:
    """Sends requests, has the server killed on their way, and asks again until they are answered."""

    process: KilledProcess
    organization: Organization
    chance: random.Random
    ways: dict[str, list[str]] = field(default_factory=dict)
    """The points that each operation passes, in order, as its first undisturbed request told them."""
    answered: dict[str, x509.Certificate] = field(default_factory=dict)
    """Certificates that came in an answer, by what the CA keeps them under."""
    hit: Counter[str] = field(default_factory=Counter)
    """How often the server was killed at each point of each operation's way."""
    _schedules: dict[str, Iterator[int]] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        return self.organization.deployment.database

    def learn_start(self) -> None:
        """Learn which points the server passes while it starts; leaves it running."""
        assert self.process.start(start=0)
        self.ways["start"] = self.process.traced()

    def learn(self, operation: Operation) -> httpx.Response:
        """Send a request undisturbed and learn which points it passes."""
        answer = self._answered(operation, {"Die-At": "0"})
        self.ways[operation.name] = self.process.traced(ANSWERED)
        return answer

    def carry_out(self, operation: Operation, die_at: int | None = None) -> httpx.Response:
        """Kill the server on the way of a request, ask again, and hold the answers against each other."""
        first = self.interrupt(operation, die_at)
        kept = certificate_kept(self.database, operation.request_key)
        self.start_again()
        if self.chance.randrange(ONE_IN) == 0:
            self._try(operation, self.chance.randint(1, len(self.ways[operation.name])))
            self.process.kill()  # where the second way was too short to die on
            self.start_again()
        return self.ask_again(operation, first, kept)

    def ask_again(
        self, operation: Operation, first: httpx.Response | None, kept: x509.Certificate | None
    ) -> httpx.Response:
        """Ask twice more; what was answered before, and what the database kept at the kill, must come again."""
        answer, again = self._answered(operation), self._answered(operation)
        essence = operation.essence(answer)
        assert operation.essence(again) == essence
        assert first is None or operation.essence(first) == essence
        if operation.request_key:
            now_kept = certificate_kept(self.database, operation.request_key)
            assert now_kept is not None
            assert kept in {None, now_kept}
            self.answered[operation.request_key] = now_kept
        return answer

    def interrupt(self, operation: Operation, die_at: int | None = None) -> httpx.Response | None:
        """Send a request on whose way the server dies; return the answer if all of it came."""
        point = next(self._schedule(operation.name)) if die_at is None else die_at
        answer = self._try(operation, point)
        assert self.process.wait_for_death(DEATH_LIMIT_SECONDS), f"{operation.name} passes no point {point}"
        expected = self.ways[operation.name][point - 1]
        assert self.process.last_death == f"request:{expected}"
        self.hit[f"{operation.name} {expected}"] += 1
        return answer

    def kill_worker(self, point: str) -> None:
        """Start a server whose worker dies at a point, and wait until it has."""
        if self.process.start(worker=point):
            assert self.process.wait_for_death(DEATH_LIMIT_SECONDS), f"the worker passes no point {point}"
        assert self.process.last_death == point
        self.hit[point] += 1

    def kill_starting(self, point: int) -> None:
        """Kill a server, and the next one at a point of its start; both leave events that nobody has sealed."""
        expected = f"start:{self.ways['start'][point - 1]}"
        while True:
            with self.organization.manager():  # signing in is an event
                self.process.kill()
            if not self.process.start(start=point) and self.process.last_death == expected:
                break
            self.process.kill()  # the trail was sealed in that very moment, and the way was a shorter one
            assert self.process.start()
        self.hit[expected] += 1
        assert self.process.start()

    def start_again(self) -> None:
        """Start the server, now and then after one that is killed while it starts."""
        if self.chance.randrange(ONE_IN) == 0 and self.process.start(start=next(self._schedule("start"))):
            self.process.kill()
        assert self.process.start()

    def _try(self, operation: Operation, die_at: int) -> httpx.Response | None:
        try:
            answer = operation.send(**{"Die-At": str(die_at)})
        except httpx.TransportError:
            return None
        assert answer.is_success, answer.text
        return answer

    def _answered(self, operation: Operation, headers: Mapping[str, str] | None = None) -> httpx.Response:
        answer = operation.send(**(headers or {}))
        assert answer.is_success, f"{operation.name}: {answer.text}"
        return answer

    def _schedule(self, name: str) -> Iterator[int]:
        if name not in self._schedules:
            self._schedules[name] = self._shuffled(len(self.ways[name]))
        return self._schedules[name]

    def _shuffled(self, points: int) -> Iterator[int]:
        while True:
            yield from self.chance.sample(range(1, points + 1), points)


@dataclass
class Crowd:
    """Phones that ask at the same time, while the server is killed from outside at any moment."""

    killings: Killings
    serving: threading.Event = field(default_factory=threading.Event)

    def carry_out(self, operation: Operation) -> httpx.Response:
        """Send a request until it is answered when a server is there; the answer comes again."""
        answer = self._until_answered(operation)
        assert operation.essence(self._until_answered(operation)) == operation.essence(answer)
        if operation.request_key:
            kept = certificate_kept(self.killings.database, operation.request_key)
            assert kept is not None
            self.killings.answered[operation.request_key] = kept
        return answer

    def _until_answered(self, operation: Operation) -> httpx.Response:
        while True:
            assert self.serving.wait(DEATH_LIMIT_SECONDS)
            try:
                answer = operation.send()
            except httpx.TransportError:
                continue
            assert answer.is_success, f"{operation.name}: {answer.text}"
            return answer
