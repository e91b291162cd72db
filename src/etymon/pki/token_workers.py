# SPDX-License-Identifier: Apache-2.0
"""Threads that call a token, each with a session of its own, so that no caller waits for a silent token without end.

A call into a module cannot be interrupted. Whoever asks waits for a bounded time; the thread in the module stays there
until the module returns, and works on then.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

from etymon.kernel.errors import Unavailable

S = TypeVar("S")
T = TypeVar("T")

WORKERS: Final = 4
"""Sessions of a process with a token; small tokens have eight or so for everybody."""


class Workers(Generic[S]):
    """At most `WORKERS` threads; each is given a state of its own by `begin`, once."""

    def __init__(self, begin: Callable[[], S]) -> None:
        self._begin = begin
        self._waiting: queue.SimpleQueue[Callable[[S], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._idle = 0
        self._silent = 0

    def do(self, act: Callable[[S], T], *, limit_seconds: float) -> T:
        """Return what `act` returns, called on a worker; `Unavailable` `token_silent` when that takes too long."""
        future: Future[T] = Future()

        def job(state: S) -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(act(state))
                except BaseException as exc:  # noqa: BLE001 - the thread's edge: handed to whoever waits
                    future.set_exception(exc)

        with self._lock:
            if self._silent >= WORKERS:
                raise _silent()
            if not self._idle and self._started < WORKERS:
                self._started += 1
                threading.Thread(target=self._work, name="token", daemon=True).start()
        self._waiting.put(job)
        try:
            return future.result(limit_seconds)
        except TimeoutError as exc:
            if not future.cancel() and not future.done():
                self._count_silent(future)
            raise _silent() from exc

    def _count_silent(self, future: Future[T]) -> None:
        with self._lock:
            self._silent += 1
        future.add_done_callback(self._spoken)  # at once, if it is done by now

    def _spoken(self, _: object) -> None:
        with self._lock:
            self._silent -= 1

    def _work(self) -> None:
        state = self._begin()
        while True:
            with self._lock:
                self._idle += 1
            job = self._waiting.get()
            with self._lock:
                self._idle -= 1
            job(state)


def _silent() -> Unavailable:
    return Unavailable("token_silent", "The key token does not answer. See to it; what was begun is finished later.")
