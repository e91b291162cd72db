# SPDX-License-Identifier: Apache-2.0
"""Enrollment at the site listener (docs/protocols/enrollment.md)."""

from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.audit.refusals import ANONYMOUS
from etymon.kernel.errors import NotAuthenticated
from etymon.kernel.secret import Secret
from etymon.mdm import enrollment, signed_statements
from etymon.mdm.dependencies import Dependencies
from etymon.mdm.model import LONGEST_DEVICE_FACT, DeviceFacts
from etymon.pki.certificate import to_der
from etymon.pki.csr import LIMIT_BYTES as LARGEST_CSR_BYTES
from etymon.pki.csr import verify_proof_of_possession
from etymon.web import documents
from etymon.web.branding import Branding
from etymon.web.documents import Document, Problems, base64_of, shown_time
from etymon.web.exchange import Request, endpoint, json_response

SESSIONS: Final = "/mdm/enrollment/v1/sessions"
CHECK_IN: Final = "/mdm/device/v1/check-in"
IDENTITY_SCOPES: Final = "openid profile enroll"
LONGEST_SECRET: Final = 200


def routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of enrollment, and the endpoint manager's public keys."""

    def begin(request: Request) -> Response:
        document = documents.read_versioned(request)
        token = Secret(documents.text(document, "token", limit=LONGEST_SECRET).strip().upper())
        begun = enrollment.begin(deps, token, _facts(document), source=request.client_address)
        return json_response(
            {
                "session": str(begun.session),
                "sessionSecret": begun.secret.reveal(),
                "expiresAt": shown_time(begun.expires_at),
                "organization": _organization(begun.branding),
                "identityProvider": {
                    "issuer": deps.identity_provider.issuer,
                    "clientId": deps.enrollment_client,
                    "scope": IDENTITY_SCOPES,
                    "enrollmentAssertion": begun.assertion,
                },
            },
            201,
        )

    def assertion(request: Request) -> Response:
        session = documents.identifier(request.path_parameters["session"], "session")
        secret = _secret(documents.read(request))
        given = enrollment.fresh_assertion(deps, session, secret, source=request.client_address)
        return json_response({"enrollmentAssertion": given})

    def complete(request: Request) -> Response:
        bearer = _bearer(request)
        session = documents.identifier(request.path_parameters["session"], "session")
        document = documents.read_versioned(request)
        secret = _secret(document)
        with enrollment.noted(deps, session, ANONYMOUS, source=request.client_address):
            csr = verify_proof_of_possession(documents.octets(document, "csr", limit=LARGEST_CSR_BYTES))
            token = deps.identity_provider.read(bearer, audience=deps.server_url, scope=enrollment.SCOPE)
        done = enrollment.complete(deps, session, secret, token, csr, source=request.client_address)
        return json_response(
            {
                "device": str(done.device),
                "certificate": base64_of(to_der(done.issued.certificate)),
                "chain": [base64_of(to_der(certificate)) for certificate in done.issued.chain],
                "checkIn": deps.device_url + CHECK_IN,
                "organization": _organization(done.branding),
            }
        )

    def keys(_request: Request) -> Response:
        return json_response(signed_statements.published_keys(deps.assertion_key))

    problems = Problems()
    return [
        endpoint(SESSIONS, begin, methods=["POST"], errors=problems, proxies=deps.proxies),
        endpoint(
            f"{SESSIONS}/{{session}}/assertion", assertion, methods=["POST"], errors=problems, proxies=deps.proxies
        ),
        endpoint(f"{SESSIONS}/{{session}}/complete", complete, methods=["POST"], errors=problems, proxies=deps.proxies),
        endpoint("/mdm/jwks", keys, methods=["GET"], errors=problems),
    ]


def _organization(branding: Branding) -> dict[str, object]:
    """Return how the organisation shows itself."""
    logo = branding.logo
    shown = {"type": logo.media_type, "value": base64_of(logo.content)} if logo else None
    return {"displayName": branding.organization, "themeColor": branding.color, "logo": shown}


def _facts(document: Document) -> DeviceFacts:
    device = documents.member(document, "device") or {}

    def said(name: str) -> str:
        return documents.text(device, name, limit=LONGEST_DEVICE_FACT, default="")

    return DeviceFacts(
        manufacturer=said("manufacturer"),
        model=said("model"),
        serial_number=said("serialNumber"),
        os_version=said("osVersion"),
        security_patch=said("securityPatch"),
    )


def _secret(document: Document) -> Secret[str]:
    return Secret(documents.text(document, "sessionSecret", limit=LONGEST_SECRET))


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("token_missing", "Send the access token as a bearer token.")
    return token.strip()
