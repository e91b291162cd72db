# SPDX-License-Identifier: Apache-2.0
"""What an organisation is made of, as values that the file and the administration API are both read into."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from etymon.kernel.secret import Secret


class Kind(enum.Enum):
    """The kinds of things, in the order in which one may refer to another; the value is what people call one."""

    TRUST_ENTRY = "trust entry"
    ATTESTATION_AUTHORITY = "attestation authority"
    USER = "user"
    GROUP = "group"
    BRANDING = "branding"
    ISSUER = "derived-credential issuer"
    ENROLLMENT_PROFILE = "enrollment profile"
    CONFIGURATION = "configuration"
    ISSUANCE_RULE = "issuance rule"
    CONNECTOR = "SCEP connector"


ORDER: Final[Mapping[Kind, int]] = {kind: place for place, kind in enumerate(Kind)}

FOLDED: Final = frozenset({Kind.USER, Kind.GROUP})
"""Names that differ in case only are the same name here, as the directory compares them."""

SINGLE: Final = frozenset({Kind.BRANDING, Kind.ISSUER})
"""An organisation has at most one of these; their name is a property like others."""


class Role(enum.Enum):
    """Who may write (docs/protocols/administration.md). No person is both (CP 5.2.4)."""

    ADMINISTRATOR = "administrator"
    OFFICER = "officer"


GIVEN_BY: Final = {
    "administrator": Role.ADMINISTRATOR,
    "operator": Role.ADMINISTRATOR,
    "officer": Role.OFFICER,
    "auditor": Role.OFFICER,
    "keyRecoveryAgent": Role.OFFICER,
    "keyRecoveryOfficial": Role.OFFICER,
}
"""Role to who gives and takes it."""

SEPARATED: Final = frozenset({"administrator", "officer", "auditor"})
"""Accounts that hold one of these are changed by whoever gives it, or by nobody else."""

CLOSED: Final = {
    "auditor": "nobody changes cards and names of an Auditor while the role is held",
    "keyRecoveryAgent": "nobody changes cards and names of who recovers keys while the role is held",
    "keyRecoveryOfficial": "nobody changes cards and names of who recovers keys while the role is held",
    "officer": "an Officer's cards and names are changed by that Officer alone",
}
"""Role to why others leave the account as it is."""


def writer(kind: Kind) -> Role:
    """Return the role that may write things of this kind."""
    return Role.OFFICER if kind in {Kind.ISSUANCE_RULE, Kind.CONNECTOR} else Role.ADMINISTRATOR


class Link(enum.Enum):
    """What joins a thing to others, one by one; the value is its name in the file."""

    CARDS = "cards"
    ROLES = "roles"
    MEMBERS = "members"
    ASSIGNED_TO = "assignedTo"


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A thing by its name."""

    kind: Kind
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def key(self) -> tuple[Kind, str]:
        """What references are compared by."""
        return self.kind, self.name.casefold() if self.kind in FOLDED else self.name


@dataclass(frozen=True, slots=True)
class Card:
    """A card that stands for a person: what certificates of a trust entry carry."""

    trust_entry: str
    identifier: str

    @property
    def name(self) -> str:
        """How it is shown."""
        return f"{self.trust_entry} {self.identifier}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A group that does not get what others of an assignment get."""

    group: Reference

    @property
    def name(self) -> str:
        """How it is shown."""
        return f"except {self.group.name}"


@dataclass(frozen=True, slots=True)
class HeldRole:
    """A role that a person holds in the deployment."""

    name: str


@dataclass(frozen=True, slots=True)
class Binary:
    """Octets in base64, and what a person reads instead of them."""

    base64: str
    told: str = field(compare=False)


Joined: TypeAlias = Reference | LeftOut | Card | HeldRole
Value: TypeAlias = "str | int | bool | Binary | tuple[str, ...] | tuple[Reference, ...] | tuple[Binary, ...] | None"


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing, wanted or present.

    `fixed` cannot be changed while the thing lives. `secrets` are sent with the properties and never shown. `id` is the
    API's, of a present thing. `roles_authority` goes with a user's roles and is not read back. `token_days` is for how
    long a wanted enrollment profile's token is made, 0 for none; `has_token` whether a present one has a token that is
    valid. `kept_because` says why a present thing is never ended from a file.
    """

    kind: Kind
    name: str
    properties: Mapping[str, Value]
    fixed: Mapping[str, Value] = field(default_factory=dict)
    links: Mapping[Link, frozenset[Joined]] = field(default_factory=dict)
    secrets: Mapping[str, Secret[str]] = field(default_factory=dict)
    roles_authority: str = ""
    token_days: int = 0
    has_token: bool = False
    kept_because: str = ""
    id: str = ""

    @property
    def reference(self) -> Reference:
        """The thing by its name."""
        return Reference(self.kind, self.name)


Sections: TypeAlias = Mapping[Kind, tuple[Resource, ...]]
"""Things by kind. A kind that is not there is not looked at."""


@dataclass(frozen=True, slots=True)
class Organization:
    """What the file says."""

    name: str
    sections: Sections
