# SPDX-License-Identifier: Apache-2.0
"""The device-login page: type the code, see the device, show the card for it, approve or deny."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.audit.refusals import ANONYMOUS, REFUSED
from etymon.idp import clients, device_authorization, throttling
from etymon.idp.http.site import Site, Visiting, not_found, uuid_of
from etymon.idp.model import SCOPE_ADMINISTRATION, SCOPE_ENROLL, DeviceAuthorization
from etymon.kernel.errors import NotFound
from etymon.web.exchange import Request

PATH = "/idp/device"


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the device-login page."""
    face = _Face(site)
    return [
        site.route(PATH, face.ask_code, methods=["GET"]),
        site.route(PATH, face.take_code, methods=["POST"]),
        site.route(f"{PATH}/proof", face.ask_card, methods=["POST"]),
        site.route(f"{PATH}/decision", face.ask_decision, methods=["GET"]),
        site.route(f"{PATH}/decision", face.decide, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Face:
    site: Site

    def ask_code(self, request: Request) -> Response:
        """Show the page a phone sends its user to."""
        with self.site.looking(request) as visiting:
            return self.site.page(visiting, "device_code.html", {"refusal": "", "code": "ok"})

    def take_code(self, request: Request) -> Response:
        """Look the code up. A guess is counted before it is looked at, and given back when it was right."""
        limit = throttling.wrong_codes(self.site.deps, "user-codes")
        with self.site.submitted(request) as (visiting, form):
            tries = self.site.limited(limit, visiting)
            typed = form.get("code", "")
        try:
            with self.site.noted("idp:user_code:refused", request, "user_code"):
                tries.count()
                with self.site.visiting(request) as visiting:
                    found = device_authorization.enter(visiting.tx, self.site.deps, typed, browser=visiting.browser)
                    response = self.site.page(visiting, "device_show.html", self._shown(visiting, found))
        except NotFound as refusal:
            shown = {"refusal": refusal.detail, "code": refusal.code}
            with self.site.looking(request) as looking:
                return self.site.page(looking, "device_code.html", shown, status=404)
        tries.give_back()
        return response

    def ask_card(self, request: Request) -> Response:
        """Send the browser to certauth for a proof that is good for this one approval."""
        with self.site.submitted(request) as (visiting, form):
            found = self._entered(visiting, form.get("authorization", ""))
            return self.site.prove(
                visiting,
                purpose=device_authorization.proof_purpose(found),
                continue_at=f"{PATH}/decision?{urlencode({'authorization': str(found.id)})}",
                back_at=PATH,
            )

    def ask_decision(self, request: Request) -> Response:
        """Show who is about to approve what."""
        ids = request.query
        with self._noted(request, ids, also_of_nobody=False), self.site.looking(request) as visiting:
            found = self._entered(visiting, ids.get("authorization", ""))
            proof = uuid_of(ids.get("proof", ""), not_found())
            person, _ = device_authorization.approver(
                visiting.tx, self.site.deps, found, proof, browser=visiting.browser
            )
            return self.site.page(
                visiting,
                "device_decision.html",
                {
                    **self._shown(visiting, found),
                    "proof": str(proof),
                    "name": person.display_name,
                    "principal": person.user_principal_name,
                },
            )

    def decide(self, request: Request) -> Response:
        """Approve or deny."""
        with self._noted(request, request.form()), self.site.submitted(request) as (visiting, form):
            authorization = uuid_of(form.get("authorization", ""), not_found())
            proof = uuid_of(form.get("proof", ""), not_found())
            approve = form.get("decision") == "approve"
            done = device_authorization.decide(
                visiting.tx,
                self.site.deps,
                authorization,
                proof,
                approve=approve,
                browser=visiting.browser,
                source=request.client_address,
            )
            return self.site.page(visiting, "device_done.html", {**self._shown(visiting, done), "approved": approve})

    @contextmanager
    def _noted(self, request: Request, ids: Mapping[str, str], *, also_of_nobody: bool = True) -> Iterator[None]:
        """Write down that a decision is refused, and to whom if a card was shown for it."""
        try:
            yield
        except REFUSED as refusal:
            self._record(request, ids, refusal.code, also_of_nobody=also_of_nobody)
            raise

    def _record(self, request: Request, ids: Mapping[str, str], code: str, *, also_of_nobody: bool) -> None:
        try:
            authorization, proof = (UUID(ids.get(name, "")) for name in ("authorization", "proof"))
        except ValueError:  # no decision about anything
            return
        deps = self.site.deps
        with self.site.looking(request) as looking:
            actor = device_authorization.decider(looking.tx, deps, authorization, proof, browser=looking.browser)
        if actor != ANONYMOUS or also_of_nobody:
            subject = f"device_authorization:{authorization}"
            deps.refusals.record(
                "idp:device_authorization:refused",
                actor=actor,
                subject=subject,
                source=request.client_address,
                code=code,
            )

    def _entered(self, visiting: Visiting, text: str) -> DeviceAuthorization:
        return device_authorization.entered(
            visiting.tx, self.site.deps, uuid_of(text, not_found()), browser=visiting.browser
        )

    def _shown(self, visiting: Visiting, found: DeviceAuthorization) -> dict[str, object]:
        return {
            "authorization": str(found.id),
            "client": clients.find(visiting.tx, found.client_id).name,
            "device": found.device,
            "enrolls": SCOPE_ENROLL in found.scopes,
            "administers": SCOPE_ADMINISTRATION in found.scopes,
        }
