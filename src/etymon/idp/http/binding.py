# SPDX-License-Identifier: Apache-2.0
"""The first-binding page: show the card, type the one-time code."""

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.directory import bindings
from etymon.idp import binding, throttling
from etymon.idp.http.site import Site, not_found, uuid_of
from etymon.idp.model import Purpose
from etymon.kernel.errors import EtymonError, Throttled, Unavailable
from etymon.kernel.secret import Secret
from etymon.web.exchange import Request
from etymon.web.problem import status_of

PATH = "/idp/binding"


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the first-binding page."""
    face = _Face(site)
    return [
        site.route(PATH, face.start, methods=["GET"]),
        site.route(f"{PATH}/proof", face.ask_card, methods=["POST"]),
        site.route(f"{PATH}/code", face.ask_code, methods=["GET"]),
        site.route(f"{PATH}/code", face.take_code, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Face:
    site: Site

    def start(self, request: Request) -> Response:
        """Say what is going to happen."""
        with self.site.looking(request) as visiting:
            return self.site.page(visiting, "binding_start.html")

    def ask_card(self, request: Request) -> Response:
        """Send the browser to certauth for a proof that is good for binding only."""
        with self.site.submitted(request) as (visiting, _):
            return self.site.prove(visiting, purpose=Purpose.BINDING.value, continue_at=f"{PATH}/code", back_at=PATH)

    def ask_code(self, request: Request) -> Response:
        """Ask for the one-time code."""
        with self.site.looking(request) as visiting:
            proof = uuid_of(request.query.get("proof", ""), not_found())
            binding.held_card(visiting.tx, self.site.deps, proof, browser=visiting.browser)
            return self.site.page(visiting, "binding_code.html", {"proof": str(proof), "refusal": "", "code": "ok"})

    def take_code(self, request: Request) -> Response:
        """Bind the card. A guess is counted before it is looked at, and given back when it was right."""
        limit = throttling.wrong_codes(self.site.deps, "binding-codes")
        with self.site.submitted(request) as (visiting, form):
            tries = self.site.limited(limit, visiting)
            proof = uuid_of(form.get("proof", ""), not_found())
            binding.held_card(visiting.tx, self.site.deps, proof, browser=visiting.browser)
        with self.site.noted("idp:binding:refused", request, "binding_code"):
            tries.count()
        try:
            code = bindings.present_code(self.site.deps, Secret(form.get("code", "")), source=request.client_address)
            with (
                self.site.noted("idp:binding:refused", request, f"person:{code.person_id}"),
                self.site.visiting(request) as visiting,
            ):
                person = binding.bind(visiting.tx, self.site.deps, proof, code, browser=visiting.browser)
                response = self.site.page(visiting, "binding_done.html", {"name": person.display_name})
        except (Throttled, Unavailable):
            raise
        except EtymonError as refusal:
            with self.site.looking(request) as visiting:
                return self.site.page(
                    visiting,
                    "binding_code.html",
                    {"proof": str(proof), "refusal": refusal.detail, "code": refusal.code},
                    status=status_of(refusal),
                )
        tries.give_back()
        return response
