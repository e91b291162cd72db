# SPDX-License-Identifier: Apache-2.0
"""Programs that authenticate themselves with a key (private_key_jwt, RFC 7523 §2.2): reading and judging assertions."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from etymon.kernel.errors import Malformed, NotAuthenticated

ALGORITHM: Final = "ES256"
CURVE: Final = "P-256"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

LIFETIME: Final = timedelta(minutes=10)
"""An assertion that ends later is refused: its id would have to be remembered for as long."""
LEEWAY: Final = timedelta(seconds=60)
"""Clocks of two organizations differ."""

LATEST: Final = 2**37
"""Seconds since 1970 that are read: until the year 6325, far from where dates end."""

LONGEST_ASSERTION: Final = 8 * 1024
LONGEST_ID: Final = 200
CLIENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class ProvenAssertion:
    """An assertion that its client signed, for here and for now. It is good once: until `forget_at`, keep its `id`."""

    client: str
    id: str
    forget_at: datetime


def check_client(client_id: str, name: str) -> None:
    """Raise `Malformed` `malformed_client` unless a client may be called so."""
    if not CLIENT_ID.fullmatch(client_id) or not 1 <= len(name) <= 100 or not name.isprintable():
        raise malformed_client("A client has an id of letters, digits, dots and hyphens, and a name.")


def public_part(jwk: Mapping[str, Any]) -> dict[str, str]:
    """Return a P-256 JWK without anything private in it; raises `Malformed` `malformed_client`."""
    try:
        key = ECKey.import_key(dict(jwk))
    except (JoseError, ValueError, TypeError, KeyError) as exc:
        raise malformed_client("The public key is a JWK on P-256.") from exc
    if key.curve_name != CURVE or key.is_private:
        raise malformed_client("The public key is a JWK on P-256, without its private part.")
    return {name: str(value) for name, value in key.as_dict(private=False).items()}


def claimed_client(assertion: str) -> str:
    """Return whom an assertion claims to be from; its signature is judged with that client's key afterwards."""
    if len(assertion) > LONGEST_ASSERTION:
        raise invalid_client()
    try:
        payload = json.loads(jws.extract_compact(assertion.encode()).payload)
    except (JoseError, ValueError, RecursionError) as exc:
        raise invalid_client() from exc
    claimed = payload.get("sub") if isinstance(payload, dict) else None
    return claimed if isinstance(claimed, str) and CLIENT_ID.fullmatch(claimed) else ""


def prove(
    assertion: str, client: str, public_key: Mapping[str, str], *, audiences: Collection[str], now: datetime
) -> ProvenAssertion:
    """Return an assertion that is this client's, for one of `audiences` and for now (RFC 7523 §3).

    Raises `NotAuthenticated` `invalid_client`.
    """
    try:
        claims = jwt.decode(assertion, ECKey.import_key(dict(public_key)), algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError, TypeError) as exc:
        raise invalid_client() from exc
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != client or claims.get("sub") != client:
        raise invalid_client()
    if not set(audiences).intersection(filter(_is_text, named)):
        raise invalid_client()
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_ID:
        raise invalid_client()
    ends = _time(claims.get("exp"))
    begins = _time(claims.get("nbf", claims.get("iat", int(now.timestamp()))))
    if not now - LEEWAY < ends <= now + LIFETIME + LEEWAY or begins > now + LEEWAY:
        raise invalid_client()
    return ProvenAssertion(client, jti, ends + LEEWAY)


def invalid_client() -> NotAuthenticated:
    """Nobody is registered so, or the assertion is not good; which of these is not told."""
    return NotAuthenticated("invalid_client", "The client is not registered, or did not authenticate itself.")


def token_not_valid() -> NotAuthenticated:
    """No live token has this value."""
    return NotAuthenticated("token_not_valid", "The access token is missing, not known or over. Ask for a new one.")


def malformed_client(detail: str) -> Malformed:
    """A client cannot be registered so."""
    return Malformed("malformed_client", detail)


def _time(value: object) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LATEST:
        raise invalid_client()
    return datetime.fromtimestamp(value, UTC)


def _is_text(value: object) -> bool:
    return isinstance(value, str)
