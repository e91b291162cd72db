# SPDX-License-Identifier: Apache-2.0
"""Check-in at the device listener. A check-in that waits holds a socket: no thread, no transaction."""

import hashlib
import time
import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as ASGIRequest
from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.audit.refusals import ANONYMOUS
from etymon.mdm import check_in
from etymon.mdm.dependencies import Dependencies
from etymon.mdm.desired import Instructions
from etymon.mdm.http import check_in_documents
from etymon.mdm.http.enrollment import CHECK_IN
from etymon.mdm.model import CHECKS_IN
from etymon.web import documents
from etymon.web.documents import Problems
from etymon.web.exchange import Request, Waiting, json_response, waiting_endpoint
from etymon.web.peer_certificate import PeerCertificate
from etymon.web.waits import Waits

NOTHING_NEWER: Final = 204

LOOKS_PER_SECOND: Final = 200
"""What all waiting check-ins of a process together ask of the database: the more there are, the rarer each looks by
itself. Those that this process has news for are woken at once in any case."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """A check-in that has nothing to be told yet."""

    peer: PeerCertificate | None
    thumbprint: bytes
    device: uuid.UUID
    known: int
    until: float


def routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the route of check-in."""

    def first(request: Request) -> Response:
        began = time.monotonic()
        with _noted(deps, request):
            thumbprint = deps.device_door.judge(request.peer)
        report = check_in_documents.report(documents.read_versioned(request))
        with _noted(deps, request):
            standing, told = check_in.check_in(deps, thumbprint, report)
        if told is None and report.wait and standing.state in CHECKS_IN:
            until = began + report.wait.total_seconds()
            return Waiting(_Wait(request.peer, thumbprint, standing.device, report.known, until))
        return _answer(told)

    until_news = partial(_until_news, deps, Waits())
    return [waiting_endpoint(CHECK_IN, first, until_news, errors=Problems(), proxies=deps.proxies)]


def _noted(deps: Dependencies, request: Request) -> AbstractContextManager[None]:
    """Have written down who showed a certificate and is refused."""
    certificate = hashlib.sha256(request.peer.der).hexdigest() if request.peer else ""
    return deps.refusals.noted(
        "mdm:device:refused",
        actor=ANONYMOUS,
        subject=f"certificate:{certificate}",
        source=request.client_address,
        but={"device_identity_required"},
    )


async def _until_news(deps: Dependencies, waits: Waits, request: ASGIRequest, wait: _Wait) -> Response:
    """Sleep and look by turns until there is something to tell, the device checks in anew, or the time is over."""
    with waits.newest(wait.device) as over:
        deps.wake_ups.wake(wait.device)  # whatever waited before is over
        while (left := wait.until - time.monotonic()) > 0 and not deps.wake_ups.is_closed and not over.is_set():
            pause = max(deps.poll_interval.total_seconds(), deps.wake_ups.sleepers / LOOKS_PER_SECOND)
            await deps.wake_ups.sleep(wait.device, min(left, pause))
            if over.is_set() or await request.is_disconnected():
                break
            told = await run_in_threadpool(_look, deps, wait)
            if told is not None:
                return _answer(told)
    return _answer(None)


def _look(deps: Dependencies, wait: _Wait) -> Instructions | None:
    _, told = check_in.look(deps, wait.thumbprint, wait.known)
    if told is not None:
        deps.device_door.judge(wait.peer)  # what was trusted when the wait began may not be any more
    return told


def _answer(told: Instructions | None) -> Response:
    if told is None:
        return Response(status_code=NOTHING_NEWER, headers={"Cache-Control": "no-store"})
    return json_response(check_in_documents.instructions(told))
