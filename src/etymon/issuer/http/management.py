# SPDX-License-Identifier: Apache-2.0
"""The management API and its token endpoint (docs/protocols/management.md)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.ca.model import Authority
from etymon.issuer import clients, management
from etymon.issuer.clients import SCOPE, TOKEN_LIFETIME, TOKEN_PATH
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.management import LONGEST_COMMENT, Order
from etymon.issuer.model import Credential, CredentialState, EndReason, Purpose
from etymon.issuer.store.clients import Client
from etymon.kernel.errors import Malformed, NotFound
from etymon.kernel.secret import Secret
from etymon.web import documents
from etymon.web.documents import Problems, shown_time
from etymon.web.exchange import Request, endpoint, json_response
from etymon.web.token_endpoint import bearer_token, token_endpoint

PATH: Final = "/issuer/management/v1"
LONGEST_SUBJECT: Final = 300


def site_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the site listener."""
    return [*_oauth_routes(deps), *_api_routes(deps)]


def _oauth_routes(deps: Dependencies) -> list[BaseRoute]:
    def give(assertion: str, source: str) -> Secret[str]:
        return clients.give_token(deps, assertion, source=source)

    return [token_endpoint(TOKEN_PATH, give, scope=SCOPE, lifetime=TOKEN_LIFETIME, proxies=deps.proxies)]


def _api_routes(deps: Dependencies) -> list[BaseRoute]:
    def describe(request: Request) -> Response:
        caller(deps, request)
        return json_response(
            {
                "name": deps.branding.organization,
                "selfService": f"{deps.issuer_url}/",
                "purposes": [purpose.value for purpose in Purpose],
                "protocol": documents.PROTOCOL,
            }
        )

    def credentials(request: Request) -> Response:
        client = caller(deps, request)
        query = request.query
        device = documents.thumbprint(query["device"], "device") if "device" in query else None
        person = _person(deps, query) if "person" in query else None
        if (device is None) == ("person" not in query):
            raise Malformed("malformed", "Ask for the credentials of one device, or of one person.")
        after = _uuid(query["cursor"], "cursor") if "cursor" in query else None
        if "person" in query and person is None:  # nobody of ours
            return json_response({"credentials": [], "next": None})
        found, revoked, following = management.page(deps, client, device=device, person=person, after=after)
        return json_response(
            {
                "credentials": [_credential(deps, credential, revoked.get(credential.id)) for credential in found],
                "next": str(following) if following else None,
            }
        )

    def rekeys(request: Request) -> Response:
        client = caller(deps, request)
        query = request.query
        after = _place(query["cursor"]) if "cursor" in query else (documents.moment(query, "since"), UUID(int=0))
        found, following = management.due_for_rekey(deps, client, after=after)
        return json_response(
            {
                "rekeys": [_credential(deps, credential) for credential in found],
                "next": f"{following[0].isoformat()}/{following[1]}" if following else None,
            }
        )

    def invalidate(request: Request) -> Response:
        client = caller(deps, request)
        invalidation_id = _uuid(request.path_parameters["invalidation"], "invalidation")
        order = _order(deps, documents.read(request))
        with deps.refusals.noted(
            "issuer:invalidation:refused",
            actor=f"client:{client.id}",
            subject=str(invalidation_id),
            source=request.client_address,
        ):
            done = management.invalidate(deps, client, invalidation_id, order, source=request.client_address)
        return json_response(
            {
                "invalidation": str(done.id),
                "state": "done",
                "credentials": [str(credential) for credential in done.credentials],
            }
        )

    return [
        endpoint(f"{PATH}/issuer", describe, methods=["GET"], errors=Problems(), proxies=deps.proxies),
        endpoint(f"{PATH}/credentials", credentials, methods=["GET"], errors=Problems(), proxies=deps.proxies),
        endpoint(f"{PATH}/rekeys", rekeys, methods=["GET"], errors=Problems(), proxies=deps.proxies),
        endpoint(
            f"{PATH}/invalidations/{{invalidation}}",
            invalidate,
            methods=["PUT"],
            errors=Problems(),
            proxies=deps.proxies,
        ),
    ]


