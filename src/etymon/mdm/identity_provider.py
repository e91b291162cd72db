# SPDX-License-Identifier: Apache-2.0
"""The identity provider as others know it: an OIDC issuer address, keys, and access tokens signed with them.

Any provider of RFC 9068 access tokens will do; nothing here knows whose program it is.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

import httpx
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from etymon.kernel.clock import Clock
from etymon.kernel.errors import NotAuthenticated, NotPermitted, Unavailable

ALGORITHM: Final = "ES256"
TOKEN_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
ACR_CARD: Final = "urn:etymon:acr:card"

LEEWAY: Final = timedelta(seconds=60)
"""How far the provider's clock may be from ours."""

LONGEST_TOKEN: Final = 16_384
LARGEST_DOCUMENT_BYTES: Final = 65_536
KEYS_LIFETIME: Final = timedelta(minutes=10)
"""After this the keys are fetched again, so that a withdrawn key stops counting."""

SHORTEST_REFETCH: Final = timedelta(seconds=10)
"""Neither tokens with made-up key ids nor a provider that does not answer make us ask more often than this."""

MOST_WAITING: Final = 8
"""Callers that wait for the provider at a time; the others are refused. Whoever sends tokens with made-up key ids would
otherwise hold every thread of the process, also those with which a provider in the same process answers."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token that this service may act on. `person` is the subject, `acr` how the person signed in."""

    person: UUID
    acr: str
    scopes: frozenset[str]
    roles: frozenset[str]
    claims: Mapping[str, Any] = field(repr=False)


