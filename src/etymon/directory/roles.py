# SPDX-License-Identifier: Apache-2.0
"""Who is administrator, officer, auditor or operator, and who recovers keys (CP 5.2, KRP 5.2)."""

from typing import Final
from uuid import UUID

from etymon.audit.model import Fact
from etymon.directory.dependencies import Recording, record
from etymon.directory.errors import authority_missing, roles_separated
from etymon.directory.model import RECOVERY_ROLES, Person, Role, check_authority
from etymon.directory.store import groups as store
from etymon.directory.store import people as people_store
from etymon.storage.database import Transaction

PAGE_LIMIT: Final = 200


def assign(tx: Transaction, deps: Recording, person_id: UUID, role: Role, *, actor: str, authority: str = "") -> None:
    """Give an active person a role on somebody's authority (CP 5.4.1); nothing happens when the person holds it.

    `Conflict` when the person would hold two of administrator, officer and auditor (CP 5.2.4), or one of administrator
    and auditor and a role in key recovery (KRP 5.2.1). The database refuses that too, whoever asks at the same time.
    `Malformed` `authority_missing` when it is not said who appoints somebody to recover keys.
    """
    facts = _facts(role, authority)
    people_store.locked(tx, person_id)
    if store.add_role(tx, person_id, role, deps.clock.now()):
        record(tx, deps, "role:assigned", actor=actor, subject=f"person:{person_id}", facts=facts)
    elif role not in store.roles_of(tx, person_id):
        raise roles_separated()


def withdraw(tx: Transaction, deps: Recording, person_id: UUID, role: Role, *, actor: str, authority: str = "") -> None:
    """Take a role from a person; `NotFound` when the person does not hold it. `Malformed` as for `assign`."""
    facts = _facts(role, authority)
    store.remove_role(tx, person_id, role)
    record(tx, deps, "role:withdrawn", actor=actor, subject=f"person:{person_id}", facts=facts)


def roles_of(tx: Transaction, person_id: UUID) -> frozenset[Role]:
    """Return the roles a person holds."""
    return store.roles_of(tx, person_id)


def holders(tx: Transaction, role: Role, *, after: UUID | None = None, limit: int = 50) -> list[Person]:
    """Return who holds a role by id, at most `PAGE_LIMIT`; `after` is the last one already seen."""
    ids = store.holder_ids(tx, role, after=after, limit=min(limit, PAGE_LIMIT))
    return sorted(people_store.found(tx, ids), key=lambda person: person.id)


def _facts(role: Role, authority: str) -> dict[str, Fact]:
    if authority:
        check_authority(authority)
        return {"role": role.value, "authority": authority}
    if role in RECOVERY_ROLES:
        raise authority_missing()
    return {"role": role.value}
