# SPDX-License-Identifier: Apache-2.0
"""Requests to Microsoft's hosts: a few at a time, and none for long.

Whoever asks holds a thread of the site. A service that takes questions and does not answer would hold them all, so that
nobody could do anything, at any door.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

from etymon.kernel.errors import Unavailable
from etymon.kernel.time_limit import within

MOST_AT_ONCE: Final = 8
"""Calls at a time, of a process; whoever comes beyond them is told at once to come back."""

LARGEST_ANSWER_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds."""

    request: float = 10.0
    """For one whole answer: names, connection, and every byte of it."""

    call: float = 15.0
    """For all that one call needs: tokens, where the service is, the call itself, and perhaps all of it again."""


USUAL: Final = Patience()


@dataclass(frozen=True, slots=True)
class Answered:
    """What a host answered."""

    status: int
    body: bytes


class Outbound:
    """Sends requests over TLS; shared by all threads of a process."""

    def __init__(
        self, tls: ssl.SSLContext, patience: Patience = USUAL, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._tls, self._patience, self._monotonic = tls, patience, monotonic
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)

    @contextmanager
    def call(self) -> Iterator[float]:
        """Take a place for a call, and say until when it may ask; `Unavailable` `intune_busy` where none is free."""
        if not self._free.acquire(blocking=False):
            raise unavailable("intune_busy")
        try:
            yield self._monotonic() + self._patience.call
        finally:
            self._free.release()

    def send(self, method: str, url: str, *, until: float, **content: Any) -> Answered:
        """Return what was answered in time; `Unavailable` otherwise. Redirects are not followed."""
        seconds = min(self._patience.request, until - self._monotonic())
        if seconds <= 0:
            raise unavailable()
        try:
            return within(seconds, self._exchange(method, url, content))
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as exc:
            raise unavailable() from exc

    async def _exchange(self, method: str, url: str, content: dict[str, Any]) -> Answered:
        body = bytearray()
        headers = {"Accept-Encoding": "identity", **content.pop("headers", {})}  # packed, it has no size to limit
        async with (
            httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=self._patience.request) as http,
            http.stream(method, url, headers=headers, **content) as response,
        ):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > LARGEST_ANSWER_BYTES:
                    raise unavailable("intune_not_understood")
        return Answered(response.status_code, bytes(body))


def unavailable(code: str = "intune_unavailable") -> Unavailable:
    """The service does not answer as it should; nothing is issued, and the device comes back."""
    return Unavailable(code, "Microsoft Intune does not answer as it should. Try again.")
