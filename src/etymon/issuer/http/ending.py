# SPDX-License-Identifier: Apache-2.0
"""The cardholder's pages that end what is on a phone, hold it while the phone is mislaid, and restore it."""

from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.issuer import card_authentication, holds, invalidation
from etymon.issuer.http.self_service import HOME, SelfService, derivation_id, see_other
from etymon.issuer.model import EndReason
from etymon.kernel.errors import Malformed
from etymon.web import csrf
from etymon.web.exchange import Handler, Request, endpoint
from etymon.web.pages import PageErrors

REASONS: Final = (EndReason.KEY_COMPROMISE, EndReason.CESSATION_OF_OPERATION)
"""What a cardholder may say: lost or in other hands, or not needed any more."""


def site_routes(service: SelfService) -> list[BaseRoute]:
    """Return the routes of the site listener, beside those of the other self-service pages."""
    deps = service.deps

    def ask(request: Request, template: str) -> Response:
        visit = service.visit(request)
        if visit.session is None:
            return see_other(HOME)
        derivation = service.own(card_authentication.card_session(visit.session), request)
        with deps.database.snapshot() as tx:
            view = service.view(tx, derivation)
        days = deps.ca.maximum_hold.days
        return service.pages.page(template, visit=visit, request=request, view=view, days=days)

    def end(request: Request) -> Response:
        visit = service.visit(request)
        form = csrf.require_own_form(request, service.sessions, visit, deps.site_url)
        session, derivation = card_authentication.card_session(visit.session), derivation_id(request)
        reason = next((known for known in REASONS if known.value == form.get("reason")), None)
        if reason is None:
            raise Malformed("malformed", "Choose a reason.")
        with service.noted("issuer:derivation:refused", request, session, subject=str(derivation)):
            invalidation.end_own(deps, session.person, derivation, reason, source=request.client_address)
        return see_other(f"{HOME}?ended=1")

    def change(request: Request, act: Callable[..., object], done: str) -> Response:
        visit = service.visit(request)
        csrf.require_own_form(request, service.sessions, visit, deps.site_url)
        session, derivation = card_authentication.card_session(visit.session), derivation_id(request)
        with service.noted("issuer:hold:refused", request, session, subject=str(derivation)):
            act(deps, session, derivation, source=request.client_address)
        return see_other(f"{HOME}?{done}=1")

    handlers: list[tuple[str, Handler, str]] = [
        ("end", partial(ask, template="end.html"), "GET"),
        ("end", end, "POST"),
        ("hold", partial(ask, template="hold.html"), "GET"),
        ("hold", partial(change, act=holds.hold_own, done="held"), "POST"),
        ("restore", partial(change, act=holds.restore_own, done="restored"), "POST"),
    ]
    errors, path = PageErrors(service.pages, HOME), "/issuer/derivations/{derivation}"
    return [
        endpoint(f"{path}/{act}", handler, methods=[method], errors=errors, proxies=deps.proxies)
        for act, handler, method in handlers
    ]
