# SPDX-License-Identifier: Apache-2.0
"""What a management client does at its SCEP connectors: asks for challenges, ends certificates (docs/protocols)."""

from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.issuer.dependencies import Dependencies
from etymon.issuer.http.management import PATH, caller, person_of, reason_of
from etymon.issuer.scep import challenges, endings
from etymon.issuer.scep.model import LONGEST_DEVICE_NAME, Holder
from etymon.web import documents
from etymon.web.documents import Problems, shown_time
from etymon.web.exchange import Request, endpoint, json_response

CONNECTOR: Final = f"{PATH}/scep/{{connector}}"


def site_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the site listener."""

    def challenge(request: Request) -> Response:
        client = caller(deps, request)
        name = request.path_parameters["connector"]
        holder = _holder(deps, documents.read(request))
        secret, made = challenges.ask(deps, client, name, holder, source=request.client_address)
        return json_response(
            {
                "challenge": secret.reveal(),
                "id": str(made.id),
                "expiresAt": shown_time(made.expires_at),
                "url": deps.scep_url(name),
                "estUrl": deps.est_url(name),
            },
            201,
        )

    def end(request: Request) -> Response:
        client = caller(deps, request)
        reason = reason_of(documents.read(request))
        ended = endings.end_certificate(
            deps,
            client,
            request.path_parameters["connector"],
            request.path_parameters["serial"],
            reason,
            source=request.client_address,
        )
        return json_response({"enrollment": str(ended), "state": "ended"})

    return [
        endpoint(f"{CONNECTOR}/challenges", challenge, methods=["POST"], errors=Problems(), proxies=deps.proxies),
        endpoint(
            f"{CONNECTOR}/certificates/{{serial}}/ending",
            end,
            methods=["PUT"],
            errors=Problems(),
            proxies=deps.proxies,
        ),
    ]


def _holder(deps: Dependencies, document: documents.Document) -> Holder:
    said, device = documents.member(document, "person"), documents.member(document, "device")
    number: UUID | None = documents.identifier(device.get("id"), "id") if device else None
    name = documents.line(device, "name", limit=LONGEST_DEVICE_NAME, default="") if device else ""
    return Holder(person_of(deps, said) if said else None, number, name)
