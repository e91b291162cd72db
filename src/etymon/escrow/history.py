# SPDX-License-Identifier: Apache-2.0
"""Key history: a person's encryption keys, earlier ones too, to a transport key of theirs (KRP 4.2; SP 800-157 App. A).

A key whose certificate has ended or was revoked, for whatever reason, is released like any other: its holder encrypts
nothing to it, and what others encrypted to it before stays theirs to read. A key escrow has destroyed is gone.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeVar
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.audit import sealer
from etymon.directory.model import Person
from etymon.escrow import delivery, owner_notice, store
from etymon.escrow.dependencies import Dependencies
from etymon.escrow.errors import key_unknown, key_unusable
from etymon.escrow.model import EscrowedKey, WrappedKey, check_reason
from etymon.kernel.errors import EtymonError, Unavailable
from etymon.storage.database import Transaction

T = TypeVar("T")

LIMIT: Final = 20
"""How many keys a history has (SP 800-73-5 part 1 §3.3.3: as many retired keys as a card holds)."""


def listed(tx: Transaction, owner: UUID, *, but: Collection[UUID] = ()) -> tuple[EscrowedKey, ...]:
    """Return the certified keys of a person that can be released but those in `but`, newest first, at most `LIMIT`."""
    found = [key for key in store.of_person(tx, owner) if key.certificate is not None and key.id not in but]
    return tuple(found[:LIMIT])


def release(
    tx: Transaction,
    deps: Dependencies,
    key_ids: Sequence[UUID],
    transport_key: rsa.RSAPublicKey,
    *,
    owner: UUID,
    reason: str,
    actor: str,
    source: str,
) -> tuple[WrappedKey, ...]:
    """Put the release of a person's own keys on record in the caller's transaction and tell the person, all or none.

    `NotFound` `escrowed_key_unknown` for a key that is not `owner`'s or has no certificate, `Conflict` for one that is
    destroyed or an owner who cannot be told, `Malformed` for a transport key that is too weak, `Unavailable` when the
    audit trail stands still. Whoever is refused calls `refused` when the transaction is over.
    """
    check_reason(reason)
    person, own = owned(tx, deps, key_ids, owner)
    released = tuple(
        delivery.release(tx, deps, key, transport_key, reason=reason, actor=actor, source=source) for key in own
    )
    owner_notice.released(tx, deps, person, own, reason)
    return released


def owned(
    tx: Transaction, deps: Dependencies, key_ids: Sequence[UUID], owner: UUID
) -> tuple[Person, tuple[EscrowedKey, ...]]:
    """Return a person who can be told, and keys that are all theirs and certified; raises as `release` does."""
    sealer.require_live(tx, deps.clock)
    person = owner_notice.owner_to_tell(tx, owner)
    found = tuple(store.known_key(tx, key_id) for key_id in key_ids)
    if any(key.person_id != owner or key.certificate is None for key in found):
        raise key_unknown()
    return person, found


def opened(
    deps: Dependencies,
    released: Sequence[WrappedKey],
    transport_key: rsa.RSAPublicKey,
    *,
    reason: str,
    actor: str,
    source: str,
) -> tuple[tuple[EscrowedKey, bytes], ...]:
    """Return what was released in CMS for the transport key, outside transactions; raises as `those_that_open`."""
    return those_that_open(
        deps,
        released,
        lambda wrapped: (wrapped.key, delivery.opened(deps, wrapped, transport_key)),
        reason=reason,
        actor=actor,
        source=source,
    )


def those_that_open(
    deps: Dependencies,
    released: Sequence[WrappedKey],
    opening: Callable[[WrappedKey], T],
    *,
    reason: str,
    actor: str,
    source: str,
) -> tuple[T, ...]:
    """Return what `opening` makes of each released key, outside transactions.

    A key that does not open is left out, recorded and told, so that it does not keep the others from their owner;
    `Unavailable` while what opens them does not answer.
    """
    found: list[T] = []
    for wrapped in released:
        try:
            found.append(opening(wrapped))
        except Unavailable as refusal:
            if refusal.code != key_unusable().code:
                raise
            refused(deps, [wrapped.key.id], refusal, reason=reason, actor=actor, source=source)
    return tuple(found)


def refused(
    deps: Dependencies,
    key_ids: Sequence[UUID],
    refusal: EtymonError,
    *,
    reason: str,
    actor: str,
    source: str,
    asking: UUID | None = None,
) -> None:
    """Record, in a transaction of its own, that keys were asked for and not delivered, and tell as `owner_notice`."""
    with deps.database.transaction() as tx:
        owner_notice.refused(tx, deps, key_ids, refusal, reason=reason, actor=actor, source=source, asking=asking)
