# SPDX-License-Identifier: Apache-2.0
"""Who takes part in recoveries and legal holds: roles that are looked up at each act, and mail to who has to act."""

from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.directory import notices, people, roles
from etymon.directory.model import Role
from etymon.directory.separation import role_needed
from etymon.escrow.dependencies import Dependencies
from etymon.escrow.errors import approval_void, own_key
from etymon.escrow.recovery_model import Recovery
from etymon.storage.database import Transaction

SUBJECT: Final = "A key recovery"


def require(tx: Transaction, person: UUID, *allowed: Role, owner: UUID, since: datetime | None = None) -> None:
    """Refuse whoever has no active account with one of the roles, confirmed, or whose own keys it is about.

    `since` is when the person first acted in it: a role that was given anew later, perhaps with another card, does not
    count. Raises `NotPermitted` `role_missing`, `own_key`.
    """
    if not _holds(tx, person, *allowed, since=since):
        raise role_needed(frozenset(allowed))
    if person == owner:
        raise own_key()


def require_agents_still(tx: Transaction, recovery: Recovery) -> None:
    """Refuse an approval by somebody who is no agent any more: `Conflict` `approval_void`."""
    for approval in filter(None, (recovery.first, recovery.second)):
        if not _holds(tx, approval.agent, Role.KEY_RECOVERY_AGENT, since=approval.approved_at):
            raise approval_void()


def tell_agents(tx: Transaction, deps: Dependencies, recovery: Recovery) -> None:
    """Tell the agents that may approve that a recovery waits; nothing of whose keys is in it."""
    for agent in roles.holders(tx, Role.KEY_RECOVERY_AGENT, limit=roles.PAGE_LIMIT, counting=True):
        if agent.id not in {recovery.order.person, recovery.requested_by}:
            text = (
                f"The key recovery {recovery.id} waits for two agents until {recovery.expires_at:%Y-%m-%d %H:%M} UTC."
            )
            notices.notify(tx, deps.clock, deps.entropy, agent.mail_addresses, SUBJECT, text)


def tell_official(tx: Transaction, deps: Dependencies, recovery: Recovery, what: str) -> None:
    """Tell the official who asked what became of it."""
    official = people.find(tx, recovery.requested_by)
    if official is not None and official.active:
        text = f"The key recovery {recovery.id} was {what}."
        notices.notify(tx, deps.clock, deps.entropy, official.mail_addresses, SUBJECT, text)


def _holds(tx: Transaction, person: UUID, *allowed: Role, since: datetime | None = None) -> bool:
    found = people.find(tx, person)
    if found is None or not found.active:
        return False
    held = [each for each in roles.appointments(tx, person) if each.role in allowed and each.counts]
    return any(since is None or each.confirmed_at is None or each.confirmed_at <= since for each in held)
