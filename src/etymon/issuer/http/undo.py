# SPDX-License-Identifier: Apache-2.0
"""The link in notices: a page that ends what the notice told of, for whoever has the notice, and starts nothing."""

from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.issuer import invalidation, revoked_authorities
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.errors import derivation_unknown
from etymon.issuer.http import doors
from etymon.issuer.http.views import derivation_view
from etymon.issuer.model import OPEN
from etymon.issuer.store import credentials, derivations
from etymon.web import csrf
from etymon.web.exchange import Request, endpoint
from etymon.web.pages import PageErrors, Pages

UNDO: Final = "/issuer/undo/{undo}"
REFUSED_EVENT: Final = "issuer:undo:refused"


def site_routes(deps: Dependencies, pages: Pages) -> list[BaseRoute]:
    """Return the routes of the site listener."""

    def ask(request: Request) -> Response:
        undo = _undo(request)
        now = deps.clock.now()
        with deps.database.snapshot() as tx:
            derivation = derivations.by_undo(tx, undo)
            if derivation is None:
                raise derivation_unknown()
            found = credentials.of_derivation(tx, derivation.id)
            view = derivation_view(derivation, found, now, revoked=revoked_authorities.of_credentials(tx, found))
        return pages.page("undo.html", request=request, view=view, undo=undo, over=derivation.state not in OPEN)

    def end(request: Request) -> Response:
        csrf.require_origin(request, deps.site_url)
        invalidation.undo(deps, _undo(request), source=request.client_address)
        return pages.page("undone.html", request=request)

    errors = PageErrors(pages, "/issuer/")
    refused = doors.recorder(deps, REFUSED_EVENT)
    return [
        endpoint(UNDO, handler, methods=[method], errors=errors, proxies=deps.proxies, refused=refused)
        for method, handler in (("GET", ask), ("POST", end))
    ]


def _undo(request: Request) -> UUID:
    try:
        return UUID(request.path_parameters["undo"])
    except ValueError as exc:
        raise derivation_unknown() from exc
