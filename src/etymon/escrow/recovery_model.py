# SPDX-License-Identifier: Apache-2.0
"""Recoveries of another person's keys, and legal holds, as values and states."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.escrow.model import EscrowedKey, check_line, check_reason
from etymon.kernel.errors import Malformed


class Authority(enum.StrEnum):
    """What entitles a requestor (KRP 4.1.1): the organisation's own policy, or legal process from outside."""

    POLICY = "policy"
    LEGAL_PROCESS = "legalProcess"


class Notice(enum.StrEnum):
    """Whether the person is told (KRP 4.1.2: need not be)."""

    TOLD = "told"
    WITHHELD = "withheld"


class Choice(enum.StrEnum):
    """Which of a person's keys are asked for, unless they are named: all, or the newest."""

    ALL = "all"
    CURRENT = "current"


class RecoveryState(enum.Enum):
    """Where a recovery is."""

    REQUESTED = "requested"
    HALF_APPROVED = "half_approved"
    APPROVED = "approved"
    DELIVERED = "delivered"
    REFUSED = "refused"
    EXPIRED = "expired"
    FAILED = "failed"


_ENDS: Final = frozenset({RecoveryState.REFUSED, RecoveryState.EXPIRED, RecoveryState.FAILED})

RECOVERY_ALLOWED: Final[Mapping[RecoveryState, frozenset[RecoveryState]]] = {
    RecoveryState.REQUESTED: _ENDS | {RecoveryState.HALF_APPROVED},
    RecoveryState.HALF_APPROVED: _ENDS | {RecoveryState.APPROVED},
    RecoveryState.APPROVED: _ENDS | {RecoveryState.DELIVERED},
    RecoveryState.DELIVERED: frozenset(),
    RecoveryState.REFUSED: frozenset(),
    RecoveryState.EXPIRED: frozenset(),
    RecoveryState.FAILED: frozenset(),
}
"""Moves of a recovery. It is delivered when its keys have opened; one that cannot be delivered any more has failed."""

WAITING: Final = frozenset({RecoveryState.REQUESTED, RecoveryState.HALF_APPROVED, RecoveryState.APPROVED})
UNSUCCESSFUL: Final = frozenset({RecoveryState.REFUSED, RecoveryState.EXPIRED, RecoveryState.FAILED})
"""What has to be analysed for its cause (KRP 5.4)."""


@dataclass(frozen=True, slots=True)
class Order:
    """Whose keys are asked for, who gets them, on what authority and why.

    `document_sha256` is the digest of the written authorisation, which the organisation keeps.
    """

    person: UUID
    requestor: str
    authority: Authority
    reference: str
    reason: str
    document_sha256: bytes | None = None
    notice: Notice = Notice.TOLD

    def __post_init__(self) -> None:
        check_reason(self.reason)
        check_line(self.requestor, "requestor")
        check_line(self.reference, "reference")
        if self.document_sha256 is not None and len(self.document_sha256) != 32:  # FIPS 180-4: 256 bits
            raise Malformed("document", "The digest of a document is a SHA-256 of 32 bytes.")
        if self.notice is Notice.WITHHELD and self.authority is not Authority.LEGAL_PROCESS:
            raise Malformed("notice", "Only legal process keeps the notice from the person whose keys they are.")


@dataclass(frozen=True, slots=True)
class Approval:
    """One agent's, with the digest of the half of the password that this agent was shown."""

    agent: UUID
    approved_at: datetime
    half_digest: bytes


@dataclass(frozen=True, slots=True)
class End:
    """Why a recovery ended without a key, and who ended it; nobody where its time was over or a key did not open."""

    at: datetime
    by: UUID | None
    reason: str


@dataclass(frozen=True, slots=True)
class Cause:
    """What an analysis found of a recovery that was not successful."""

    text: str
    by: UUID
    at: datetime


@dataclass(frozen=True, slots=True)
class Recovery:
    """An official's request for keys of somebody else, which two agents approve (KRP 4.2)."""

    id: UUID
    order: Order
    key_ids: tuple[UUID, ...]
    state: RecoveryState
    requested_by: UUID
    requested_at: datetime
    expires_at: datetime
    first: Approval | None = None
    second: Approval | None = None
    end: End | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class RecoveredKey:
    """A key on its way to who asked: PKCS #12 under a password that two agents have halves of, or the owner has."""

    key: EscrowedKey
    package: bytes


@dataclass(frozen=True, slots=True)
class LegalHold:
    """While it is not lifted, none of a person's escrowed keys is destroyed."""

    id: UUID
    person: UUID
    reference: str
    reason: str
    placed_by: UUID
    placed_at: datetime
    lifted_by: UUID | None = None
    lifted_at: datetime | None = None
    lift_reason: str = ""

    def __post_init__(self) -> None:
        check_line(self.reference, "reference")
        check_reason(self.reason)
