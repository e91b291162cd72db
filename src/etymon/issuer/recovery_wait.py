# SPDX-License-Identifier: Apache-2.0
"""How long a card stands for a person, and mail addresses stay the same, before the person's own old keys come out.

Whoever binds cards or changes addresses could otherwise be asking. They are told of by mail, and a week has a working
day on which it is read. It holds on both ways out of escrow: a card session, and a phone that a card session confirmed.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.directory import addresses, bindings
from etymon.directory.model import HARMLESS_ENDS
from etymon.issuer import errors
from etymon.issuer.store import card_sessions
from etymon.kernel.clock import Clock
from etymon.storage.database import Transaction

WAIT: Final = timedelta(days=7)


def over_at(tx: Transaction, proof: UUID, person: UUID) -> datetime:
    """Return the second from which on the wait of who proved a card is over; raises `card_not_bound`."""
    return _since(tx, proof, person).replace(microsecond=0) + WAIT + timedelta(seconds=1)


def require_over(tx: Transaction, clock: Clock, proof: UUID, person: UUID, *, again: bool = False) -> None:
    """Raise `recovery_too_early` while the person waits, and `card_not_bound`.

    What is asked for `again`, in the same words, was let out before: what changed since makes nobody wait anew.
    """
    since = _since(tx, proof, person)
    if not again and clock.now() < since + WAIT:
        raise errors.recovery_too_early(since, WAIT)


def _since(tx: Transaction, proof: UUID, person: UUID) -> datetime:
    """Return when the card of the proof was bound, or the addresses changed, whichever was later.

    A card that was ended still stands for what it made, unless it never stood for the whole wait, or was in other hands
    and had not stood so long when it made it: then somebody may have objected.
    """
    shown = card_sessions.find_proof(tx, proof)
    binding = bindings.last_of(tx, shown.trust_entry, shown.identifier, person) if shown else None
    if shown is None or binding is None:
        raise errors.card_not_bound()
    stood_at = binding.bound_at + WAIT
    if binding.ended_at is not None and (
        binding.ended_at < stood_at or (binding.end_reason not in HARMLESS_ENDS and shown.proved_at < stood_at)
    ):
        raise errors.card_not_bound()
    return max(binding.bound_at, addresses.changed_at(tx, person) or binding.bound_at)
