# SPDX-License-Identifier: Apache-2.0
"""Clients: registered by the organisation, authenticated at the endpoints that only they may use."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from etymon.audit import trail
from etymon.audit.model import AuditEvent
from etymon.idp import signing_keys
from etymon.idp.dependencies import Dependencies
from etymon.idp.errors import invalid_client, invalid_request
from etymon.idp.model import SCOPE_ENROLL, SCOPES, Client, ClientAuthentication, DeviceAuthorizationKind
from etymon.idp.store import clients as store
from etymon.kernel.errors import Malformed, NotAuthenticated, NotFound
from etymon.storage.database import Transaction

CLIENT_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME: Final = timedelta(minutes=10)
LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "::1"})
"""RFC 8252 §7.3; `localhost` may be answered by somebody else (§8.3)."""

LOOPBACK_URI: Final = re.compile(
    r"http://(?P<host>127\.0\.0\.1|\[::1\])(:(?P<port>[1-9][0-9]{0,4}))?(?P<rest>(/[\x21-\x7e]*)?)"
)
HIGHEST_PORT: Final = 65_535

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")


def register(tx: Transaction, deps: Dependencies, client: Client, *, actor: str) -> None:
    """Register the client, or change the registration of this id. Raises Malformed `client_not_usable`."""
    require_usable(client)
    store.save(tx, client)
    event = AuditEvent(
        "idp:client:registered", actor, f"client:{client.id}", facts={"scopes": " ".join(sorted(client.scopes))}
    )
    trail.record(tx, deps.clock, deps.entropy, event)


def remove(tx: Transaction, deps: Dependencies, client_id: str, *, actor: str) -> None:
    """Remove a client; what it was granted can be refreshed no more. Raises NotFound."""
    if not store.remove(tx, client_id):
        raise NotFound("client_unknown", "There is no such client.")
    trail.record(tx, deps.clock, deps.entropy, AuditEvent("idp:client:removed", actor, f"client:{client_id}"))


def registered(tx: Transaction) -> list[Client]:
    """Return every registered client."""
    return store.all_of(tx)


def authenticate(tx: Transaction, deps: Dependencies, form: Mapping[str, str], *, endpoint: str) -> Client:
    """Return the client that sent `form`, as its registration asks (RFC 6749 §2.3, RFC 7523 §2.2).

    `endpoint` is the address the request came to, which an assertion may name as its audience. Raises NotAuthenticated
    `invalid_client`.
    """
    if "client_secret" in form:
        raise invalid_client()
    if "client_assertion" in form or "client_assertion_type" in form:
        return _by_assertion(tx, deps, form, endpoint)
    client = find(tx, form.get("client_id", ""))
    if client.authentication is not ClientAuthentication.NONE:
        raise invalid_client()
    return client


def find(tx: Transaction, client_id: str) -> Client:
    """Return the registered client; raises NotAuthenticated `invalid_client`."""
    client = store.find(tx, client_id) if ID.fullmatch(client_id) else None
    if client is None:
        raise invalid_client()
    return client


def fits_redirect_uri(client: Client, uri: str) -> bool:
    """Say whether `uri` is registered: exactly, or on any port of a loopback address (RFC 8252 §7.3)."""
    if uri in client.redirect_uris:
        return True
    asked = _without_port(uri)
    return asked is not None and any(asked == _without_port(registered) for registered in client.redirect_uris)


def _without_port(uri: str) -> tuple[str, str] | None:
    """Return host and rest of an http address on loopback, character by character; None for every other one.

    `urlsplit` would take `http://[::1].evil.test/` for `::1`, and drop line ends.
    """
    found = LOOPBACK_URI.fullmatch(uri)
    if found is None or int(found["port"] or 1) > HIGHEST_PORT:
        return None
    return found["host"], found["rest"]


def _by_assertion(tx: Transaction, deps: Dependencies, form: Mapping[str, str], endpoint: str) -> Client:
    assertion = form.get("client_assertion", "")
    if form.get("client_assertion_type") != CLIENT_ASSERTION_TYPE or not assertion:
        raise invalid_request("Send client_assertion_type and client_assertion together (RFC 7523 §2.2).")
    client_id = form.get("client_id", "") or _claimed_subject(assertion)
    client = find(tx, client_id)
    if client.authentication is not ClientAuthentication.PRIVATE_KEY_JWT:
        raise invalid_client()
    try:
        claims = signing_keys.verify(assertion, client.keys, types=frozenset({"jwt", "client-authentication+jwt", ""}))
        ends = signing_keys.require_time(claims, deps.clock.now(), longest=ASSERTION_LIFETIME)
    except NotAuthenticated as exc:
        raise invalid_client() from exc
    audience = claims.get("aud")
    named = set(audience) if isinstance(audience, list) else {audience}
    jti = claims.get("jti")
    if claims.get("iss") != client.id or claims.get("sub") != client.id or not named & {deps.issuer, endpoint}:
        raise invalid_client()
    if not isinstance(jti, str) or not 0 < len(jti) <= 200:
        raise invalid_client()
    if not store.use_assertion(tx, client.id, jti, ends + signing_keys.LEEWAY):
        raise invalid_client()
    return client


def _claimed_subject(assertion: str) -> str:
    """Return whom an assertion claims to be; the signature is judged with that client's keys afterwards."""
    return signing_keys.unverified_claim(assertion, "sub")


def require_usable(client: Client) -> None:
    """Refuse a registration that contradicts itself. Raises Malformed."""
    if not ID.fullmatch(client.id) or not client.name:
        raise _not_usable("Give the client an id of letters, digits and .-_:/ and a name.")
    if not client.scopes <= SCOPES:
        raise _not_usable(f"The scopes are {', '.join(sorted(SCOPES))}.")
    for uri in client.redirect_uris:
        _check_redirect_uri(uri)
    signing_keys.check_public_keys((*client.keys, *client.assertion_keys))
    if (client.authentication is ClientAuthentication.PRIVATE_KEY_JWT) != bool(client.keys):
        raise _not_usable("A client with private_key_jwt has keys, and no other client has.")
    enrolling = client.device_authorization is DeviceAuthorizationKind.ENROLLMENT
    if enrolling != bool(client.assertion_issuer and client.assertion_keys):
        raise _not_usable("A client that enrolls names the endpoint manager and its keys, and no other client does.")
    if (SCOPE_ENROLL in client.scopes) != enrolling:
        raise _not_usable("The scope enroll is for clients that enroll, and they have it.")


def _check_redirect_uri(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        hostname = parts.hostname
    except ValueError:
        raise _not_usable("A redirect URI cannot be read.") from None
    loopback = parts.scheme == "http" and hostname in LOOPBACK_HOSTS
    private = "." in parts.scheme  # RFC 8252 §7.1: a domain name in reverse order
    if parts.fragment or not (private or ((parts.scheme == "https" or loopback) and hostname)):
        raise _not_usable("A redirect URI is https, http on a loopback address, or a private scheme with a dot.")


def _not_usable(detail: str) -> Malformed:
    return Malformed("client_not_usable", detail)
