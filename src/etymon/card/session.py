# SPDX-License-Identifier: Apache-2.0
"""A card under power: its lasting state, and the security statuses that a reset forgets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from etymon.card.state import CardState
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import EtymonError
from etymon.wire.apdu import StatusWord


class CommandRefused(Exception):
    """The card answers a command with a status word and no data."""

    def __init__(self, status_word: int) -> None:
        self.status_word = status_word
        super().__init__(f"{status_word:04X}")


class ChallengeKind(Enum):
    """What the host has to answer for the card management key."""

    CHALLENGE = "challenge"
    """Return it encrypted."""
    WITNESS = "witness"
    """It went out encrypted: return it decrypted."""


@dataclass(frozen=True, slots=True)
class PendingChallenge:
    """A random block that waits for its answer; it is good for the very next command."""

    kind: ChallengeKind
    value: bytes = field(repr=False)


@dataclass(slots=True)
class CardSession:
    """Holds the state and persists each change before it counts."""

    state: CardState
    persist: Callable[[CardState], None]
    entropy: Entropy
    pin_verified: bool = False
    pin_just_verified: bool = False
    """Whether VERIFY was the last command: the condition PIN Always of the signature key."""
    management_authenticated: bool = False
    pending_challenge: PendingChallenge | None = None

    def commit(self, state: CardState) -> None:
        """Make a changed state lasting, then current. When it cannot be stored, nothing has changed."""
        try:
            self.persist(state)
        except (OSError, EtymonError) as exc:
            raise CommandRefused(StatusWord.MEMORY_FAILURE) from exc
        self.state = state

    def forget(self) -> None:
        """Drop every security status, as power off and reset do (SP 800-73-5 part 1 §2.4)."""
        self.pin_verified = False
        self.pin_just_verified = False
        self.management_authenticated = False
        self.pending_challenge = None

    def require_management(self) -> None:
        """Refuse unless the card management key has been shown."""
        if not self.management_authenticated:
            raise CommandRefused(StatusWord.SECURITY_STATUS_NOT_SATISFIED)
