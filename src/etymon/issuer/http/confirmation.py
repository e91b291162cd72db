# SPDX-License-Identifier: Apache-2.0
"""A phone confirms what it has installed, so that what was there before ends (docs/protocols/est.md)."""

from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.issuer import derived_credential, superseding
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.http import doors
from etymon.kernel.errors import Malformed
from etymon.web import documents
from etymon.web.documents import Problems
from etymon.web.exchange import Request, endpoint, json_response

CONFIRMATION: Final = "/issuer/rekey/v1/confirmation"
MOST_INSTALLED: Final = 10


def device_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the device listener."""

    def confirm(request: Request) -> Response:
        document = documents.read_versioned(request)
        named = document.get("installed")
        if not isinstance(named, list) or not 0 < len(named) <= MOST_INSTALLED:
            raise Malformed("malformed", f"installed lists 1 to {MOST_INSTALLED} thumbprints.")
        installed = [documents.thumbprint(one, "installed") for one in named]
        ended = superseding.confirm(deps, installed, request.peer, source=request.client_address)
        return json_response({"superseded": [thumbprint.hex() for thumbprint in ended]})

    refused = doors.recorder(deps, derived_credential.REFUSED_EVENT)
    return [endpoint(CONFIRMATION, confirm, methods=["POST"], errors=Problems(), proxies=deps.proxies, refused=refused)]
