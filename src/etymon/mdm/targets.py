# SPDX-License-Identifier: Apache-2.0
"""Whom a configuration profile is assigned to. An exclusion wins over every inclusion."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from etymon.kernel.errors import Malformed


class TargetKind(StrEnum):
    """The kinds of targets. A fully managed phone has one user: all users and all devices reach the same phones."""

    GROUP = "group"
    EXCLUDED_GROUP = "excludedGroup"
    ALL_USERS = "allUsers"
    ALL_DEVICES = "allDevices"


@dataclass(frozen=True, slots=True)
class Target:
    """One line of an assignment."""

    kind: TargetKind
    group: UUID | None = None

    def __post_init__(self) -> None:
        if (self.group is not None) != (self.kind in {TargetKind.GROUP, TargetKind.EXCLUDED_GROUP}):
            raise Malformed("malformed_target", "A target names a group exactly when it is a group.")


@dataclass(frozen=True, slots=True)
class Assignment:
    """A target of one profile, under its own id."""

    id: UUID
    profile: UUID
    target: Target


def reaches(targets: Iterable[Target], groups: AbstractSet[UUID]) -> bool:
    """Say whether a device whose user is in `groups` gets what has these targets."""
    included = False
    for target in targets:
        match target.kind:
            case TargetKind.EXCLUDED_GROUP:
                if target.group in groups:
                    return False
            case TargetKind.GROUP:
                included = included or target.group in groups
            case TargetKind.ALL_USERS | TargetKind.ALL_DEVICES:
                included = True
    return included