class KeySource(Protocol):
    """Where the provider's keys come from."""

    def find(self, key_id: str) -> ECKey | None:
        """Return the key with this id; None where the provider has none such. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """One provider: its OIDC issuer address and its keys."""

    issuer: str
    keys: KeySource
    clock: Clock

    def read(self, token: str, *, audience: str, scope: str) -> AccessToken:
        """Return the token if it is the provider's, for `audience`, lives, and has `scope`.

        Raises NotAuthenticated `token_not_valid`, and NotPermitted `scope_missing`. How the person signed in is the
        caller's to judge (`require_card`). May fetch keys: call it outside transactions.
        """
        claims = self._verified(token)
        named = claims.get("aud")
        audiences = named if isinstance(named, list) else [named]
        if claims.get("iss") != self.issuer or audience not in audiences:
            raise _not_valid()
        self._require_time(claims)
        scopes = frozenset(str(claims.get("scope", "")).split())
        if scope not in scopes:
            raise NotPermitted("scope_missing", f"The token is not of scope {scope}.")
        roles = claims.get("roles", [])
        try:
            person = UUID(str(claims.get("sub")))
        except ValueError as exc:
            raise _not_valid() from exc
        if not isinstance(roles, list):
            raise _not_valid()
        return AccessToken(person, str(claims.get("acr", "")), scopes, frozenset(map(str, roles)), claims)

    def _verified(self, token: str) -> Mapping[str, Any]:
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise _not_valid()
        try:
            header = jws.extract_compact(token.encode("ascii")).headers()
            key_id = header.get("kid")
            if not isinstance(key_id, str) or str(header.get("typ", "")).lower() not in TOKEN_TYPES:
                raise _not_valid()
            key = self.keys.find(key_id)
            if key is None:
                raise _not_valid()
            return jwt.decode(token, key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, TypeError) as exc:
            raise _not_valid() from exc

    def _require_time(self, claims: Mapping[str, Any]) -> None:
        now, leeway = self.clock.now().timestamp(), LEEWAY.total_seconds()
        issued, ends = _number(claims.get("iat")), _number(claims.get("exp"))
        if now >= ends + leeway or issued > now + leeway:
            raise _not_valid()


def require_card(token: AccessToken) -> None:
    """Refuse a token that was not made by a sign-in with the card itself. Raises NotPermitted `card_required`."""
    if token.acr != ACR_CARD:
        raise NotPermitted("card_required", "Sign in with the smart card itself; another sign-in is not enough here.")


class _Kept(NamedTuple):
    """Keys as they were published, and when; replaced as a whole, so that it is read without a lock."""

    keys: Mapping[str, ECKey]
    fetched_at: datetime | None


class PublishedKeys:
    """The keys a provider publishes, found through its discovery document (OpenID Connect Discovery §4) and kept."""

    def __init__(self, issuer: str, http: httpx.Client, clock: Clock) -> None:
        """`http` verifies TLS with the CAs that this deployment accepts, has a time-out and follows no redirects."""
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._asking = threading.Lock()
        self._callers = threading.BoundedSemaphore(MOST_WAITING)
        self._kept = _Kept({}, None)
        self._failed_at: datetime | None = None

    def find(self, key_id: str) -> ECKey | None:
        """Return the key with this id, asking the provider when ours are old or lack it."""
        if not self._must_ask(key_id):
            return self._kept.keys.get(key_id)
        if not self._callers.acquire(blocking=False):
            raise _unavailable()
        try:
            with self._asking:
                if self._must_ask(key_id):  # whoever was here before may have asked
                    self._renew(self._clock.now())
        finally:
            self._callers.release()
        return self._kept.keys.get(key_id)

    def _must_ask(self, key_id: str) -> bool:
        kept = self._kept
        if kept.fetched_at is None:
            return True
        age = self._clock.now() - kept.fetched_at
        return age >= KEYS_LIFETIME or (key_id not in kept.keys and age >= SHORTEST_REFETCH)

    def _renew(self, now: datetime) -> None:
        """Fetch the keys; right after a failure, fail without asking."""
        if self._failed_at is not None and now - self._failed_at < SHORTEST_REFETCH:
            raise _unavailable()
        try:
            self._kept = _Kept(self._fetch(), now)
        except Unavailable:
            self._failed_at = now
            raise
        self._failed_at = None

    def _fetch(self) -> dict[str, ECKey]:
        configuration = self._document(f"{self._issuer}/.well-known/openid-configuration")
        address = configuration.get("jwks_uri")
        if configuration.get("issuer") != self._issuer or not isinstance(address, str):
            raise _unavailable()
        if not address.startswith("https://"):
            raise _unavailable()
        published = self._document(address).get("keys")
        if not isinstance(published, list):
            raise _unavailable()
        return dict(_usable(published))

    def _document(self, address: str) -> Mapping[str, Any]:
        try:
            with self._http.stream("GET", address, headers={"Accept": "application/json"}) as response:
                body = bytearray()
                for part in response.iter_bytes():
                    body += part
                    if len(body) > LARGEST_DOCUMENT_BYTES:
                        raise _unavailable()
            if response.status_code != 200:
                raise _unavailable()
            document = json.loads(bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            raise _unavailable() from exc
        if not isinstance(document, dict):
            raise _unavailable()
        return document


def _usable(published: list[Any]) -> list[tuple[str, ECKey]]:
    """Return the P-256 signature keys of a JWK set; keys of other kinds are not for us (RFC 7517 §5)."""
    usable: list[tuple[str, ECKey]] = []
    for entry in published:
        if not isinstance(entry, dict) or entry.get("kty") != "EC" or entry.get("crv") != "P-256":
            continue
        if entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
            continue
        try:
            key = ECKey.import_key({name: entry[name] for name in ("kty", "crv", "x", "y")})
        except (JoseError, KeyError, ValueError, TypeError):
            continue
        usable.append((entry["kid"], key))
    return usable


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**36:
        raise _not_valid()
    return float(value)


def _not_valid() -> NotAuthenticated:
    return NotAuthenticated("token_not_valid", "The access token is not valid here, or its time is over.")


def _unavailable() -> Unavailable:
    return Unavailable("identity_provider_unavailable", "The identity provider does not answer. Try again.")
