# SPDX-License-Identifier: Apache-2.0
"""What the endpoint manager deals in: enrollment profiles and sessions, devices, commands, notifications."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.kernel.errors import Conflict, Malformed

SESSION_LIFETIME: Final = timedelta(minutes=15)
ASSERTION_LIFETIME: Final = timedelta(minutes=10)
"""How long an enrollment assertion starts a device authorization (docs/protocols/sign-in.md)."""

LONGEST_NAME: Final = 200
LONGEST_DEVICE_FACT: Final = 100
LONGEST_DETAIL: Final = 500


class Purpose(enum.StrEnum):
    """What a certificate of a derived credential is for."""

    AUTHENTICATION = "authentication"
    SIGNATURE = "signature"
    ENCRYPTION = "encryption"


class SessionState(enum.StrEnum):
    """Where an enrollment stands."""

    OPEN = "open"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class DeviceState(enum.StrEnum):
    """Where a device stands."""

    ENROLLING = "enrolling"
    MANAGED = "managed"
    RETIRING = "retiring"
    WIPING = "wiping"
    RETIRED = "retired"
    WIPED = "wiped"


DEVICE_MOVES: Final[Mapping[DeviceState, frozenset[DeviceState]]] = {
    DeviceState.ENROLLING: frozenset({DeviceState.MANAGED, DeviceState.RETIRED}),
    DeviceState.MANAGED: frozenset({DeviceState.RETIRING, DeviceState.WIPING}),
    DeviceState.RETIRING: frozenset({DeviceState.RETIRED, DeviceState.WIPING}),
    DeviceState.WIPING: frozenset({DeviceState.WIPED}),
    DeviceState.RETIRED: frozenset(),
    DeviceState.WIPED: frozenset(),
}
"""The moves a device may make."""

CHECKS_IN: Final = frozenset({DeviceState.MANAGED, DeviceState.RETIRING, DeviceState.WIPING})
"""The states whose device identity is taken at check-in; the last two hear of nothing but their command."""


class CommandType(enum.StrEnum):
    """What a device is told to do."""

    RETIRE = "retire"
    WIPE = "wipe"
    REMOVE_CREDENTIAL = "removeCredential"


class CommandState(enum.StrEnum):
    """Where a command stands."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OVERTAKEN = "overtaken"
    """A later command made it pointless: a wipe overtakes a retire."""


class ResultState(enum.StrEnum):
    """How a device fares with a configuration profile."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PENDING = "pending"
    NOT_APPLICABLE = "notApplicable"


class InvalidationReason(enum.StrEnum):
    """Why an issuer is asked to end credentials (names of RFC 5280 §5.3.1)."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a phone says of itself; claims, never proofs."""

    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""
    os_version: str = ""
    security_patch: str = ""

    def __post_init__(self) -> None:
        for value in (self.manufacturer, self.model, self.serial_number, self.os_version, self.security_patch):
            if len(value) > LONGEST_DEVICE_FACT or not value.isprintable():
                raise Malformed("malformed_device", "A device's names are at most 100 printable characters.")


@dataclass(frozen=True, slots=True)
class EnrollmentSession:
    """One phone on its way in. `device` and `key_sha256` are set once it was completed."""

    id: UUID
    profile: UUID | None
    profile_name: str
    facts: DeviceFacts
    state: SessionState
    secret_digest: bytes
    created_at: datetime
    expires_at: datetime
    person: UUID | None = None
    device: UUID | None = None
    key_sha256: bytes | None = None
    planned_certificate: UUID | None = None


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """The certificate by which a device is known."""

    certificate: UUID
    thumbprint: bytes
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Device:
    """A phone under management; `person` is its one user."""

    id: UUID
    person: UUID
    profile: UUID | None
    profile_name: str
    name: str
    facts: DeviceFacts
    state: DeviceState
    identity: DeviceIdentity | None
    enrolled_at: datetime
    last_check_in_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Command:
    """What a device was told to do and how it went. `credential` is a SHA-256 thumbprint."""

    id: UUID
    device: UUID
    type: CommandType
    state: CommandState
    credential: bytes | None
    detail: str
    requested_by: str
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeviceNotification:
    """A message for the person on the phone; `version` is the desired state that brought it."""

    id: UUID
    device: UUID
    title: str
    body: str
    action: str
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """How a device fares with one version of a configuration profile."""

    policy: UUID
    version: int
    state: ResultState
    detail: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.version < 2**31 or len(self.detail) > LONGEST_DETAIL or not is_text(self.detail):
            raise Malformed("malformed_result", "A result has a version and a detail of at most 500 characters.")


@dataclass(frozen=True, slots=True)
class ReportedResult:
    """What a device reported of a profile, and when."""

    device: UUID
    result: PolicyResult
    reported_at: datetime


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command went on the device."""

    command: UUID
    state: CommandState
    detail: str = ""

    def __post_init__(self) -> None:
        allowed = {CommandState.SUCCEEDED, CommandState.FAILED}
        if self.state not in allowed or len(self.detail) > LONGEST_DETAIL or not is_text(self.detail):
            raise Malformed("malformed_result", "A command succeeded or failed; its detail has at most 500 characters.")


@dataclass(frozen=True, slots=True)
class HeldCredential:
    """A certificate of a derived credential that a device says it holds."""

    purpose: Purpose
    thumbprint: bytes
    not_after: datetime

    def __post_init__(self) -> None:
        if len(self.thumbprint) != 32:
            raise Malformed("malformed_credential", "A thumbprint is the SHA-256 of a certificate, in hex.")


def checked_move(present: DeviceState, following: DeviceState) -> None:
    """Return if a device may go from `present` to `following`; raise Conflict otherwise."""
    if following not in DEVICE_MOVES[present]:
        raise Conflict("device_state", f"The device is {present.value}; it cannot become {following.value}.")


def is_text(value: str) -> bool:
    """Say whether `value` has printable characters, blanks and line ends only."""
    return all(character.isprintable() or character in "\n\t" for character in value)
