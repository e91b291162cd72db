# SPDX-License-Identifier: Apache-2.0
"""Recovering another person's key: one officer asks, another approves, and it is delivered once.

The transport key is named in the request, so that what the second officer approves is also where it goes. The person
is not told (Key Recovery Policy 4.1.2: need not be); every step is on record.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.audit import sealer
from etymon.audit.model import Outcome
from etymon.directory import people, roles
from etymon.directory.model import Role
from etymon.escrow import delivery, store
from etymon.escrow.dependencies import Dependencies, record
from etymon.escrow.errors import (
    key_destroyed,
    not_an_officer,
    own_key,
    recovery_expired,
    recovery_unknown,
    second_officer_needed,
)
from etymon.escrow.model import EscrowState, Recovery, RecoveryState, check_reason
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import EtymonError
from etymon.pki.certificate import spki_sha256
from etymon.storage.database import Transaction

LIFETIME: Final = timedelta(hours=24)
"""Within this a recovery is approved and delivered."""

PAGE_LIMIT: Final = 200


def request(
    tx: Transaction,
    deps: Dependencies,
    key_id: UUID,
    transport_key: rsa.RSAPublicKey,
    *,
    officer: UUID,
    reason: str,
    source: str = "",
) -> Recovery:
    """Return an officer's request for another person's key, which waits for a second officer.

    `NotPermitted` `not_an_officer` or `own_key`; `NotFound`, `Conflict` and `Malformed` as for a release.
    """
    check_reason(reason)
    key = store.known_key(tx, key_id)
    _require_officer(tx, officer, owner=key.person_id)
    if key.state is EscrowState.DESTROYED:
        raise key_destroyed()
    checked = delivery.check_transport_key(transport_key, carries_bits=key.public_key.key_size)
    now = deps.clock.now()
    recovery = Recovery(
        id=random_id(deps.entropy),
        key_id=key_id,
        transport_key=checked,
        reason=reason,
        state=RecoveryState.REQUESTED,
        requested_by=officer,
        requested_at=now,
        expires_at=now + LIFETIME,
    )
    store.add_recovery(tx, recovery)
    _record(tx, deps, "requested", recovery, officer=officer, source=source)
    return recovery


def waiting(tx: Transaction, *, after: UUID | None = None, limit: int = 50) -> list[Recovery]:
    """Return what waits for a second officer, oldest first, at most `PAGE_LIMIT`; `after` is the last one seen."""
    return store.open_recoveries(tx, after=after, limit=min(limit, PAGE_LIMIT))


def approve(tx: Transaction, deps: Dependencies, recovery_id: UUID, *, officer: UUID, source: str = "") -> Recovery:
    """Approve a recovery as the second officer; `NotPermitted` `second_officer_needed` for the one who asked."""
    recovery = _live(tx, deps, recovery_id)
    _require_officer(tx, officer, owner=store.known_key(tx, recovery.key_id).person_id)
    if officer == recovery.requested_by:
        raise second_officer_needed()
    store.move_recovery(tx, recovery, RecoveryState.APPROVED, decided_by=officer)
    _record(tx, deps, "approved", recovery, officer=officer, source=source)
    return replace(recovery, state=RecoveryState.APPROVED, decided_by=officer)


def refuse(tx: Transaction, deps: Dependencies, recovery_id: UUID, *, officer: UUID, source: str = "") -> None:
    """End a recovery that is not delivered; any officer may, the one who asked too."""
    recovery = store.recovery(tx, recovery_id)
    _require_officer(tx, officer, owner=store.known_key(tx, recovery.key_id).person_id)
    store.move_recovery(tx, recovery, RecoveryState.REFUSED, decided_by=officer)
    _record(tx, deps, "refused", recovery, officer=officer, source=source)


def deliver(deps: Dependencies, recovery_id: UUID, *, officer: UUID, source: str = "") -> bytes:
    """Return the key of an approved recovery in CMS for its transport key, once, to the officer who asked.

    Runs transactions of its own; a refusal is recorded. Whoever loses the answer asks anew.
    """
    try:
        with deps.database.transaction() as tx:
            sealer.require_live(tx, deps.clock)
            recovery = _live(tx, deps, recovery_id)
            if officer != recovery.requested_by:
                raise recovery_unknown()
            key = store.known_key(tx, recovery.key_id)
            _require_officer(tx, officer, owner=key.person_id)
            store.move_recovery(tx, recovery, RecoveryState.DELIVERED)
            wrapped = delivery.release(
                tx,
                deps,
                key,
                recovery.transport_key,
                reason=recovery.reason,
                actor=f"person:{officer}",
                source=source,
                recovery_id=recovery.id,
            )
        return delivery.opened(deps, wrapped, recovery.transport_key)
    except EtymonError as refusal:
        with deps.database.transaction() as tx:
            record(
                tx,
                deps,
                "recovery:delivery_refused",
                actor=f"person:{officer}",
                subject=f"recovery:{recovery_id}",
                facts={"refusal": refusal.code},
                outcome=Outcome.FAILURE,
                source=source,
            )
        raise


def _live(tx: Transaction, deps: Dependencies, recovery_id: UUID) -> Recovery:
    recovery = store.recovery(tx, recovery_id)
    if deps.clock.now() >= recovery.expires_at:
        raise recovery_expired()
    return recovery


def _require_officer(tx: Transaction, officer: UUID, *, owner: UUID) -> None:
    person = people.find(tx, officer)
    if person is None or not person.active or Role.OFFICER not in roles.roles_of(tx, officer):
        raise not_an_officer()
    if officer == owner:
        raise own_key()


def _record(tx: Transaction, deps: Dependencies, verb: str, recovery: Recovery, *, officer: UUID, source: str) -> None:
    facts = {
        "escrowed_key": str(recovery.key_id),
        "reason": recovery.reason,
        "transport_key_sha256": spki_sha256(recovery.transport_key).hex(),
    }
    actor, subject = f"person:{officer}", f"recovery:{recovery.id}"
    record(tx, deps, f"recovery:{verb}", actor=actor, subject=subject, facts=facts, source=source)
