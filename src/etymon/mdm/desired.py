# SPDX-License-Identifier: Apache-2.0
"""What a device should be like, as a value: policies, the derived credential it needs, and whether that is new."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from etymon.mdm.model import Command, DeviceNotification, DeviceState, HeldCredential, Purpose
from etymon.mdm.settings import ConfigurationProfile, purposes_of

DesiredDocument: TypeAlias = "dict[str, object]"


@dataclass(frozen=True, slots=True)
class IssuerDirections:
    """Where a person gets the derived credential."""

    issuer: UUID
    name: str
    self_service: str
    instructions: str


@dataclass(frozen=True, slots=True)
class PolicyReference:
    """One version of a configuration profile."""

    policy: UUID
    version: int


@dataclass(frozen=True, slots=True)
class Desired:
    """What a device should be like. Two that are equal need no new version."""

    policies: tuple[PolicyReference, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    directions: IssuerDirections | None = None
    mail_address: str = ""
    user_principal_name: str = ""
    rekeys: tuple[bytes, ...] = ()
    """Thumbprints of certificates the device holds that are to be rekeyed."""

    def to_document(self) -> DesiredDocument:
        """Return the value as JSON values."""
        where = self.directions
        return {
            "policies": [[str(one.policy), one.version] for one in self.policies],
            "purposes": [purpose.value for purpose in self.purposes],
            "issuer": [str(where.issuer), where.name, where.self_service, where.instructions] if where else None,
            "mail": self.mail_address,
            "upn": self.user_principal_name,
            "rekeys": [thumbprint.hex() for thumbprint in self.rekeys],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> "Desired":
        """Return the value that `to_document` wrote; nothing for an empty document."""
        match document:
            case {
                "policies": list(policies),
                "purposes": list(purposes),
                "issuer": issuer,
                "mail": str(mail),
                "upn": str(upn),
            }:
                directions = None
                if isinstance(issuer, list):
                    id_, name, self_service, instructions = issuer
                    directions = IssuerDirections(UUID(id_), name, self_service, instructions)
                return cls(
                    tuple(PolicyReference(UUID(policy), version) for policy, version in policies),
                    tuple(map(Purpose, purposes)),
                    directions,
                    mail,
                    upn,
                    _thumbprints(document.get("rekeys")),
                )
            case _:
                return cls()


def _thumbprints(listed: object) -> tuple[bytes, ...]:
    """Return what `rekeys` lists; documents of the version before have none."""
    return tuple(map(bytes.fromhex, listed)) if isinstance(listed, list) else ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What one indexed read tells of a device that checks in.

    `change` is the organisation's present change; the device's state was worked out after `computed_change`.
    """

    device: UUID
    person: UUID
    state: DeviceState
    version: int
    computed_change: int
    computed_at: datetime | None
    change: int
    last_check_in_at: datetime | None
    report_digest: bytes | None


@dataclass(frozen=True, slots=True)
class Computed:
    """What was last worked out for a device, and for which issuer its person was told to set up a credential."""

    version: int
    computed_change: int
    desired: Desired
    notified_issuer: UUID | None


@dataclass(frozen=True, slots=True)
class Instructions:
    """What a device is told that knows an older version."""

    version: int
    desired: Desired
    policies: tuple[ConfigurationProfile, ...]
    commands: tuple[Command, ...] = ()
    notifications: tuple[DeviceNotification, ...] = field(default=())


def needed_purposes(profiles: Collection[ConfigurationProfile]) -> tuple[Purpose, ...]:
    """Return which certificates a device needs for its profiles, in the order of the enumeration."""
    needed = frozenset[Purpose]().union(*(purposes_of(profile.settings) for profile in profiles))
    return tuple(purpose for purpose in Purpose if purpose in needed)


def missing_purposes(
    needed: Collection[Purpose], held: Collection[HeldCredential], now: datetime
) -> frozenset[Purpose]:
    """Return which of the needed certificates a device does not hold, or holds only expired."""
    return frozenset(needed) - {one.purpose for one in held if one.not_after > now}
