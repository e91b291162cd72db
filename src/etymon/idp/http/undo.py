# SPDX-License-Identifier: Apache-2.0
"""The page behind the link in a notice: see what would be ended, end it."""

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.idp import clients, undo
from etymon.idp.http.site import Site, Visiting, not_found, uuid_of
from etymon.idp.model import DeviceAuthorization, DeviceState
from etymon.kernel.errors import NotAuthenticated
from etymon.web.exchange import Request


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the undo page."""
    face = _Face(site)
    return [
        site.route("/idp/undo/{id}", face.show, methods=["GET"]),
        site.route("/idp/undo/{id}", face.undo, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Face:
    site: Site

    def show(self, request: Request) -> Response:
        """Show what the button would end. Opening the link ends nothing: programs open links in mail too."""
        with self.site.looking(request) as visiting:
            found = undo.find(visiting.tx, uuid_of(request.path_parameters["id"], not_found()))
            live = found.state in {DeviceState.APPROVED, DeviceState.USED}
            return self.site.page(visiting, "undo.html", {**self._shown(visiting, found), "live": live})

    def undo(self, request: Request) -> Response:
        """End it."""
        with self.site.submitted(request) as (visiting, _):
            id_ = uuid_of(request.path_parameters["id"], not_found())
            found = undo.find(visiting.tx, id_)
            undo.undo(visiting.tx, self.site.deps, id_)
            return self.site.page(visiting, "undo_done.html", self._shown(visiting, found))

    def _shown(self, visiting: Visiting, found: DeviceAuthorization) -> dict[str, object]:
        try:
            client = clients.find(visiting.tx, found.client_id).name
        except NotAuthenticated:  # the registration was removed since
            client = found.client_id
        return {"client": client, "device": found.device, "approved_at": found.sign_in.at if found.sign_in else None}
