# SPDX-License-Identifier: Apache-2.0
"""The endpoints that programs use: discovery, keys, device authorization, token, userinfo."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.audit.refusals import ANONYMOUS
from etymon.directory import people
from etymon.idp import (
    authorization_code,
    clients,
    device_authorization,
    enrollment_assertion,
    grants,
    throttling,
    tokens,
)
from etymon.idp.errors import invalid_request, unsupported_grant_type
from etymon.idp.http.site import Site
from etymon.idp.model import (
    ACR_CARD,
    ACR_DERIVED,
    DEVICE_CODE_LIFETIME,
    SCOPES,
    Client,
    ClientAuthentication,
    DeviceAuthorizationKind,
    GrantType,
    shown_user_code,
)
from etymon.kernel.errors import (
    Conflict,
    EtymonError,
    Malformed,
    NotAuthenticated,
    NotPermitted,
    Throttled,
    TooLarge,
    Unavailable,
)
from etymon.kernel.secret import Secret
from etymon.storage.database import Transaction
from etymon.web.exchange import Request, json_response
from etymon.web.problem import status_of
from etymon.web.rate_limits import household

OAUTH_ERRORS: Final = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "access_denied",
        "authorization_pending",
        "slow_down",
        "expired_token",
    }
)
NOT_QUOTED: Final = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
"""What an error_description may not hold (RFC 6749 §5.2)."""

SHORTLY: Final = {"Cache-Control": "public, max-age=300"}

TOKEN_PATH: Final = "/idp/token"  # noqa: S105 - a path
DEVICE_AUTHORIZATION_PATH: Final = "/idp/device_authorization"


class OAuthErrors:
    """Errors in OAuth's form (RFC 6749 §5.2)."""

    def expected(self, error: EtymonError) -> Response:
        """Answer with OAuth's name of the error; never with Retry-After on a poll, which clients would cache."""
        headers: dict[str, str] = {}
        if error.code in OAUTH_ERRORS:
            name, status = error.code, 401 if isinstance(error, NotAuthenticated) else 400
            if status == 401:
                headers["WWW-Authenticate"] = 'Bearer error="invalid_client"'
        elif isinstance(error, Throttled):
            name, status = "temporarily_unavailable", 429
            headers["Retry-After"] = str(error.retry_after_seconds)
        elif isinstance(error, Unavailable):
            name, status = "temporarily_unavailable", 503
        else:
            name = "invalid_request"
            status = status_of(error) if isinstance(error, TooLarge) else 400
        description = NOT_QUOTED.sub("", error.detail.replace("’", "'"))
        return json_response({"error": name, "error_description": description}, status, headers)

    def unexpected(self, reference: str) -> Response:
        """Answer 500 with a reference number."""
        return json_response({"error": "server_error", "error_description": f"Reference {reference}"}, 500)


