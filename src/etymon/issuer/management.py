# SPDX-License-Identifier: Apache-2.0
"""What endpoint managers see and end, each on the devices it manages (docs/protocols/management.md)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.ca import authorities
from etymon.ca.model import Authority
from etymon.issuer import invalidation, revoked_authorities
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import Credential, CredentialState, DerivationState, EndReason
from etymon.issuer.store import clients, credentials, derivations
from etymon.issuer.store.clients import Client, Invalidation
from etymon.kernel.errors import Conflict, NotFound
from etymon.storage.database import Transaction

PAGE_SIZE: Final = 100
OTHER: Final = EndReason.UNSPECIFIED
LONGEST_COMMENT: Final = 500


@dataclass(frozen=True, slots=True)
class Order:
    """What a client wants ended: exactly one of a credential, a device's thumbprint and a person."""

    reason: EndReason
    comment: str
    credential: UUID | None = None
    device: bytes | None = None
    person: UUID | None = None

    @property
    def digest(self) -> bytes:
        """What tells two orders under one id apart."""
        named = [str(self.credential), self.device.hex() if self.device else None, str(self.person)]
        return hashlib.sha256(json.dumps([self.reason.value, self.comment, *named]).encode()).digest()


def page(
    deps: Dependencies, client: Client, *, device: bytes | None, person: UUID | None, after: UUID | None
) -> tuple[tuple[Credential, ...], Mapping[UUID, Authority], UUID | None]:
    """Return credentials of a device or a person on the client's devices, and where the next page begins.

    Between the two: which of them a revoked authority certified.
    """
    with deps.database.snapshot() as tx:
        found = credentials.page(
            tx,
            trust_entries=client.device_trust_entries,
            device=device,
            person=person,
            after=after,
            limit=PAGE_SIZE + 1,
        )
        shown = found[:PAGE_SIZE]
        revoked = revoked_authorities.of_credentials(tx, shown)
    return shown, revoked, shown[-1].id if len(found) > PAGE_SIZE else None


def reason_of_revoked(authority: Authority) -> EndReason:
    """Return why what a revoked authority certified is over, as far as a credential's end knows the reason."""
    return next((known for known, value in invalidation.REVOCATION.items() if value is authority.reason), OTHER)


def due_for_rekey(
    deps: Dependencies, client: Client, *, after: tuple[datetime, UUID]
) -> tuple[tuple[Credential, ...], tuple[datetime, UUID] | None]:
    """Return credentials in force on the client's devices that are to be rekeyed, and where the next page begins.

    What a revoked authority certified is left out: nobody rekeys with it.
    The order is that in which they became due, so that whoever asks again sees what came since.
    """
    with deps.database.snapshot() as tx:
        found = credentials.due_for_rekey(
            tx,
            trust_entries=client.device_trust_entries,
            now=deps.clock.now(),
            after=after,
            limit=PAGE_SIZE + 1,
            but_of=authorities.not_relied_on(tx),
        )
    shown = found[:PAGE_SIZE]
    last = shown[-1] if len(found) > PAGE_SIZE else None
    return shown, (last.rekey_from, last.id) if last is not None and last.rekey_from is not None else None


def invalidate(deps: Dependencies, client: Client, invalidation_id: UUID, order: Order, *, source: str) -> Invalidation:
    """End what `order` names on the client's devices, and everything that would still lead to a credential there.

    The same id with the same order gets the same answer; with another one `Conflict`. `NotFound` for a credential
    that is none of the client's; a device or person without credentials ends nothing. The person is told.
    """
    with deps.database.transaction() as tx:
        claimed = Invalidation(
            client=client.id,
            id=invalidation_id,
            request_digest=order.digest,
            reason=order.reason,
            comment=order.comment,
            credentials=(),
            done_at=deps.clock.now(),
        )
        if clients.add_invalidation(tx, claimed):
            ended = tuple(credential.id for credential in _end(tx, deps, client, order, source))
            clients.set_ended(tx, claimed, ended)
            record(
                tx,
                deps,
                "invalidation:done",
                actor=f"client:{client.id}",
                subject=invalidation_id,
                source=source,
                reason=order.reason.value,
                credentials=len(ended),
            )
            return replace(claimed, credentials=ended)
        known = clients.find_invalidation(tx, client.id, invalidation_id)
    if known is None or known.request_digest != order.digest:
        raise Conflict("invalidation_id_used", "This id was used for another invalidation. Choose a fresh UUID.")
    return known


def _end(tx: Transaction, deps: Dependencies, client: Client, order: Order, source: str) -> tuple[Credential, ...]:
    actor = f"client:{client.id}"
    if order.credential is not None:
        return _end_one(tx, deps, client, order, source)
    found = derivations.lock_on(tx, client.device_trust_entries, device=order.device, person=order.person)
    return tuple(
        credential
        for derivation in found
        for credential in invalidation.end_derivation(tx, deps, derivation, order.reason, actor=actor, source=source)
    )


def _end_one(tx: Transaction, deps: Dependencies, client: Client, order: Order, source: str) -> tuple[Credential, ...]:
    credential = credentials.find(tx, order.credential) if order.credential else None
    if credential is None or credential.device_trust_entry not in client.device_trust_entries:
        raise NotFound("credential_unknown", "There is no such credential on the devices of this client.")
    derivation = derivations.lock(tx, credential.derivation)
    siblings = credentials.of_derivation(tx, credential.derivation)
    # with what replaced it, and what it replaced: whoever holds one of them holds the next (Common Policy 4.9.1)
    mine = [each for each in siblings if each.purpose is credential.purpose]
    others = [other for other in siblings if other not in mine and other.state is not CredentialState.ENDED]
    actor, reason = f"client:{client.id}", order.reason
    if derivation is not None and derivation.state is DerivationState.COMPLETED and not others:
        return invalidation.end_derivation(tx, deps, derivation, reason, actor=actor, source=source)
    ended = invalidation.end_credentials(tx, deps, mine, reason, actor=actor, source=source)
    if ended and derivation is not None:
        invalidation.tell(tx, deps, derivation, reason)
    return ended
