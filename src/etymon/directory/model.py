# SPDX-License-Identifier: Apache-2.0
"""People, groups, roles and bindings as values."""

import enum
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from etymon.directory import mailbox
from etymon.kernel.errors import Malformed

NAME_LIMIT: Final = 200
"""Longest display name, in characters."""
ADDRESSES_LIMIT: Final = 10
IDENTIFIER_LIMIT: Final = 320

_PRINCIPAL: Final = re.compile(r"[^\s@]{1,200}@[^\s@]{1,119}")
_STORED_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}")
"""What every version has asked of addresses; `mailbox.check` asks more of those that are new."""


class Role(enum.Enum):
    """What a person may do in the deployment (CP 5.2.1)."""

    ADMINISTRATOR = "administrator"
    OFFICER = "officer"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    KEY_RECOVERY_AGENT = "keyRecoveryAgent"
    """One of the two who let an escrowed key out (KRP 1.3.2)."""
    KEY_RECOVERY_OFFICIAL = "keyRecoveryOfficial"
    """Validates who asks for another person's keys, and asks the agents (KRP 1.3.3)."""


SEPARATED_ROLES: Final = frozenset({Role.ADMINISTRATOR, Role.OFFICER, Role.AUDITOR})
"""No person holds two of these (CP 5.2.4)."""

RECOVERY_ROLES: Final = frozenset({Role.KEY_RECOVERY_AGENT, Role.KEY_RECOVERY_OFFICIAL})
"""No Administrator or Auditor holds one of these (KRP 5.2.1); an Officer, the registration authority, may."""

CLOSED_ROLES: Final = RECOVERY_ROLES | {Role.AUDITOR}
"""While somebody holds one of these, nobody changes the account. An Officer alone gives and takes the Auditor's: one
could otherwise open anybody's account by giving it."""

CONFIRMED_ROLES: Final = RECOVERY_ROLES | {Role.OFFICER}
"""Given by one person, these count once another has confirmed them: an Officer's role too, because every rule that
wants a second Officer would otherwise be met by one person with two cards."""


@dataclass(frozen=True, slots=True)
class Appointment:
    """Who gave somebody a role, and who confirmed it."""

    role: Role
    assigned_at: datetime
    appointed_by: UUID | None
    confirmed_by: UUID | None = None
    confirmed_at: datetime | None = None

    @property
    def needs_confirmation(self) -> bool:
        """Whether the role counts only once it is confirmed; that of an Officer whom the founding made does not."""
        return self.role in CONFIRMED_ROLES and not (self.role is Role.OFFICER and self.appointed_by is None)

    @property
    def counts(self) -> bool:
        """Whether the role opens anything yet."""
        return self.confirmed_by is not None or not self.needs_confirmation


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account; `active` ends with the account and never comes back."""

    id: UUID
    user_principal_name: str
    display_name: str
    mail_addresses: tuple[str, ...]
    active: bool

    def __post_init__(self) -> None:
        if not _PRINCIPAL.fullmatch(self.user_principal_name) or not self.user_principal_name.isprintable():
            raise Malformed("user_principal_name", "A user principal name looks like name@organization.")
        check_name(self.display_name)
        if len(self.mail_addresses) > ADDRESSES_LIMIT:
            raise Malformed("mail_addresses", f"A person has at most {ADDRESSES_LIMIT} mail addresses.")
        for address in self.mail_addresses:
            if len(address) > mailbox.LIMIT or not _STORED_ADDRESS.fullmatch(address):
                raise Malformed("mail_addresses", "A mail address looks like name@host.")
        if len({folded(address) for address in self.mail_addresses}) != len(self.mail_addresses):
            raise Malformed("mail_addresses", "A mail address is given twice.")

    @property
    def can_be_told(self) -> bool:
        """Whether there is an address that mail is sent to; one that an earlier version let in may not be."""
        return any(map(mailbox.is_one, self.mail_addresses))


@dataclass(frozen=True, slots=True)
class Group:
    """People that policies and rules are assigned to."""

    id: UUID
    name: str
    description: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.description) > 1000 or not self.description.replace("\n", " ").isprintable():
            raise Malformed("description", "A description is at most 1000 printable characters.")


class BindingState(enum.Enum):
    """Whether a binding opens the account."""

    BOUND = "bound"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Binding:
    """What a trust entry's certificates are called by that stand for a person (SP 800-63B-4 §4.1.1).

    Bindings are kept when they end: what was ever bound stays on record.
    """

    id: UUID
    trust_entry: str
    identifier: str
    person_id: UUID
    bound_at: datetime
    ended_at: datetime | None
    end_reason: str | None = None
    """A `BindingEnd` of a card; of a derived credential, the reason of its revocation."""

    @property
    def state(self) -> BindingState:
        """Whether it opens the account."""
        return BindingState.BOUND if self.ended_at is None else BindingState.ENDED


class BindingEnd(enum.StrEnum):
    """Why a card stands for its person no more. What a card made lately is looked at unless its end was harmless."""

    REPLACED = "replaced"
    DAMAGED = "damaged"
    EXPIRED = "expired"
    LOST = "lost"
    STOLEN = "stolen"
    TERMINATED = "terminated"
    UNSPECIFIED = "unspecified"


HARMLESS_ENDS: Final = frozenset({BindingEnd.REPLACED, BindingEnd.DAMAGED, BindingEnd.EXPIRED})
"""The card was in nobody else's hands: what was derived from it stays (SP 800-157 §2.4, SP 800-157r1 §2.3)."""


class TerminationReason(enum.StrEnum):
    """Why an account ends (FIPS 201-3 §2.9.4)."""

    SEPARATION = "separation"
    ACCESS_NOT_NEEDED = "accessNotNeeded"
    DEATH = "death"
    INELIGIBLE = "ineligible"
    FRAUD = "fraud"
    UNSPECIFIED = "unspecified"


@dataclass(frozen=True, slots=True)
class Termination:
    """The end of an account, by when all that was derived for it has to be over, and whether it is.

    `alarmed_at` is when somebody was told that it takes long. `closed_at` is when what is published said revoked.
    """

    person: UUID
    reason: TerminationReason
    reported_at: datetime
    due_at: datetime
    alarmed_at: datetime | None = None
    closed_at: datetime | None = None


class EntryVersion(NamedTuple):
    """A trust entry as it was saved at a time; saved again, it is another version."""

    name: str
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class PresentedCode:
    """A binding code that was typed right and can be redeemed once."""

    id: UUID
    person_id: UUID
    digest: bytes


def folded(text: str) -> str:
    """Return what names and addresses are compared by."""
    return text.casefold()


def check_name(name: str) -> None:
    """Raise `Malformed` unless `name` is one printable line that is not blank."""
    if not name.strip() or len(name) > NAME_LIMIT or not name.isprintable():
        raise Malformed("name", f"A name is one line of at most {NAME_LIMIT} printable characters.")


def check_identifier(identifier: str) -> None:
    """Raise `Malformed` unless `identifier` is what path validation may have read from a certificate."""
    if not identifier or len(identifier) > IDENTIFIER_LIMIT or not identifier.isprintable():
        raise Malformed("identifier", f"An identifier has 1 to {IDENTIFIER_LIMIT} printable characters.")


def check_authority(authority: str) -> None:
    """Raise `Malformed` unless `authority` is one printable line that is not blank."""
    if not authority.strip() or len(authority) > NAME_LIMIT or not authority.isprintable():
        raise Malformed("authority", f"Name the authority in one line of at most {NAME_LIMIT} characters.")