class BearerErrors(OAuthErrors):
    """Errors of a resource (RFC 6750 §3)."""

    def expected(self, error: EtymonError) -> Response:
        """Answer 401 with the challenge where the token is not good."""
        if isinstance(error, NotAuthenticated):
            return Response(
                status_code=401,
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"', "Cache-Control": "no-store"},
            )
        return OAuthErrors.expected(self, error)


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes for programs."""
    face = _Face(site)
    errors = OAuthErrors()
    table: list[tuple[str, Callable[[Request], Response], list[str], OAuthErrors]] = [
        ("/idp/.well-known/openid-configuration", face.discovery, ["GET"], errors),
        ("/.well-known/oauth-authorization-server/idp", face.discovery, ["GET"], errors),
        ("/idp/jwks", face.jwks, ["GET"], errors),
        (DEVICE_AUTHORIZATION_PATH, face.device_authorization, ["POST"], errors),
        (TOKEN_PATH, face.token, ["POST"], errors),
        ("/idp/userinfo", face.userinfo, ["GET", "POST"], BearerErrors()),
    ]
    return [site.route(path, handler, methods=methods, errors=form) for path, handler, methods, form in table]


@dataclass(frozen=True, slots=True)
class _Face:
    site: Site

    def discovery(self, _: Request) -> Response:
        """OpenID Connect Discovery §3, RFC 8414 §2, RFC 8628 §4, RFC 9207 §3."""
        issuer = self.site.deps.issuer
        document: dict[str, Any] = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "device_authorization_endpoint": f"{issuer}/device_authorization",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "jwks_uri": f"{issuer}/jwks",
            "scopes_supported": sorted(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": [grant.value for grant in GrantType],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
            "acr_values_supported": [ACR_CARD, ACR_DERIVED],
            "claims_supported": [
                *("sub", "iss", "aud", "exp", "iat", "auth_time", "amr", "acr", "nonce"),
                *("name", "preferred_username", "email"),
            ],
            "authorization_response_iss_parameter_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
            "claims_parameter_supported": False,
        }
        return json_response(document, headers=SHORTLY)

    def jwks(self, _: Request) -> Response:
        """RFC 7517 §5."""
        deps = self.site.deps
        keys = {key.id: dict(key.jwk) for key in (deps.signing_key.public, *deps.further_keys)}
        return json_response({"keys": list(keys.values())}, headers=SHORTLY)

    def device_authorization(self, request: Request) -> Response:
        """RFC 8628 §3.1, §3.2."""
        deps = self.site.deps
        form = request.form()
        source = request.client_address
        throttling.starts(deps).count(household(source))
        with (
            self.site.noted("idp:device_authorization:refused", request, _claimed_client(form)),
            deps.database.transaction() as tx,
        ):
            address = deps.site_url + DEVICE_AUTHORIZATION_PATH
            client = clients.authenticate(tx, deps, form, endpoint=address)
            device = None
            if client.device_authorization is DeviceAuthorizationKind.ENROLLMENT:
                device = enrollment_assertion.verify(deps, client, form.get("enrollment_assertion", ""))
            scope = form.get("scope", "")
            started = device_authorization.begin(tx, deps, client, scope, device=device, source=source)
        return json_response(
            {
                "device_code": started.device_code.reveal(),
                "user_code": shown_user_code(started.user_code.reveal()),
                "verification_uri": f"{deps.issuer}/device",
                "expires_in": int(DEVICE_CODE_LIFETIME.total_seconds()),
                "interval": int(started.authorization.interval.total_seconds()),
            }
        )

    def token(self, request: Request) -> Response:
        """RFC 6749 §3.2. A refusal goes out after the transaction: what it counted or ended is kept."""
        deps = self.site.deps
        form = request.form()
        refusal: EtymonError | None = None
        client: Client | None = None
        document: dict[str, str | int] = {}
        with deps.database.transaction() as tx:
            try:
                grant_type = _required(form, "grant_type")
                client = clients.authenticate(tx, deps, form, endpoint=deps.site_url + TOKEN_PATH)
                document = self._tokens(tx, client, grant_type, form).document()
            except (Malformed, NotAuthenticated, NotPermitted, Conflict) as error:
                refusal = error
        if refusal is not None:
            self._record(request, form, client, refusal)
            raise refusal
        return json_response(document, headers={"Pragma": "no-cache"})

    def _record(self, request: Request, form: Mapping[str, str], client: Client | None, refusal: EtymonError) -> None:
        """Write down that a client did not authenticate itself, and each refusal that has a reason."""
        record, source = self.site.deps.refusals.record, request.client_address
        if isinstance(refusal, NotAuthenticated):
            subject = _claimed_client(form)
            record("idp:client:refused", actor=ANONYMOUS, subject=subject, source=source, code=refusal.code)
        elif client is not None and "reason" in refusal.facts:
            is_shown = client.authentication is not ClientAuthentication.NONE
            record(
                "idp:grant:refused",
                actor=f"client:{client.id}" if is_shown else ANONYMOUS,
                subject=f"client:{client.id}",
                source=source,
                code=refusal.code,
                reason=refusal.facts["reason"],
            )

    def _tokens(self, tx: Transaction, client: Client, grant_type: str, form: Mapping[str, str]) -> tokens.Tokens:
        deps = self.site.deps
        if grant_type == GrantType.AUTHORIZATION_CODE.value:
            return authorization_code.exchange(
                tx,
                deps,
                client,
                Secret(_required(form, "code")),
                redirect_uri=form.get("redirect_uri") or next(iter(client.redirect_uris), ""),
                verifier=_required(form, "code_verifier"),
            )
        if grant_type == GrantType.REFRESH_TOKEN.value:
            refresh_token = Secret(_required(form, "refresh_token"))
            return grants.refresh(tx, deps, client, refresh_token, form.get("scope") or None)
        if grant_type == GrantType.DEVICE_CODE.value:
            return device_authorization.exchange(tx, deps, client, Secret(_required(form, "device_code")))
        raise unsupported_grant_type()

    def userinfo(self, request: Request) -> Response:
        """OpenID Connect Core §5.3."""
        deps = self.site.deps
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("token_not_valid", "Send an access token.")
        access = tokens.read_access_token(deps, token.strip())
        with deps.database.snapshot() as tx:
            person = people.find(tx, UUID(access.subject))
        if person is None or not person.active or "openid" not in access.scopes:
            raise NotAuthenticated("token_not_valid", "The account has ended, or the token is not for this.")
        return json_response({"sub": access.subject, **tokens.profile(person, access.scopes)})


def _claimed_client(form: Mapping[str, str]) -> str:
    """Return the trail's name of the client that somebody says to be, if there could be one."""
    claimed = form.get("client_id", "")
    return f"client:{claimed}" if clients.ID.fullmatch(claimed) else "client"


def _required(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise invalid_request(f"The parameter {name} is missing.")
    return value
