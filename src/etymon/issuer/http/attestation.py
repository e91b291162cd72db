# SPDX-License-Identifier: Apache-2.0
"""A phone asks what a new key is to be attested for, before a rekey or its key history (docs/protocols/est.md)."""

import base64
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.issuer import derived_credential
from etymon.issuer.attestation import challenges
from etymon.issuer.attestation.model import KeyUse
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.http import doors
from etymon.issuer.model import Purpose
from etymon.kernel.errors import Malformed
from etymon.web import documents
from etymon.web.documents import Problems, shown_time
from etymon.web.exchange import Request, endpoint, json_response

CHALLENGE: Final = "/issuer/attestation/v1/challenge"

_WANTED: Final = {purpose.value: (purpose, KeyUse.CERTIFICATE) for purpose in Purpose} | {
    "keyHistory": (Purpose.ENCRYPTION, KeyUse.KEY_HISTORY)
}


def device_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the device listener."""

    def challenge(request: Request) -> Response:
        asking = derived_credential.judge(deps, request.peer, source=request.client_address)
        wanted = _WANTED.get(documents.text(documents.read_versioned(request), "purpose", limit=20))
        if wanted is None:
            raise Malformed("malformed", f"purpose is one of {', '.join(_WANTED)}.")
        given, expires_at = challenges.new(deps, asking, *wanted)
        return json_response(
            {"challenge": base64.b64encode(given).decode("ascii"), "expiresAt": shown_time(expires_at)}
        )

    refused = doors.recorder(deps, derived_credential.REFUSED_EVENT)
    return [endpoint(CHALLENGE, challenge, methods=["POST"], errors=Problems(), proxies=deps.proxies, refused=refused)]
