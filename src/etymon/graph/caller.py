# SPDX-License-Identifier: Apache-2.0
"""Who calls: somebody with a role, signed in with the card. The token's word for a role is checked in the directory."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from etymon.directory import people, roles
from etymon.directory.model import Role
from etymon.directory.separation import role_needed
from etymon.graph.dependencies import SCOPE, Dependencies
from etymon.kernel.errors import NotAuthenticated, NotPermitted
from etymon.mdm.identity_provider import AccessToken, require_card

READERS: Final = frozenset(Role)
ADMINISTRATORS: Final = frozenset({Role.ADMINISTRATOR})
OFFICERS: Final = frozenset({Role.OFFICER})
BOTH: Final = ADMINISTRATORS | OFFICERS
AGENTS: Final = frozenset({Role.KEY_RECOVERY_AGENT})
OFFICIALS: Final = frozenset({Role.KEY_RECOVERY_OFFICIAL})
RECOVERERS: Final = AGENTS | OFFICIALS
ANALYSTS: Final = RECOVERERS | OFFICERS
HOLDERS: Final = OFFICIALS | OFFICERS
AUDITORS: Final = frozenset({Role.AUDITOR})
RECOVERY_READERS: Final = ANALYSTS | AUDITORS
"""Whose keys are recovered or held, and why, is for few to see."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A person and the roles that count now."""

    person: UUID
    roles: frozenset[Role]

    @property
    def actor(self) -> str:
        """The audit trail's name for the person."""
        return f"person:{self.person}"

    @property
    def is_administrator(self) -> bool:
        """Whether the person is an administrator now."""
        return Role.ADMINISTRATOR in self.roles


def authenticate(deps: Dependencies, authorization: str) -> AccessToken:
    """Return the token that a request with this `Authorization` header came with.

    Raises NotAuthenticated `token_missing` and `token_not_valid`; NotPermitted `scope_missing`. May ask the identity
    provider for its keys: call it outside transactions.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("token_missing", "Send an access token as a bearer token.")
    return deps.identity_provider.read(token.strip(), audience=deps.url, scope=SCOPE)


def admit(deps: Dependencies, read: AccessToken) -> Caller:
    """Return the caller whose token this is. Raises NotPermitted `card_required`, `account_ended`, `role_missing`."""
    require_card(read)
    with deps.database.snapshot() as tx:
        person = people.find(tx, read.person)
        present = roles.counting(tx, read.person)
    if person is None or not person.active:
        raise NotPermitted("account_ended", "The account is not active.")
    counting = frozenset(role for role in present if role.value in read.roles)
    if not counting:
        raise NotPermitted("role_missing", "This account has no role here. Sign in again if it was given one.")
    return Caller(read.person, counting)


def require(caller: Caller, allowed: frozenset[Role]) -> Caller:
    """Return the caller if one of the allowed roles counts; raises NotPermitted `role_missing`."""
    if not caller.roles & allowed:
        raise role_needed(allowed)
    return caller
