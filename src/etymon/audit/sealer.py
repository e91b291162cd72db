# SPDX-License-Identifier: Apache-2.0
"""Chaining what was recorded, and signing how far the chain goes.

Writers never wait for each other: the order of events is fixed afterwards, by whichever sealer commits first. The
signature is made outside the transactions, since the key may live in a network HSM.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import IntegrityError

from etymon.audit import chain, store
from etymon.audit.errors import NotSealed, TrailDamaged
from etymon.audit.model import ChainHead, Checkpoint
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy, random_id
from etymon.pki.certificate import spki_sha256
from etymon.pki.signer import Signer, checked_signature
from etymon.storage.database import Database, Transaction

SEAL_LIMIT: Final = timedelta(seconds=60)
"""An event that waits longer for its checkpoint stops what must not go on without an audit trail."""

BATCH: Final = 500
"""Events chained in one transaction."""


def seal(database: Database, clock: Clock, entropy: Entropy, signer: Signer) -> int:
    """Chain all waiting events and sign the new end of the chain; return how many this call chained.

    Any number of sealers may run: the places in the chain are unique, and who comes second leaves the work to the
    first. `TrailDamaged` when the chain no longer is what was signed last.
    """
    total = 0
    while True:
        chained = _chain(database)
        _sign(database, clock, entropy, signer)
        total += chained
        if chained < BATCH:
            return total


def require_live(tx: Transaction, clock: Clock) -> None:
    """Raise `NotSealed` when an event has waited more than a minute for its checkpoint (CP 5.4.4)."""
    oldest = store.oldest_pending(tx)
    if oldest is not None and clock.now() - oldest > SEAL_LIMIT:
        raise NotSealed(detail="The audit trail is not being sealed. Start the worker and try again.")


def _chain(database: Database) -> int:
    try:
        with database.transaction() as tx:
            head = _intact_head(tx, store.last_checkpoint(tx))
            added = []
            for recorded in store.unchained(tx, limit=BATCH):
                head = ChainHead(head.sequence + 1, chain.event_digest(head, recorded))
                added.append((head.sequence, recorded.id, head.digest))
            if added:
                store.add_seals(tx, added)
    except IntegrityError:
        return 0  # another sealer took these places and events
    except (ValueError, TypeError) as exc:
        raise TrailDamaged(
            detail="An event that waits to be sealed cannot be read. Verify the audit trail before anything else."
        ) from exc
    return len(added)


def _sign(database: Database, clock: Clock, entropy: Entropy, signer: Signer) -> None:
    with database.snapshot() as tx:
        last = store.last_checkpoint(tx)
        head = _intact_head(tx, last)
    covered = 0 if last is None else last.sequence
    if head.sequence == covered:
        return
    unsigned = Checkpoint(
        number=1 if last is None else last.number + 1,
        id=random_id(entropy),
        sequence=head.sequence,
        digest=head.digest,
        previous=chain.START.digest if last is None else chain.checkpoint_digest(last),
        signed_at=clock.now(),
        key_id=spki_sha256(signer.public_key),
        signature=b"",
    )
    signature = checked_signature(signer, chain.checkpoint_tbs(unsigned))
    try:
        with database.transaction() as tx:
            store.add_checkpoint(tx, replace(unsigned, signature=signature), after=covered)
    except IntegrityError:
        return  # another sealer signed meanwhile; its checkpoint covers at least as much, or the next one will


def _intact_head(tx: Transaction, last: Checkpoint | None) -> ChainHead:
    head = store.head(tx)
    if last is not None and store.digest_at(tx, last.sequence) != last.digest:
        raise TrailDamaged(
            detail="The audit trail does not end where it was signed. Verify it before anything else.",
            signed_sequence=last.sequence,
            found_sequence=head.sequence,
        )
    return head
