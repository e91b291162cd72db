# SPDX-License-Identifier: Apache-2.0
"""What the token endpoint hands out: access tokens (RFC 9068), ID tokens (OpenID Connect Core §2), refresh tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from etymon.directory import people, roles
from etymon.directory.model import Person
from etymon.idp import signing_keys
from etymon.idp.dependencies import Dependencies
from etymon.idp.errors import access_denied, invalid_grant, invalid_scope
from etymon.idp.model import (
    ACCESS_TOKEN_LIFETIME,
    ACR_CARD,
    REFRESH_IDLE_LIFETIME,
    RESOURCES,
    SCOPE_ADMINISTRATION,
    SCOPE_ENROLL,
    SCOPE_OFFLINE,
    SCOPE_OPENID,
    Client,
    Grant,
)
from etymon.idp.store import grants as store
from etymon.kernel.entropy import random_id, random_token
from etymon.kernel.errors import NotAuthenticated
from etymon.kernel.secret import Secret
from etymon.storage.database import Transaction

ACCESS_TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - a media type
REFRESH_TOKEN_BITS: Final = 256


@dataclass(frozen=True, slots=True)
class Tokens:
    """A token response (RFC 6749 §5.1)."""

    access_token: Secret[str]
    scopes: frozenset[str]
    id_token: Secret[str] | None = None
    refresh_token: Secret[str] | None = None

    def document(self) -> dict[str, str | int]:
        """Return the body of the response."""
        body: dict[str, str | int] = {
            "access_token": self.access_token.reveal(),
            "token_type": "Bearer",
            "expires_in": int(ACCESS_TOKEN_LIFETIME.total_seconds()),
            "scope": " ".join(sorted(self.scopes)),
        }
        if self.id_token is not None:
            body["id_token"] = self.id_token.reveal()
        if self.refresh_token is not None:
            body["refresh_token"] = self.refresh_token.reveal()
        return body


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token of ours that was presented to us."""

    subject: str
    scopes: frozenset[str]
    claims: Mapping[str, Any] = field(repr=False)


def granted_scopes(client: Client, asked: str) -> frozenset[str]:
    """Return what of the asked scopes this client gets; raises Malformed `invalid_scope`.

    A scope that opens a resource must be the client's; of the others it gets what it may have (RFC 6749 §3.3).
    """
    wanted = frozenset(asked.split())
    resources = wanted & RESOURCES.keys()
    if not resources <= client.scopes:
        raise invalid_scope("This client may not ask for that scope.")
    if len(resources) > 1:
        raise invalid_scope("Ask for one resource at a time.")
    return wanted & client.scopes


def audience(deps: Dependencies, scopes: frozenset[str]) -> str:
    """Return the resource that a token of these scopes is for; without one it is the OIDC issuer itself."""
    for scope, path in RESOURCES.items():
        if scope in scopes:
            return deps.site_url + path
    return deps.issuer


def require_allowed(tx: Transaction, grant_scopes: frozenset[str], acr: str, person: Person) -> None:
    """Refuse what this person, signed in like this, may not let a client do. Raises NotPermitted `access_denied`."""
    if grant_scopes & {SCOPE_ADMINISTRATION, SCOPE_ENROLL} and acr != ACR_CARD:
        raise access_denied("This needs a sign-in with the smart card itself.", "card_required")
    if SCOPE_ADMINISTRATION in grant_scopes and not roles.counting(tx, person.id):
        raise access_denied("This account has no administrative role.", "role_missing")


