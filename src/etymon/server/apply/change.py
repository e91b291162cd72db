# SPDX-License-Identifier: Apache-2.0
"""What is done to an organisation, as values: what a person is shown is what is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from etymon.server.apply.resource import (
    GIVEN_BY,
    SEPARATED,
    HeldRole,
    Joined,
    Kind,
    Link,
    Reference,
    Resource,
    Role,
    Value,
    writer,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of a thing that is not as it is wanted."""

    field: str
    before: Value
    after: Value


@dataclass(frozen=True, slots=True)
class Create:
    """Make a thing that is not there."""

    wanted: Resource

    @property
    def subject(self) -> Reference:
        """What is made."""
        return self.wanted.reference


@dataclass(frozen=True, slots=True)
class Update:
    """Change fields of a thing; the others stay as they are."""

    present: Resource
    wanted: Resource
    differences: tuple[Difference, ...]

    @property
    def subject(self) -> Reference:
        """What is changed."""
        return self.wanted.reference


@dataclass(frozen=True, slots=True)
class Replace:
    """End a thing and make it anew, because what differs cannot be changed while it lives. Only with `--prune`."""

    present: Resource
    wanted: Resource
    differences: tuple[Difference, ...]

    @property
    def subject(self) -> Reference:
        """What is made anew."""
        return self.wanted.reference


@dataclass(frozen=True, slots=True)
class Delete:
    """End a thing. Only with `--prune`."""

    present: Resource

    @property
    def subject(self) -> Reference:
        """What is ended."""
        return self.present.reference


@dataclass(frozen=True, slots=True)
class Join:
    """Join a thing to others, or, with `--prune` only, part it from them; `after` is all it is joined to then."""

    subject: Reference
    link: Link
    added: frozenset[Joined] = frozenset()
    removed: frozenset[Joined] = frozenset()
    after: frozenset[Joined] = frozenset()
    keeper: Role | None = None
    """Who does it, where that depends on more than the kind of the thing."""
    authority: str = ""
    """On whose authority roles change."""


@dataclass(frozen=True, slots=True)
class IssueToken:
    """Give an enrollment profile that admits nobody a token."""

    subject: Reference
    days: int


Change: TypeAlias = Create | Update | Replace | Delete | Join | IssueToken


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that the file does not want and that stays nevertheless."""

    subject: Reference
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes in the order in which they can be done, and what stays."""

    changes: tuple[Change, ...]
    kept: tuple[Kept, ...] = ()

    def part_of(self, roles: Sequence[Role]) -> "Plan":
        """Return what people who hold these roles do."""
        return Plan(tuple(change for change in self.changes if done_by(change) in roles), self.kept)

    def remaining_for(self, role: Role) -> int:
        """Return how many changes are this role's."""
        return sum(1 for change in self.changes if done_by(change) is role)


def done_by(change: Change) -> Role:
    """Return the role that may do a change."""
    if isinstance(change, Join) and change.keeper is not None:
        return change.keeper
    if isinstance(change, Update) and change.subject.kind is Kind.USER:
        return keeper_of(change.present)
    return writer(change.subject.kind)


def keeper_of(user: Resource | None) -> Role:
    """Return who changes the cards and names of a user: whoever gives the separated role the user holds."""
    held = user.links.get(Link.ROLES, frozenset()) if user else frozenset()
    givers = [GIVEN_BY[item.name] for item in held if isinstance(item, HeldRole) and item.name in SEPARATED]
    return givers[0] if givers else Role.ADMINISTRATOR
