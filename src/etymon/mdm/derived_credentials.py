# SPDX-License-Identifier: Apache-2.0
"""Which issuer gives this organisation's phones their derived credentials. One at a time."""

from typing import Final
from uuid import UUID

from etymon.kernel.entropy import random_id
from etymon.kernel.errors import Conflict, Malformed, NotFound
from etymon.mdm import desired_state
from etymon.mdm.credential_issuer import CredentialIssuer, IssuerTerms
from etymon.mdm.dependencies import Dependencies, record
from etymon.mdm.store import issuers as store
from etymon.storage import jobs
from etymon.storage.database import Transaction

DESCRIBE_JOB: Final = "mdm.describe_issuer"
"""Payload: `issuer`. Asks an issuer what it calls itself and where people start."""


def create(tx: Transaction, deps: Dependencies, terms: IssuerTerms, *, actor: str) -> CredentialIssuer:
    """Set the issuer; raises Conflict `issuer_exists` where there is one: delete that one first."""
    if store.live(tx) is not None:
        raise Conflict("issuer_exists", "There is an issuer of derived credentials. Delete it before you set another.")
    now = deps.clock.now()
    issuer = CredentialIssuer(random_id(deps.entropy), terms, None, None, now, now, None)
    store.insert(tx, issuer)
    _followed(tx, deps, issuer.id)
    record(tx, deps, "credential_issuer:created", actor=actor, subject=f"issuer:{issuer.id}", url=terms.url)
    return issuer


def update(tx: Transaction, deps: Dependencies, id_: UUID, terms: IssuerTerms, *, actor: str) -> CredentialIssuer:
    """Change everything but the issuer itself; raises Malformed `issuer_stays` for another kind or address."""
    before = get(tx, id_)
    if (before.terms.kind, before.terms.url) != (terms.kind, terms.url):
        raise Malformed("issuer_stays", "The issuer itself cannot be changed. Delete it and set another.")
    if not store.update(tx, id_, terms, deps.clock.now()):
        raise _not_found()
    _followed(tx, deps, id_)
    record(tx, deps, "credential_issuer:changed", actor=actor, subject=f"issuer:{id_}")
    return get(tx, id_)


def delete(tx: Transaction, deps: Dependencies, id_: UUID, *, actor: str) -> None:
    """Send nobody to this issuer any more. It keeps being asked to end credentials of devices it was told about."""
    if not store.end(tx, id_, deps.clock.now()):
        raise _not_found()
    desired_state.changed(tx)
    record(tx, deps, "credential_issuer:deleted", actor=actor, subject=f"issuer:{id_}")


def get(tx: Transaction, id_: UUID) -> CredentialIssuer:
    """Return the issuer; raises NotFound, also for one that was deleted."""
    issuer = store.find(tx, id_)
    if issuer is None or issuer.ended_at is not None:
        raise _not_found()
    return issuer


def live(tx: Transaction) -> CredentialIssuer | None:
    """Return the issuer, if one is set."""
    return store.live(tx)


def _followed(tx: Transaction, deps: Dependencies, id_: UUID) -> None:
    desired_state.changed(tx)
    payload: dict[str, jobs.JSONValue] = {"issuer": str(id_)}
    jobs.enqueue(tx, deps.clock, deps.entropy, DESCRIBE_JOB, payload, key=f"{DESCRIBE_JOB}:{id_}")


def _not_found() -> NotFound:
    return NotFound("issuer_not_found", "There is no such issuer of derived credentials.")