def issue(
    tx: Transaction,
    deps: Dependencies,
    grant: Grant,
    *,
    scopes: frozenset[str] | None = None,
    nonce: str | None = None,
) -> Tokens:
    """Return tokens of a live grant; `scopes` may ask for fewer than the grant has.

    Raises NotPermitted `invalid_grant` when the person's account has ended, `access_denied` when a role was lost.
    """
    scopes = grant.scopes if scopes is None else scopes
    person = people.find(tx, grant.sign_in.person)
    if person is None or not person.active:
        raise invalid_grant("The account has ended.", "account_ended")
    require_allowed(tx, scopes, grant.sign_in.acr, person)
    refresh = _refresh_token(tx, deps, grant) if SCOPE_OFFLINE in grant.scopes else None
    id_token = _id_token(deps, grant, person, nonce) if SCOPE_OPENID in scopes else None
    return Tokens(_access_token(tx, deps, grant, scopes), scopes, id_token, refresh)


def read_access_token(deps: Dependencies, token: str) -> AccessToken:
    """Return an access token of ours; raises NotAuthenticated `token_not_valid`."""
    keys = [deps.signing_key.public.jwk, *(key.jwk for key in deps.further_keys)]
    claims = signing_keys.verify(token, keys, types=frozenset({ACCESS_TOKEN_TYPE}))
    signing_keys.require_time(claims, deps.clock.now())
    if claims.get("iss") != deps.issuer or not isinstance(claims.get("sub"), str):
        raise NotAuthenticated("token_not_valid", "The token is not one of this issuer.")
    return AccessToken(claims["sub"], frozenset(str(claims.get("scope", "")).split()), claims)


def profile(person: Person, scopes: frozenset[str]) -> dict[str, str]:
    """Return what the scopes tell of a person (OpenID Connect Core §5.4)."""
    claims: dict[str, str] = {}
    if "profile" in scopes:
        claims |= {"name": person.display_name, "preferred_username": person.user_principal_name}
    if "email" in scopes and person.mail_addresses:
        claims["email"] = person.mail_addresses[0]
    return claims


def refresh_token_digest(deps: Dependencies, token: Secret[str]) -> bytes:
    """Return what is kept of a refresh token."""
    return deps.digest_key.digest("idp.refresh_token", token)


def _access_token(tx: Transaction, deps: Dependencies, grant: Grant, scopes: frozenset[str]) -> Secret[str]:
    claims = _claims(deps, grant) | {
        "aud": audience(deps, scopes),
        "client_id": grant.client_id,
        "scope": " ".join(sorted(scopes)),
        "jti": str(random_id(deps.entropy)),
    }
    if SCOPE_ADMINISTRATION in scopes:
        claims["roles"] = sorted(role.value for role in roles.counting(tx, grant.sign_in.person))
    if SCOPE_ENROLL in scopes and grant.enrollment_session is not None:
        claims["enrollment_session"] = grant.enrollment_session
    return Secret(deps.signing_key.sign(claims, type_=ACCESS_TOKEN_TYPE))


def _id_token(deps: Dependencies, grant: Grant, person: Person, nonce: str | None) -> Secret[str]:
    claims = _claims(deps, grant) | {"aud": grant.client_id} | profile(person, grant.scopes)
    if nonce is not None:
        claims["nonce"] = nonce
    return Secret(deps.signing_key.sign(claims, type_="JWT"))


def _claims(deps: Dependencies, grant: Grant) -> dict[str, Any]:
    now = int(deps.clock.now().timestamp())
    return {
        "iss": deps.issuer,
        "sub": str(grant.sign_in.person),
        "iat": now,
        "exp": now + int(ACCESS_TOKEN_LIFETIME.total_seconds()),
        "auth_time": int(grant.sign_in.at.timestamp()),
        "amr": list(grant.sign_in.amr),
        "acr": grant.sign_in.acr,
    }


def _refresh_token(tx: Transaction, deps: Dependencies, grant: Grant) -> Secret[str]:
    token = Secret(random_token(deps.entropy, bits=REFRESH_TOKEN_BITS))
    expires_at = min(grant.ends_at, deps.clock.now() + REFRESH_IDLE_LIFETIME)
    kept = store.RefreshToken(grant.id, used=False, expires_at=expires_at)
    store.add_refresh_token(tx, refresh_token_digest(deps, token), kept)
    return token
