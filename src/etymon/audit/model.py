# SPDX-License-Identifier: Apache-2.0
"""Audit events as values: who did what to whom, when, from where, and how it ended."""

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias
from uuid import UUID

Fact: TypeAlias = str | int | float | bool | None

NAME: Final = re.compile(r"[a-z][a-z0-9_]*(:[a-z][a-z0-9_]*){2}")
NAME_LIMIT: Final = 120
PARTY_LIMIT: Final = 300
"""Longest name of an event, and of an actor, subject or source, in characters."""
FACTS_LIMIT: Final = 64

FACT_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
SECRET_WORDS: Final = frozenset(
    {
        "authorization", "bearer", "challenge", "cookie", "otp", "passcode", "passphrase", "password", "pin", "puk",
        "secret", "secrets", "token", "tokens",
    }
)  # fmt: skip
"""A fact whose name has one of these words would carry what nobody may read back."""
SECRET_NAMES: Final = frozenset(
    {
        "authorization_code", "binding_code", "device_code", "one_time_code", "private_key", "session_key", "user_code",
    }
)  # fmt: skip
PRIVATE_KEY_MARK: Final = "PRIVATE KEY-----"


class Outcome(enum.Enum):
    """How the act ended."""

    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One act, named `context:subject:verb`, the verb in the past.

    `actor` and `subject` name people and objects by stable ids; `source` says where the act came from: an address, a
    worker, a machine by name, or nothing for the site itself. `facts` hold scalars, nothing secret and no more of a
    person than the act needs.
    """

    name: str
    actor: str
    subject: str
    outcome: Outcome = Outcome.SUCCESS
    facts: Mapping[str, Fact] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        if len(self.name) > NAME_LIMIT or not NAME.fullmatch(self.name):
            message = f"an audit event is named context:subject:verb, not {self.name!r}"
            raise ValueError(message)
        for party in (self.actor, self.subject, self.source):
            if len(party) > PARTY_LIMIT or not party.isprintable():
                message = f"{self.name}: actor, subject and source are short printable names"
                raise ValueError(message)
        if not self.actor or not self.subject:
            message = f"{self.name}: actor and subject are named"
            raise ValueError(message)
        if len(self.facts) > FACTS_LIMIT:
            message = f"{self.name}: at most {FACTS_LIMIT} facts"
            raise ValueError(message)
        for name, value in self.facts.items():
            _check_fact(self.name, name, value)
        object.__setattr__(self, "facts", MappingProxyType(dict(self.facts)))


def _check_fact(event: str, name: str, value: object) -> None:
    if not FACT_NAME.fullmatch(name):
        message = f"{event}: facts are named in snake_case, not {name!r}"
        raise ValueError(message)
    if name in SECRET_NAMES or SECRET_WORDS.intersection(name.split("_")):
        message = f"{event}: the fact {name!r} is named like a secret; record an id or a digest under another name"
        raise ValueError(message)
    if not (value is None or isinstance(value, str | int | float)):  # a Secret is none of these
        message = f"{event}: the fact {name!r} is not a scalar"
        raise TypeError(message)
    if isinstance(value, float) and not math.isfinite(value):
        message = f"{event}: the fact {name!r} is not a number"
        raise ValueError(message)
    if isinstance(value, str) and PRIVATE_KEY_MARK in value:
        message = f"{event}: the fact {name!r} is a private key"
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as it was saved."""

    id: UUID
    recorded_at: datetime
    event: AuditEvent


@dataclass(frozen=True, slots=True)
class SealedEvent:
    """A place in the chain: the digest that was computed for it and what is saved there; None if that is gone."""

    sequence: int
    digest: bytes
    recorded: RecordedEvent | None


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The end of the chain: how many events it has and the digest of the last."""

    sequence: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement that the chain had `sequence` events and ended in `digest` at `signed_at`.

    `number` counts checkpoints from 1; `previous` is the digest of the checkpoint before (32 zero bytes for the
    first); `key_id` is the SHA-256 of the signing key's SubjectPublicKeyInfo.
    """

    number: int
    id: UUID
    sequence: int
    digest: bytes
    previous: bytes
    signed_at: datetime
    key_id: bytes
    signature: bytes
