# SPDX-License-Identifier: Apache-2.0
"""Clients of the management API: registered with a public key, authenticated by it (RFC 7523 §2.2), given tokens."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final

from etymon.audit.refusals import ANONYMOUS
from etymon.directory import trust
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.store import clients as store
from etymon.issuer.store.clients import Client
from etymon.kernel.entropy import random_token
from etymon.kernel.errors import NotFound
from etymon.kernel.secret import Secret
from etymon.pki.trust_entry import TrustKind
from etymon.storage.database import Transaction
from etymon.web import client_assertion

SCOPE: Final = "management"
TOKEN_PATH: Final = "/issuer/oauth/token"  # noqa: S105 - an address

TOKEN_LIFETIME: Final = timedelta(minutes=10)
TOKEN_BITS: Final = 256


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
    client_assertion.check_client(client_id, name)
    if not device_trust_entries:
        raise client_assertion.malformed_client("Name at least one device CA whose devices the client manages.")
    for entry_name in device_trust_entries:
        if trust.entry(tx, entry_name).kind is not TrustKind.DEVICE:
            raise client_assertion.malformed_client(f"The trust entry {entry_name} is not one for devices.")
    client = Client(
        client_id, name, client_assertion.public_part(public_key), frozenset(device_trust_entries), deps.clock.now()
    )
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
        client = store.find(tx, client_assertion.claimed_client(assertion))
        if client is None:
            raise client_assertion.invalid_client()
        audiences = (f"{deps.site_url}{TOKEN_PATH}", deps.issuer_url)
        proven = client_assertion.prove(assertion, client.id, client.public_key, audiences=audiences, now=now)
        digest = deps.digest_key.digest("issuer.client_assertion", f"{client.id}\x00{proven.id}")
        if not store.use_assertion(tx, digest, proven.forget_at):
            raise client_assertion.invalid_client()
        store.add_token(tx, token_digest(deps, token), client.id, now + TOKEN_LIFETIME)
        record(tx, deps, "client:signed_in", actor=f"client:{client.id}", subject=f"client:{client.id}", source=source)
    return token


def by_token(deps: Dependencies, token: Secret[str], *, source: str) -> Client:
    """Return the client whose live token this is; `NotAuthenticated` otherwise, which is recorded if there was one."""
    with deps.database.snapshot() as tx:
        client = store.by_token(tx, token_digest(deps, token), deps.clock.now())
    if client is not None:
        return client
    refusal = client_assertion.token_not_valid()
    if token.reveal():
        deps.refusals.record(
            "issuer:client:refused", actor=ANONYMOUS, subject="client", source=source, code=refusal.code
        )
    raise refusal


def token_digest(deps: Dependencies, token: Secret[str]) -> bytes:
    """Return what is kept of an access token."""
    return deps.digest_key.digest("issuer.access_token", token)
