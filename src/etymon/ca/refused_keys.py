# SPDX-License-Identifier: Apache-2.0
"""Keys that are never certified here, because a card that was proved has them. This module has their queries too."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from etymon.ca import store
from etymon.ca.model import RevocationReason
from etymon.ca.tables import refused_keys
from etymon.kernel.errors import Conflict
from etymon.storage.database import Transaction

CARD: Final = "card"

_NOTE: Final[Mapping[str, Insert]] = {
    "sqlite": sqlite.insert(refused_keys).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(refused_keys).on_conflict_do_nothing(),
}
_FIND: Final[sa.Select[Any]] = sa.select(refused_keys.c.reason).where(
    refused_keys.c.spki_sha256 == sa.bindparam("spki_sha256")
)


def note_card(tx: Transaction, spki_sha256: bytes, at: datetime) -> None:
    """Remember the key of a card that was proved; noting it again changes nothing."""
    tx.execute(_NOTE[tx.dialect.name], {"spki_sha256": spki_sha256, "reason": CARD, "noted_at": at})


def require_not_a_cards(tx: Transaction, spki_sha256: bytes) -> None:
    """Raise `Conflict` `key_of_a_card` for the key of a card that was proved here."""
    if tx.scalar(_FIND, {"spki_sha256": spki_sha256}) is not None:
        raise Conflict(
            "key_of_a_card", "This is the key of a card, which no other certificate may have. Make a new key."
        )


def taken(tx: Transaction, spki_sha256: bytes) -> Conflict:
    """Return why a key that has a certificate cannot have another."""
    known = store.find_by_key(tx, spki_sha256)
    if known is not None and known.reason is RevocationReason.KEY_COMPROMISE:
        return Conflict(
            "key_compromised", "This key was revoked as compromised and is refused for ever. Make a new key."
        )
    return Conflict("key_already_certified", "This key has a certificate already. Make a new key and ask again.")
