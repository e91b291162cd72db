# SPDX-License-Identifier: Apache-2.0
"""The authorization endpoint, and the sign-in page that it shows where nobody fitting is signed in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from etymon.idp import authorization_code, sign_in
from etymon.idp.authorization_code import AuthorizationRequest
from etymon.idp.errors import login_required
from etymon.idp.http.site import Site, Visiting
from etymon.idp.model import Purpose, SignIn
from etymon.kernel.errors import EtymonError, Malformed, NotPermitted, TooLarge
from etymon.web.exchange import Request

PATH = "/idp/authorize"
LONGEST_REQUEST_BYTES = 8192
"""What was sent as a form becomes an address; browsers and proxies take no longer ones."""

ACCOUNT_PATH = "/idp/account"

LONGEST_REQUEST: Final = 8000
"""Characters of an authorization request that are kept until its sign-in is over; anybody may begin one."""


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the authorization endpoint and of signing in."""
    face = _Face(site)
    return [
        site.route(PATH, face.authorize, methods=["GET"]),
        site.route(PATH, face.authorize_by_form, methods=["POST"]),
        site.route("/idp/sign-in", face.sign_in, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Face:
    site: Site

    def authorize(self, request: Request) -> Response:
        """RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1. Only for somebody who is signed in anything is written."""
        deps = self.site.deps
        parameters = request.parameters()
        with self.site.looking(request) as looking:
            to = authorization_code.destination(looking.tx, parameters)
            try:
                asked = authorization_code.read(parameters, to)
                if self._fitting(looking, asked) is None:
                    return self._ask(looking, asked, parameters)
            except (Malformed, NotPermitted) as error:
                return self._go_back(looking, to.refusal(deps.issuer, error))
        with self.site.visiting(request) as visiting:
            try:
                who = self._fitting(visiting, asked)
                if who is None:  # the session has ended since
                    raise _login_required()
                code = authorization_code.issue(visiting.tx, deps, asked, who)
            except NotPermitted as error:
                return self._go_back(visiting, to.refusal(deps.issuer, error))
            return self._go_back(visiting, to.location(deps.issuer, {"code": code.reveal()}))

    def authorize_by_form(self, request: Request) -> Response:
        """Take the same request as a form. A page of another site sent it, so that no cookie came with it: go round."""
        if len(request.body) > LONGEST_REQUEST_BYTES:
            raise TooLarge("body_too_large", f"The request may have at most {LONGEST_REQUEST_BYTES} bytes.")
        return RedirectResponse(f"{PATH}?{urlencode(request.form())}", 303, {"Cache-Control": "no-store"})

    def sign_in(self, request: Request) -> Response:
        """Send the browser to certauth, and from there to where it wanted to go."""
        with self.site.submitted(request) as (visiting, form):
            wanted = form.get("continue", "")
            if len(wanted) > LONGEST_REQUEST:
                raise Malformed("request_too_long", "The application asked for more than it may. Start again there.")
            if not wanted.startswith(f"{PATH}?"):
                return self.site.prove(
                    visiting, purpose=Purpose.SIGN_IN.value, continue_at=ACCOUNT_PATH, back_at=ACCOUNT_PATH
                )
            parameters = dict(parse_qsl(wanted.partition("?")[2], keep_blank_values=True))
            to = authorization_code.destination(visiting.tx, parameters)
            asked = authorization_code.read(parameters, to)
            purpose = Purpose.SIGN_IN_WITH_CARD if asked.card_only else Purpose.SIGN_IN
            return self.site.prove(
                visiting,
                purpose=purpose.value,
                continue_at=wanted,
                back_at=wanted,
                form_targets=(to.form_target,),
            )

    def _fitting(self, visiting: Visiting, asked: AuthorizationRequest) -> SignIn | None:
        who = sign_in.signed_in(visiting.tx, visiting.visit)
        return who if who is not None and asked.takes(who, self.site.deps.clock.now()) else None

    def _go_back(self, visiting: Visiting, location: str) -> Response:
        response = RedirectResponse(location, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        return self.site.sessions.remember(response, visiting.visit)

    def _ask(self, visiting: Visiting, asked: AuthorizationRequest, parameters: Mapping[str, str]) -> Response:
        if "none" in asked.prompt:
            raise _login_required()
        # what asks for a fresh sign-in has been answered when the browser comes back
        fresh = {name: value for name, value in parameters.items() if name not in {"prompt", "max_age"}}
        return self.site.page(
            visiting,
            "sign_in.html",
            {
                "client": asked.destination.client.name,
                "card_only": asked.card_only,
                "continue_at": f"{PATH}?{urlencode(fresh)}",
            },
        )


def _login_required() -> EtymonError:
    return login_required("Nobody is signed in here in the way that is asked for.")
