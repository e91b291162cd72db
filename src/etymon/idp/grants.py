# SPDX-License-Identifier: Apache-2.0
"""What people have let clients do: begun by a code, refreshed by rotation, ended by reuse, undo or the account."""

from uuid import UUID

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Outcome
from etymon.directory import bindings
from etymon.idp import tokens
from etymon.idp.dependencies import Dependencies
from etymon.idp.errors import invalid_grant, invalid_scope, unauthorized_client
from etymon.idp.model import GRANT_LIFETIME, Client, Grant, GrantType, SignIn
from etymon.idp.store import grants as store
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import NotPermitted
from etymon.kernel.secret import Secret
from etymon.storage.database import Transaction


def begin(
    tx: Transaction,
    deps: Dependencies,
    client: Client,
    scopes: frozenset[str],
    sign_in: SignIn,
    *,
    grant_id: UUID | None = None,
    nonce: str | None = None,
    device_authorization: UUID | None = None,
    enrollment_session: str | None = None,
) -> tokens.Tokens:
    """Keep a new grant and return its first tokens; NotPermitted `invalid_grant` where the credential has ended."""
    now = deps.clock.now()
    _require_bound(tx, sign_in)
    grant = Grant(
        id=grant_id or random_id(deps.entropy),
        client_id=client.id,
        scopes=scopes,
        sign_in=sign_in,
        started_at=now,
        ends_at=now + GRANT_LIFETIME,
        device_authorization=device_authorization,
        enrollment_session=enrollment_session,
    )
    store.add_grant(tx, grant)
    issued = tokens.issue(tx, deps, grant, nonce=nonce)
    facts = {"client": client.id, "scopes": " ".join(sorted(scopes)), "acr": sign_in.acr}
    if device_authorization is not None:
        facts["approval"] = str(device_authorization)
    event = AuditEvent("idp:grant:started", f"person:{sign_in.person}", f"grant:{grant.id}", Outcome.SUCCESS, facts)
    trail.record(tx, deps.clock, deps.entropy, event)
    return issued


def refresh(
    tx: Transaction, deps: Dependencies, client: Client, token: Secret[str], scope: str | None
) -> tokens.Tokens:
    """Trade a refresh token for new tokens, once. One that was used before ends the whole grant (RFC 9700 §4.14.2).

    The binding that the person signed in by must still stand. Raises the errors of RFC 6749 §5.2; the caller keeps
    what was written before, because a refusal may end the grant.
    """
    if GrantType.REFRESH_TOKEN not in client.grants:
        raise unauthorized_client("This client may not refresh.")
    digest = tokens.refresh_token_digest(deps, token)
    kept = store.find_refresh_token(tx, digest)
    now = deps.clock.now()
    grant = store.find_live_grant(tx, kept.grant_id, now=now) if kept is not None else None
    if kept is None or grant is None or grant.client_id != client.id:
        raise invalid_grant("The refresh token is not known, or what it stood for has ended.", "refresh_unknown")
    scopes = grant.scopes if scope is None else frozenset(scope.split())
    if not kept.used:
        _require_refreshable(tx, deps, grant, kept, scopes)
    if not store.use_refresh_token(tx, digest):
        end(tx, deps, grant.id, actor=f"client:{client.id}", reason="refresh_reused")
        raise invalid_grant(
            "The refresh token was used already; everything that came of it has ended.", "refresh_reused"
        )
    issued = tokens.issue(tx, deps, grant, scopes=scopes)
    facts = {"client": client.id, "scopes": " ".join(sorted(scopes))}
    event = AuditEvent(
        "idp:grant:refreshed", f"person:{grant.sign_in.person}", f"grant:{grant.id}", Outcome.SUCCESS, facts
    )
    trail.record(tx, deps.clock, deps.entropy, event)
    return issued


def _require_refreshable(
    tx: Transaction, deps: Dependencies, grant: Grant, kept: store.RefreshToken, scopes: frozenset[str]
) -> None:
    if deps.clock.now() >= kept.expires_at:
        raise invalid_grant("The refresh token's time is over.", "refresh_late")
    if not scopes <= grant.scopes:
        raise invalid_scope("A refresh asks for no more than was granted.")
    try:
        _require_bound(tx, grant.sign_in)
    except NotPermitted:
        end(tx, deps, grant.id, actor=f"client:{grant.client_id}", reason="binding_ended")
        raise


def _require_bound(tx: Transaction, sign_in: SignIn) -> None:
    bound = bindings.person_for(tx, sign_in.trust_entry, sign_in.identifier)
    if bound is None or bound.id != sign_in.person:
        raise invalid_grant("The account, or the credential it signed in with, has ended.", "binding_ended")


def end(tx: Transaction, deps: Dependencies, grant_id: UUID, *, actor: str, reason: str) -> bool:
    """End a grant; False when it had ended."""
    ended = store.end_grant(tx, grant_id, now=deps.clock.now())
    if ended:
        event = AuditEvent("idp:grant:ended", actor, f"grant:{grant_id}", Outcome.SUCCESS, {"reason": reason})
        trail.record(tx, deps.clock, deps.entropy, event)
    return ended
