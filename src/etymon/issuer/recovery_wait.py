# SPDX-License-Identifier: Apache-2.0
"""How long a card stands for a person, and mail addresses stay the same, before the person's own old keys come out.

Whoever binds cards or changes addresses could otherwise be asking. They are told of by mail, and a week has a working
day on which it is read. It holds on both ways out of escrow: a card session, and a phone that a card session confirmed.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.directory import addresses, bindings
from etymon.issuer import errors
from etymon.issuer.store import card_sessions
from etymon.kernel.clock import Clock
from etymon.storage.database import Transaction

WAIT: Final = timedelta(days=7)


def over_at(tx: Transaction, proof: UUID, person: UUID) -> datetime:
    """Return the second from which on the wait of who proved a card is over; raises `card_not_bound`."""
    return _since(tx, proof, person).replace(microsecond=0) + WAIT + timedelta(seconds=1)


def require_over(tx: Transaction, clock: Clock, proof: UUID, person: UUID) -> None:
    """Raise `recovery_too_early` while the person waits, and `card_not_bound`."""
    since = _since(tx, proof, person)
    if clock.now() < since + WAIT:
        raise errors.recovery_too_early(since, WAIT)


def _since(tx: Transaction, proof: UUID, person: UUID) -> datetime:
    """Return when the card of the proof was bound, or the addresses changed, whichever was later."""
    card = card_sessions.proved_card(tx, proof)
    binding = bindings.last_of(tx, card.trust_entry, card.identifier, person) if card else None
    if binding is None:
        raise errors.card_not_bound()
    return max(binding.bound_at, addresses.changed_at(tx, person) or binding.bound_at)