def caller(deps: Dependencies, request: Request) -> Client:
    """Return the client whose access token a request carries; `NotAuthenticated` otherwise."""
    return clients.by_token(deps, bearer_token(request), source=request.client_address)


def _order(deps: Dependencies, document: documents.Document) -> Order:
    named = [name for name in ("credential", "device", "person") if name in document]
    if len(named) != 1:
        raise Malformed("malformed", "Name exactly one of credential, device and person.")
    reason = reason_of(document)
    comment = documents.line(document, "comment", limit=LONGEST_COMMENT, default="")
    if named == ["credential"]:
        return Order(reason, comment, credential=documents.identifier(document["credential"], "credential"))
    if named == ["device"]:
        return Order(reason, comment, device=documents.thumbprint(document["device"], "device"))
    return Order(reason, comment, person=person_of(deps, documents.member(document, "person") or {}))


def person_of(deps: Dependencies, said: documents.Document) -> UUID:
    """Return whom a document's `issuer` and `subject` name; `NotFound` where nobody here can be meant."""
    subject = {
        "person": documents.line(said, "subject", limit=LONGEST_SUBJECT),
        "personIssuer": documents.line(said, "issuer", limit=LONGEST_SUBJECT),
    }
    person = _person(deps, subject)
    if person is None:
        raise NotFound("person_unknown", "The issuer does not know people of this OIDC issuer.")
    return person


def reason_of(document: documents.Document) -> EndReason:
    """Return the `reason` of a document."""
    try:
        return EndReason(documents.text(document, "reason", limit=40))
    except ValueError as exc:
        raise Malformed("malformed", f"The reason is one of {', '.join(EndReason)}.") from exc


def _person(deps: Dependencies, query: Mapping[str, str]) -> UUID | None:
    """Return the person another service calls by (OIDC issuer, subject); None where nobody here is."""
    if query.get("personIssuer") != deps.oidc_issuer:
        return None
    try:
        return UUID(query["person"])
    except ValueError:
        return None


def _place(cursor: str) -> tuple[datetime, UUID]:
    moment, _, credential = cursor.partition("/")
    try:
        due = datetime.fromisoformat(moment)
    except ValueError as exc:
        raise Malformed("malformed", "cursor is what the page before named as next.") from exc
    if due.tzinfo is None:
        raise Malformed("malformed", "cursor is what the page before named as next.")
    return due, _uuid(credential, "cursor")


def _uuid(text: str, name: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as exc:
        raise Malformed("malformed", f"{name} is a UUID.") from exc


def _credential(deps: Dependencies, credential: Credential, revoked: Authority | None = None) -> Mapping[str, object]:
    """Show a credential; what a revoked authority certified is over since then, for whatever client."""
    state, ended_at, reason = credential.state, credential.ended_at, credential.end_reason
    if revoked is not None:
        state, ended_at, reason = CredentialState.ENDED, revoked.revoked_at, management.reason_of_revoked(revoked)
    return {
        "credential": str(credential.id),
        "purpose": credential.purpose.value,
        "serialNumber": credential.serial_number,
        "thumbprint": credential.thumbprint.hex() if credential.thumbprint else None,
        "notBefore": _time(credential.not_before),
        "notAfter": _time(credential.not_after),
        "rekeyFrom": _time(credential.rekey_from),
        "state": state.value,
        "heldUntil": None if revoked else _time(credential.held_until),
        "endedAt": _time(ended_at),
        "reason": reason.value if reason else None,
        "authorityRevoked": revoked is not None,
        "device": credential.device_thumbprint.hex() if credential.device_thumbprint else None,
        "person": {"issuer": deps.oidc_issuer, "subject": str(credential.person)},
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else shown_time(value)
