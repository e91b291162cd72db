# SPDX-License-Identifier: Apache-2.0
"""Self-recovery: a person's own encryption keys as PKCS #12, by a card that was proved (KRP 4.2, no second person).

Whose session it is, and how fresh the card, is judged by the caller. A legal hold keeps nothing from the owner.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final
from uuid import UUID

from etymon.escrow import delivery, history, owner_notice, recovered_key
from etymon.escrow.dependencies import Dependencies
from etymon.escrow.model import WrappedKey
from etymon.escrow.recovery_model import RecoveredKey
from etymon.kernel.secret import Secret
from etymon.storage.database import Transaction

REASON: Final = "recovered by the owner with the smart card"
HOW: Final = "handed out as a file at a card session"


def release(
    tx: Transaction,
    deps: Dependencies,
    key_ids: Sequence[UUID],
    *,
    owner: UUID,
    card_proof: UUID,
    actor: str,
    source: str,
) -> tuple[WrappedKey, ...]:
    """Put the release of a person's own keys on record in the caller's transaction and tell the person, all or none.

    Raises as `history.release` does. Whoever is refused calls `history.refused` when the transaction is over.
    """
    person, own = history.owned(tx, deps, key_ids, owner)
    released = tuple(
        delivery.release_to_cardholder(tx, deps, key.id, card_proof, reason=REASON, actor=actor, source=source)
        for key in own
    )
    owner_notice.released(tx, deps, person, own, REASON, HOW)
    return released


def packed(
    deps: Dependencies, released: Sequence[WrappedKey], password: Secret[str], *, actor: str, source: str
) -> tuple[RecoveredKey, ...]:
    """Return what was released as PKCS #12 under the password, outside transactions, but for what does not open.

    Raises as `history.those_that_open` does.
    """
    packing = partial(recovered_key.packed, deps, under=Secret(password.reveal().encode("ascii")))
    return history.those_that_open(deps, released, packing, reason=REASON, actor=actor, source=source)
