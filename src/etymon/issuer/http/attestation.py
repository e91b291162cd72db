# SPDX-License-Identifier: Apache-2.0
"""A phone asks what its new keys are to be attested for, before it rekeys (docs/protocols/est.md)."""

import base64
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.issuer import derived_credential
from etymon.issuer.attestation import challenges
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import Purpose
from etymon.kernel.errors import Malformed
from etymon.web import documents
from etymon.web.documents import Problems, shown_time
from etymon.web.exchange import Request, endpoint, json_response

CHALLENGE: Final = "/issuer/attestation/v1/challenge"


def device_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the device listener."""

    def challenge(request: Request) -> Response:
        asking = derived_credential.judge(deps, request.peer, source=request.client_address)
        purpose = _purpose(documents.text(documents.read_versioned(request), "purpose", limit=20))
        given, expires_at = challenges.new(deps, asking, purpose)
        return json_response(
            {"challenge": base64.b64encode(given).decode("ascii"), "expiresAt": shown_time(expires_at)}
        )

    return [endpoint(CHALLENGE, challenge, methods=["POST"], errors=Problems(), proxies=deps.proxies)]


def _purpose(name: str) -> Purpose:
    try:
        return Purpose(name)
    except ValueError as exc:
        raise Malformed("malformed", "purpose is authentication, signature or encryption.") from exc
