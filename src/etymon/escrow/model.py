# SPDX-License-Identifier: Apache-2.0
"""Escrowed keys as values and states."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.kernel.errors import Malformed
from etymon.pki.algorithms import KeyType

ESCROWED_TYPES: Final = frozenset({KeyType.RSA2048, KeyType.RSA3072})
"""What mail programs can decrypt with: RSA key transport, and of 2048 bits everywhere."""

RETENTION: Final = timedelta(days=365)
"""How long a key is kept after its certificate ends (KRP 4.1: at least a year)."""

REASON_LIMIT: Final = 200


class EscrowState(enum.Enum):
    """Where a key is in its life."""

    DEPOSITED = "deposited"
    RELEASED = "released"
    DESTROYED = "destroyed"


ALLOWED: Final = {
    EscrowState.DEPOSITED: frozenset({EscrowState.RELEASED, EscrowState.DESTROYED}),
    EscrowState.RELEASED: frozenset({EscrowState.RELEASED, EscrowState.DESTROYED}),
    EscrowState.DESTROYED: frozenset[EscrowState](),
}
"""Moves of a key; it may be released any number of times, each on record."""


@dataclass(frozen=True, slots=True)
class EscrowedKey:
    """A key in escrow, without its private half."""

    id: UUID
    person_id: UUID
    key_type: KeyType
    public_key: rsa.RSAPublicKey
    state: EscrowState
    deposited_at: datetime
    certificate: x509.Certificate | None = None


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A key that was made and wrapped and is not kept yet. What unwraps it must name the same key and person."""

    id: UUID
    person_id: UUID
    key_type: KeyType
    public_key: rsa.RSAPublicKey
    wrapped: bytes
    wrapped_by: str


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The private half of a key as it is kept."""

    key: EscrowedKey
    wrapped: bytes
    wrapped_by: str


def check_reason(reason: str) -> None:
    """Raise `Malformed` unless a reason is given in one short printable line."""
    check_line(reason, "reason")


def check_line(text: str, name: str) -> None:
    """Raise `Malformed` unless `text`, which is called `name`, is one short printable line that is not blank."""
    if not text.strip() or len(text) > REASON_LIMIT or not text.isprintable():
        raise Malformed(name, f"Give the {name} in one line of at most {REASON_LIMIT} characters.")
