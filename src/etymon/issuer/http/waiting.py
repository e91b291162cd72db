# SPDX-License-Identifier: Apache-2.0
"""The phone's wait for the PC: its request holds a socket, and neither a thread nor a transaction."""

import asyncio
import contextlib
import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as ASGIRequest
from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.issuer import device_identity, linking
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.http import doors
from etymon.issuer.link_key import LARGEST_SIGNATURE_BYTES
from etymon.issuer.linking import Authorized
from etymon.issuer.model import DeviceIdentity
from etymon.web import documents
from etymon.web.documents import Problems, shown_time
from etymon.web.exchange import Request, Waiting, json_response, waiting_endpoint
from etymon.web.waits import Waits

LOOKS_PER_SECOND: Final = 50
"""What all who wait for a PC together ask of the database: the more there are, the rarer each looks."""

OVER: Final = frozenset({"link_denied", "link_expired"})
"""What the right phone is told when there is nothing to wait for any more."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A phone that may go on asking, until `until` by the process's own clock."""

    link: uuid.UUID
    proof: bytes
    device: DeviceIdentity | None
    until: float


def authorization_route(deps: Dependencies, path: str, longest_wait_seconds: int) -> BaseRoute:
    """Return the route where a phone waits for its authorization."""

    def first(request: Request) -> Response:
        began = time.monotonic()
        device = device_identity.judge(deps, request.peer, source=request.client_address)
        document = documents.read_versioned(request)
        wait = documents.number(document, "wait", largest=longest_wait_seconds)
        link = documents.identifier(document.get("link"), "link")
        proof = documents.octets(document, "proof", limit=LARGEST_SIGNATURE_BYTES)
        with deps.refusals.noted(
            linking.REFUSED_EVENT,
            actor=linking.actor_of(device),
            subject=str(link),
            source=request.client_address,
            but=OVER,
        ):
            authorized = linking.authorization(deps, link, proof, device)
        if authorized is None and wait:
            return Waiting(_Asked(link, proof, device, began + wait))
        return _answer(authorized)

    until_decided = partial(_until_decided, deps, Waits())
    refused = doors.recorder(deps, linking.REFUSED_EVENT, but=OVER)
    return waiting_endpoint(path, first, until_decided, errors=Problems(), proxies=deps.proxies, refused=refused)


async def _until_decided(deps: Dependencies, waits: Waits, request: ASGIRequest, asked: _Asked) -> Response:
    """Sleep and look by turns until the PC has decided, the phone asks anew, or the time is over."""
    with waits.newest(asked.link) as over:
        while (left := asked.until - time.monotonic()) > 0 and not over.is_set():
            pause = max(deps.poll_interval.total_seconds(), len(waits) / LOOKS_PER_SECOND)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), min(left, pause))
            if over.is_set() or await request.is_disconnected():
                break
            authorized = await run_in_threadpool(linking.authorization, deps, asked.link, asked.proof, asked.device)
            if authorized is not None:
                return _answer(authorized)
    return _answer(None)


def _answer(authorized: Authorized | None) -> Response:
    if authorized is None:
        return json_response({"state": "waiting"})
    return json_response(
        {
            "state": "confirmed",
            "authorization": authorized.authorization.reveal(),
            "purposes": [purpose.value for purpose in authorized.purposes],
            "expiresAt": shown_time(authorized.expires_at),
        }
    )
