# SPDX-License-Identifier: Apache-2.0
"""SCEP over HTTP (RFC 8894 §4; docs/protocols/scep.md), on the status listener and on the site.

Clients put words of their own behind the address (`/pkiclient.exe`, `/certsrv/mscep/mscep.dll`): they are passed over.
"""

from typing import Final

from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from etymon.issuer.dependencies import Dependencies
from etymon.issuer.http import doors
from etymon.issuer.scep import connectors, exchange, registration_authority
from etymon.kernel.errors import EtymonError, Malformed, NotFound, Throttled, Unavailable
from etymon.pki.certificate import to_der
from etymon.web.exchange import Request, endpoint
from etymon.web.problem import status_of
from etymon.web.rate_limits import MemoryCounters, RateLimit, household
from etymon.wire import cms, scep

PATH: Final = "/scep/{connector}"
NDES_PATH: Final = "/certsrv/mscep/mscep.dll"
"""Where Microsoft NDES is, in whatever case: for the one connector that the deployment names, if any."""
RETRY_AFTER_SECONDS: Final = 60
MESSAGES: Final = "300 per minute"
"""From one address; a company of phones may be behind it."""

_NOT_KEPT: Final = {"Cache-Control": "no-store"}


class SCEPErrors:
    """A line of text, for what SCEP itself has no answer to; 503 says when to come back."""

    def expected(self, error: EtymonError) -> Response:
        """Answer with the error's sentence."""
        headers = {**_NOT_KEPT, "Error-Code": error.code}
        if isinstance(error, Unavailable):
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        if isinstance(error, Throttled):
            headers["Retry-After"] = str(error.retry_after_seconds)
        return PlainTextResponse(f"{error.detail or error.code}\n", status_of(error), headers)

    def unexpected(self, reference: str) -> Response:
        """Answer 500 with a reference number."""
        return PlainTextResponse(f"Internal error. Reference: {reference}\n", 500, _NOT_KEPT)


def routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes `/scep/NAME` and everything below, and those of NDES where a connector is named for them."""
    messages = RateLimit("scep-messages", MESSAGES, MemoryCounters(deps.clock), deps.clock)

    def answer(request: Request, message: bytes) -> Response:
        messages.count(household(request.client_address))  # each costs signatures, and perhaps a question elsewhere
        return _answer(deps, request, message)

    def ask(request: Request) -> Response:
        operation = (scep.parameter(request.query_string, "operation") or b"").decode("latin-1")
        match operation:
            case "GetCACaps":
                return _capabilities(deps, request)
            case "GetCACert":
                return _certificates(deps, request)
            case "PKIOperation":
                return answer(request, scep.decode_address_message(request.query_string))
            case _:
                raise NotFound("operation_unknown", "Use GetCACaps, GetCACert or PKIOperation.")

    def send(request: Request) -> Response:
        if scep.parameter(request.query_string, "operation") != b"PKIOperation":
            raise Malformed("operation_unknown", "Send a message to ?operation=PKIOperation.")
        return answer(request, request.body)

    paths = (PATH, NDES_PATH) if deps.ndes_connector else (PATH,)
    refused = doors.recorder(deps, exchange.REFUSED_EVENT, connector="connector")
    return [
        endpoint(
            path,
            handler,
            methods=[method],
            errors=SCEPErrors(),
            body_limit_bytes=scep.MESSAGE_LIMIT_BYTES,
            proxies=deps.proxies,
            any_case=base == NDES_PATH,
            refused=refused,
        )
        for base in paths
        for path in (base, f"{base}/{{words:path}}")
        for method, handler in (("GET", ask), ("POST", send))
    ]


def _connector(deps: Dependencies, request: Request) -> str:
    return request.path_parameters.get("connector", deps.ndes_connector)


def _capabilities(deps: Dependencies, request: Request) -> Response:
    with deps.database.snapshot() as tx:
        connector = connectors.load(tx, _connector(deps, request))
    body = scep.encode_capabilities(legacy=connector.legacy_algorithms)
    return Response(body, 200, {"Content-Type": "text/plain", **_NOT_KEPT})


def _certificates(deps: Dependencies, request: Request) -> Response:
    """Give the registration authority's certificate first: some clients encrypt to the first that is not a root."""
    with deps.database.snapshot() as tx:
        connectors.load(tx, _connector(deps, request))
        newest = registration_authority.in_force(tx, deps)[0]
        found = [newest.registrar.certificate, *registration_authority.lineage(tx, newest.authority)]
    body = cms.encode_certificates(to_der(certificate) for certificate in found)
    return Response(body, 200, {"Content-Type": scep.CERTIFICATES, **_NOT_KEPT})


def _answer(deps: Dependencies, request: Request, message: bytes) -> Response:
    if not message:
        raise Malformed("message_missing", "Send a message.")
    answered = exchange.answer(deps, _connector(deps, request), message, source=request.client_address)
    return Response(answered, 200, {"Content-Type": scep.PKI_MESSAGE, **_NOT_KEPT})
