# SPDX-License-Identifier: Apache-2.0
"""Clients of the management API: registered with a public key, authenticated by it (RFC 7523 §2.2), given tokens."""

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from etymon.audit.refusals import ANONYMOUS
from etymon.directory import trust
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.store import clients as store
from etymon.issuer.store.clients import Client
from etymon.kernel.entropy import random_token
from etymon.kernel.errors import Malformed, NotAuthenticated, NotFound
from etymon.kernel.secret import Secret
from etymon.pki.trust_entry import TrustKind
from etymon.storage.database import Transaction

ALGORITHM: Final = "ES256"
CURVE: Final = "P-256"
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SCOPE: Final = "management"
TOKEN_PATH: Final = "/issuer/oauth/token"  # noqa: S105 - an address

TOKEN_LIFETIME: Final = timedelta(minutes=10)
ASSERTION_LIFETIME: Final = timedelta(minutes=10)
"""An assertion that ends later is refused: its id would have to be remembered for as long."""
LEEWAY: Final = timedelta(seconds=60)
"""Clocks of two organizations differ."""

LATEST: Final = 2**37
"""Seconds since 1970 that are read: until the year 6325, far from where dates end."""

TOKEN_BITS: Final = 256
LONGEST_ASSERTION: Final = 8 * 1024
LONGEST_ID: Final = 200
CLIENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def register(
    tx: Transaction,
    deps: Dependencies,
    *,
    client_id: str,
    name: str,
    public_key: Mapping[str, Any],
    device_trust_entries: Collection[str],
    actor: str,
) -> Client:
    """Register an endpoint manager, or change its registration; it manages the devices of these trust entries.

    `public_key` is a P-256 JWK. Raises `Malformed` `malformed_client` and `NotFound` `trust_entry_unknown`.
    """
    if not CLIENT_ID.fullmatch(client_id) or not 1 <= len(name) <= 100 or not name.isprintable():
        raise _malformed_client("A client has an id of letters, digits, dots and hyphens, and a name.")
    if not device_trust_entries:
        raise _malformed_client("Name at least one device CA whose devices the client manages.")
    for entry_name in device_trust_entries:
        if trust.entry(tx, entry_name).kind is not TrustKind.DEVICE:
            raise _malformed_client(f"The trust entry {entry_name} is not one for devices.")
    client = Client(client_id, name, _public_part(public_key), frozenset(device_trust_entries), deps.clock.now())
    store.save(tx, client)
    devices = " ".join(sorted(device_trust_entries))
    record(tx, deps, "client:registered", actor=actor, subject=f"client:{client_id}", name=name, devices=devices)
    return client


def end(tx: Transaction, deps: Dependencies, client_id: str, *, actor: str) -> None:
    """End a client and its tokens; `NotFound` when there is none."""
    if not store.end(tx, client_id, deps.clock.now()):
        raise NotFound("client_unknown", "There is no such client.")
    record(tx, deps, "client:ended", actor=actor, subject=f"client:{client_id}")


def give_token(deps: Dependencies, assertion: str, *, source: str) -> Secret[str]:
    """Return an access token for the client that signed `assertion`, good for `TOKEN_LIFETIME`.

    An assertion is good once. Raises `NotAuthenticated` `invalid_client`, which is recorded.
    """
    with deps.refusals.noted("issuer:client:refused", actor=ANONYMOUS, subject="client", source=source):
        return _give_token(deps, assertion, source)


def _give_token(deps: Dependencies, assertion: str, source: str) -> Secret[str]:
    now = deps.clock.now()
    token = Secret(random_token(deps.entropy, bits=TOKEN_BITS))
    with deps.database.transaction() as tx:
        client = store.find(tx, _claimed_client(assertion))
        if client is None:
            raise _invalid_client()
        claims = _verified(assertion, client)
        ends = _judged(deps, claims, client, now)
        digest = deps.digest_key.digest("issuer.client_assertion", f"{client.id}\x00{claims['jti']}")
        if not store.use_assertion(tx, digest, ends + LEEWAY):
            raise _invalid_client()
        store.add_token(tx, token_digest(deps, token), client.id, now + TOKEN_LIFETIME)
        record(tx, deps, "client:signed_in", actor=f"client:{client.id}", subject=f"client:{client.id}", source=source)
    return token


def by_token(deps: Dependencies, token: Secret[str], *, source: str) -> Client:
    """Return the client whose live token this is; `NotAuthenticated` otherwise, which is recorded if there was one."""
    with deps.database.snapshot() as tx:
        client = store.by_token(tx, token_digest(deps, token), deps.clock.now())
    if client is not None:
        return client
    refusal = NotAuthenticated("token_not_valid", "The access token is missing, not known or over. Ask for a new one.")
    if token.reveal():
        deps.refusals.record(
            "issuer:client:refused", actor=ANONYMOUS, subject="client", source=source, code=refusal.code
        )
    raise refusal


def token_digest(deps: Dependencies, token: Secret[str]) -> bytes:
    """Return what is kept of an access token."""
    return deps.digest_key.digest("issuer.access_token", token)


def _public_part(jwk: Mapping[str, Any]) -> dict[str, str]:
    try:
        key = ECKey.import_key(dict(jwk))
    except (JoseError, ValueError, TypeError, KeyError) as exc:
        raise _malformed_client("The public key is a JWK on P-256.") from exc
    if key.curve_name != CURVE or key.is_private:
        raise _malformed_client("The public key is a JWK on P-256, without its private part.")
    return {name: str(value) for name, value in key.as_dict(private=False).items()}


def _claimed_client(assertion: str) -> str:
    """Return whom an assertion claims to be from; its signature is judged with that client's key afterwards."""
    if len(assertion) > LONGEST_ASSERTION:
        raise _invalid_client()
    try:
        payload = json.loads(jws.extract_compact(assertion.encode()).payload)
    except (JoseError, ValueError, RecursionError) as exc:
        raise _invalid_client() from exc
    claimed = payload.get("sub") if isinstance(payload, dict) else None
    return claimed if isinstance(claimed, str) and CLIENT_ID.fullmatch(claimed) else ""


def _verified(assertion: str, client: Client) -> Mapping[str, Any]:
    try:
        key = ECKey.import_key(dict(client.public_key))
        return jwt.decode(assertion, key, algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError, TypeError) as exc:
        raise _invalid_client() from exc


def _judged(deps: Dependencies, claims: Mapping[str, Any], client: Client, now: datetime) -> datetime:
    """Return when the assertion ends, if it is this client's, for here and for now (RFC 7523 §3)."""
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != client.id or claims.get("sub") != client.id:
        raise _invalid_client()
    if not {f"{deps.site_url}{TOKEN_PATH}", deps.issuer_url}.intersection(filter(_is_text, named)):
        raise _invalid_client()
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_ID:
        raise _invalid_client()
    ends = _time(claims.get("exp"))
    begins = _time(claims.get("nbf", claims.get("iat", int(now.timestamp()))))
    if not now - LEEWAY < ends <= now + ASSERTION_LIFETIME + LEEWAY or begins > now + LEEWAY:
        raise _invalid_client()
    return ends


def _time(value: object) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LATEST:
        raise _invalid_client()
    return datetime.fromtimestamp(value, UTC)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _invalid_client() -> NotAuthenticated:
    return NotAuthenticated("invalid_client", "The client is not registered, or did not authenticate itself.")


def _malformed_client(detail: str) -> Malformed:
    return Malformed("malformed_client", detail)
