# SPDX-License-Identifier: Apache-2.0
"""EST for clients that other endpoint managers send (docs/protocols/est.md). The label is the connector's name.

The site listener never asks for a certificate: there a challenge lets a first request in, by HTTP Basic. What it gave
is renewed at the device listener, by the certificate itself.
"""

import base64
from typing import Final, NoReturn

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.issuer.dependencies import Dependencies
from etymon.issuer.http import doors
from etymon.issuer.http import est_answers as answers
from etymon.issuer.http.est_answers import ESTErrors
from etymon.issuer.http.link import EST
from etymon.issuer.scep import errors, transport
from etymon.kernel.errors import EtymonError, NotFound
from etymon.kernel.secret import Secret
from etymon.web.exchange import Handler, Request, endpoint
from etymon.web.rate_limits import MemoryCounters, RateLimit, household
from etymon.wire import est

LONGEST_CREDENTIALS: Final = 400

WRONG_CHALLENGES: Final = "30 per 10 minutes"
"""From one address; nobody guesses 128 bits, and whoever tries is a flood."""

REQUESTS: Final = "300 per minute"
"""From one address; a company of devices may be behind it, and each request costs signatures."""

STATUS: Final = {
    "challenge_missing": 401,
    "challenge_wrong": 401,
    "challenge_expired": 401,
    "certificate_unknown": 403,
}
"""What fails to authenticate is 401 (RFC 7030 §3.2.3), and a certificate of others is no missing page."""


def site_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the site listener."""
    counters = MemoryCounters(deps.clock)
    requests = RateLimit("est-requests", REQUESTS, counters, deps.clock)
    wrong = RateLimit("est-wrong-challenges", WRONG_CHALLENGES, counters, deps.clock)

    def simpleenroll(request: Request) -> Response:
        challenge, who = _challenge(request), household(request.client_address)
        answers.require_request(request.headers)
        requests.count(who)
        wrong.require(who)  # right ones are never counted: many devices behind one address enroll at once
        try:
            issued = transport.enroll(deps, label(request), request.body, challenge, source=request.client_address)
        except EtymonError as refusal:
            if refusal.code == "challenge_wrong":
                wrong.count(who)
            raise
        return answers.answer(est.CERTS_ONLY, answers.certs_only([issued.certificate]))

    def simplereenroll(request: Request) -> NoReturn:
        with deps.database.snapshot() as tx:
            transport.load(tx, label(request))
        raise errors.renewed_elsewhere(deps.est_url(label(request), renewal=True))

    refused = doors.recorder(deps, transport.REFUSED_EVENT, connector="label")

    def at(operation: str, handler: Handler, method: str) -> BaseRoute:
        return endpoint(
            f"{EST}/{{label}}/{operation}",
            handler,
            methods=[method],
            errors=ESTErrors("Basic", STATUS),
            body_limit_bytes=est.REQUEST_LIMIT_BYTES,
            proxies=deps.proxies,
            refused=refused,
        )

    return [
        at("cacerts", cacerts(deps), "GET"),
        at("csrattrs", csrattrs(deps), "GET"),
        at("simpleenroll", simpleenroll, "POST"),
        at("simplereenroll", simplereenroll, "POST"),
        at("serverkeygen", not_offered, "POST"),
        at("fullcmc", not_offered, "POST"),
    ]


def cacerts(deps: Dependencies) -> Handler:
    """Return the handler for the certificates of the authority, which are no secret."""

    def handler(request: Request) -> Response:
        return answers.answer(est.CERTS_ONLY, answers.certs_only(transport.lineage(deps, label(request))))

    return handler


def csrattrs(deps: Dependencies) -> Handler:
    """Return the handler for the kinds of key that a connector takes."""

    def handler(request: Request) -> Response:
        with deps.database.snapshot() as tx:
            connector = transport.load(tx, label(request))
        return answers.answer(est.CSR_ATTRIBUTES, answers.csr_attributes(connector.key_types))

    return handler


def simplereenroll(deps: Dependencies) -> Handler:
    """Return the device listener's handler for renewals; whoever sends them is counted as at the site."""
    requests = RateLimit("est-renewals", REQUESTS, MemoryCounters(deps.clock), deps.clock)

    def handler(request: Request) -> Response:
        requests.count(household(request.client_address))
        answers.require_request(request.headers)
        issued = transport.renew(deps, label(request), request.body, request.peer, source=request.client_address)
        return answers.answer(est.CERTS_ONLY, answers.certs_only([issued.certificate]))

    return handler


def not_offered(_: Request) -> NoReturn:
    """Refuse what is not offered for the label; 404 tells a client so (RFC 7030 §4.4.2, §4.5.2)."""
    raise NotFound("operation_unknown", "Use cacerts, csrattrs, simpleenroll and simplereenroll.")


def label(request: Request) -> str:
    """Return the label of the address."""
    return request.path_parameters["label"]


def _challenge(request: Request) -> Secret[str]:
    """Return the password of HTTP Basic; the name beside it may be any."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    usable = value if scheme.lower() == "basic" and len(value) <= LONGEST_CREDENTIALS else ""
    try:
        pair = base64.b64decode(usable, validate=True).decode("utf-8")
    except ValueError:
        pair = ""
    password = pair.partition(":")[2]
    if not password:
        raise errors.challenge_missing()
    return Secret(password)
