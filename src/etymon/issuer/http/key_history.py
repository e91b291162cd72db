# SPDX-License-Identifier: Apache-2.0
"""The key history at the device listener (docs/protocols/key-history.md)."""

from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.escrow import history
from etymon.escrow.model import EscrowedKey
from etymon.issuer import key_history
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.http import doors
from etymon.issuer.key_history import HistoryRequest
from etymon.kernel.errors import Malformed
from etymon.pki.certificate import to_der
from etymon.web import documents
from etymon.web.documents import Problems
from etymon.web.exchange import Request, endpoint, json_response

KEY_HISTORY: Final = "/issuer/key-history/v1"
LARGEST_REQUEST_BYTES: Final = 12 * 1024
"""What EST takes of the same request, whose body is 16 kB of base64: two for an RSA key of 4096 bits, and its chain."""


def device_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the device listener."""

    def listed(request: Request) -> Response:
        found = key_history.listed(deps, request.peer, source=request.client_address)
        wait = {} if found.not_before is None else {"notBefore": documents.shown_time(found.not_before)}
        return json_response({"keys": [_shown(key) for key in found.keys], **wait})

    def release(request: Request) -> Response:
        asked = _history_request(documents.read_versioned(request))
        released = key_history.release(deps, asked, request.peer, source=request.client_address)
        return json_response(
            {"keys": [{**_shown(key), "envelopedKey": documents.base64_of(enveloped)} for key, enveloped in released]}
        )

    refused = doors.recorder(deps, key_history.REFUSAL)
    return [
        endpoint(KEY_HISTORY, handler, methods=[method], errors=Problems(), proxies=deps.proxies, refused=refused)
        for method, handler in (("GET", listed), ("POST", release))
    ]


def _shown(key: EscrowedKey) -> dict[str, str]:
    certificate = b"" if key.certificate is None else to_der(key.certificate)
    return {"key": str(key.id), "certificate": documents.base64_of(certificate)}


def _history_request(document: documents.Document) -> HistoryRequest:
    named = document.get("keys")
    if not isinstance(named, list) or len(named) > history.LIMIT:
        raise Malformed("malformed", f"keys lists 1 to {history.LIMIT} different keys.")
    keys = tuple(documents.identifier(key, "each of keys") for key in named)
    return HistoryRequest(keys, documents.octets(document, "request", limit=LARGEST_REQUEST_BYTES))
