# SPDX-License-Identifier: Apache-2.0
"""Asking status hosts over HTTP: a few questions at a time, not for long, and not again and again where nobody answers.

Whoever asks holds a thread of the site. A host that takes questions and does not answer would hold them all, so that
nobody could do anything, at any door.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx
import structlog

from etymon.kernel.time_limit import within

log = structlog.get_logger("etymon.pki")

MOST_AT_A_DESK: Final = 8
"""Questions of one kind to one host at a time; whoever comes beyond them is told at once that nobody knows."""

MOST_AT_ONCE: Final = 20
"""Questions to all hosts at a time: half of a process's threads, should every host fail at the same moment."""

OCSP_HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "application/ocsp-request",
    "Accept": "application/ocsp-response",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds."""

    question: float = 5.0
    """For one whole answer: names, connection, and every byte of it."""

    validation: float = 10.0
    """For all answers that one path validation needs."""

    slow: float = 1.0
    """A question that failed sooner cost nobody anything, and is not held against its host."""

    silence: float = 10.0
    """A host that failed slowly is not asked for so long; then one question goes to see."""


USUAL: Final = Patience()


@dataclass(slots=True)
class _Desk:
    """One kind of question at one host: a responder may fail while the lists beside it are fine."""

    asking: int = 0
    silent_until: float | None = None


class StatusHosts:
    """What is known of status hosts; shared by all validations and threads of a process."""

    def __init__(self, patience: Patience = USUAL, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._monotonic = monotonic
        self._tls = httpx.create_ssl_context(trust_env=False)
        self._lock = threading.Lock()
        self._desks: dict[tuple[str, str], _Desk] = {}

    def deadline(self) -> float:
        """Return until when a validation that begins now may ask, for `fetch`."""
        return self._monotonic() + self._patience.validation

    def fetch(self, url: str, limit_bytes: int, *, until: float, ocsp_request: bytes | None = None) -> bytes | None:
        """Return the answer's body; None for anything but a complete 200 within time and size.

        None at once where the host has been silent just now, enough others ask already, or `until` is over. Blocks:
        call it from a thread without an event loop.
        """
        desk = ("crl" if ocsp_request is None else "ocsp", urlsplit(url).netloc.lower())
        began = self._monotonic()
        if began >= until or not self._enter(desk, began):
            return None
        has_answered, body = False, None
        seconds = min(self._patience.question, until - began)
        try:
            body = within(seconds, self._exchange(url, limit_bytes, ocsp_request))
            has_answered = True
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL):
            pass
        finally:
            had_time = seconds >= self._patience.question / 2
            self._leave(desk, has_answered=has_answered, had_time=had_time, seconds=self._monotonic() - began)
        return body

    def _enter(self, name: tuple[str, str], now: float) -> bool:
        with self._lock:
            desk = self._desks.setdefault(name, _Desk())
            if desk.asking >= MOST_AT_A_DESK or sum(one.asking for one in self._desks.values()) >= MOST_AT_ONCE:
                return False
            if desk.silent_until is not None:
                if now < desk.silent_until:
                    return False
                desk.silent_until = now + self._patience.silence  # this one goes to see, and the others do not
            desk.asking += 1
            return True

    def _leave(self, name: tuple[str, str], *, has_answered: bool, had_time: bool, seconds: float) -> None:
        """Note the end of a question. Where others had used up its time, it says nothing against this host."""
        kind, host = name
        with self._lock:
            desk = self._desks[name]
            desk.asking -= 1
            was_silent = desk.silent_until is not None
            if has_answered:
                desk.silent_until = None
            elif had_time and seconds >= self._patience.slow:
                desk.silent_until = self._monotonic() + self._patience.silence
            is_silent = desk.silent_until is not None
        if is_silent and not was_silent:
            log.warning("status_host_silent", host=host, kind=kind, seconds=round(seconds, 1))
        elif was_silent and not is_silent:
            log.info("status_host_answers_again", host=host, kind=kind)

    async def _exchange(self, url: str, limit_bytes: int, ocsp_request: bytes | None) -> bytes | None:
        method, headers = ("GET", None) if ocsp_request is None else ("POST", OCSP_HEADERS)
        answer = bytearray()
        async with (
            httpx.AsyncClient(
                verify=self._tls,
                trust_env=False,  # no proxy and no credentials
                timeout=self._patience.question,  # for each step; the caller keeps the time of all of them together
                headers={
                    "User-Agent": "etymon",
                    "Accept-Encoding": "identity",
                },  # packed, an answer has no size to limit
            ) as http,
            http.stream(method, url, content=ocsp_request, headers=headers) as response,
        ):
            if response.status_code != httpx.codes.OK:
                return None
            async for chunk in response.aiter_raw():
                answer += chunk
                if len(answer) > limit_bytes:
                    return None
        return bytes(answer)
