# SPDX-License-Identifier: Apache-2.0
"""The phone's wait for the PC: its request holds a socket, and neither a thread nor a transaction."""

import asyncio
import time
import uuid
from dataclasses import dataclass

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as ASGIRequest
from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.issuer import device_identity, linking
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.http import documents
from etymon.issuer.http.documents import Problems, moment
from etymon.issuer.link_key import LARGEST_SIGNATURE_BYTES
from etymon.issuer.linking import Authorized
from etymon.issuer.model import DeviceIdentity
from etymon.kernel.errors import EtymonError
from etymon.web.exchange import Endpoint, Request, endpoint, json_response

log = structlog.get_logger("etymon.issuer")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A phone that may go on asking, until `until` by the process's own clock."""

    link: uuid.UUID
    proof: bytes
    device: DeviceIdentity | None
    until: float


class _Waiting(Response):
    """What the first look answers for a phone that waits; the route keeps it from the socket."""

    def __init__(self, asked: _Asked) -> None:
        super().__init__()
        self.asked = asked


def authorization_route(deps: Dependencies, path: str, longest_wait_seconds: int) -> BaseRoute:
    """Return the route where a phone waits for its authorization."""
    problems = Problems()

    def first(request: Request) -> Response:
        began = time.monotonic()
        device = device_identity.judge(deps, request.peer)
        document = documents.read(request)
        documents.require_version(document)
        wait = documents.number(document, "wait", largest=longest_wait_seconds)
        link = documents.identifier(document, "link")
        proof = documents.octets(document, "proof", limit=LARGEST_SIGNATURE_BYTES)
        authorized = linking.authorization(deps, link, proof, device)
        if authorized is None and wait:
            return _Waiting(_Asked(link, proof, device, began + wait))
        return _answer(authorized)

    answer_at_once = endpoint(path, first, methods=["POST"], errors=problems, proxies=deps.proxies).endpoint

    async def serve(request: ASGIRequest) -> Response:
        response: Response = await answer_at_once(request)
        if not isinstance(response, _Waiting):
            return response
        try:
            return await _until_decided(deps, request, response.asked)
        except EtymonError as error:
            log.info("request_refused", path=path, code=error.code, **error.facts)
            return problems.expected(error)
        except Exception:  # the process edge: everything unexpected becomes a reference number
            reference = uuid.uuid4().hex[:12]
            log.exception("request_crashed", path=path, reference=reference)
            return problems.unexpected(reference)

    return Endpoint(path, serve, methods=["POST"], errors=problems)


async def _until_decided(deps: Dependencies, request: ASGIRequest, asked: _Asked) -> Response:
    """Sleep and look by turns until the PC has decided, or the time is over."""
    while (left := asked.until - time.monotonic()) > 0:
        await asyncio.sleep(min(left, deps.poll_interval.total_seconds()))
        if await request.is_disconnected():
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
            "expiresAt": moment(authorized.expires_at),
        }
    )
