# SPDX-License-Identifier: Apache-2.0
"""Who is administrator, officer, auditor or operator, and who recovers keys (CP 5.2, KRP 5.2)."""

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.audit.model import Fact
from etymon.directory.dependencies import Recording, record
from etymon.directory.errors import (
    appointment_changed,
    authority_missing,
    other_confirmer_needed,
    role_not_held,
    roles_separated,
)
from etymon.directory.model import (
    CLOSED_ROLES,
    CONFIRMED_ROLES,
    Appointment,
    Person,
    Role,
    check_authority,
)
from etymon.directory.separation import CONFIRMED_BY, require_may_open
from etymon.directory.store import bindings as bindings_store
from etymon.directory.store import groups as store
from etymon.directory.store import people as people_store
from etymon.storage.database import Transaction

PAGE_LIMIT: Final = 200


def assign(
    tx: Transaction,
    deps: Recording,
    person_id: UUID,
    role: Role,
    *,
    actor: str,
    authority: str,
    by: UUID | None = None,
) -> None:
    """Give an active person a role on somebody's authority (CP 5.4.1); nothing happens when the person holds it.

    `Conflict` when the person would hold two of administrator, officer and auditor (CP 5.2.4), or one of administrator
    and auditor and a role in key recovery (KRP 5.2.1). The database refuses that too, whoever asks at the same time.
    `Malformed` `authority_missing` when it is not said on whose authority. One of `CONFIRMED_ROLES`,
    given by the person `by`, counts once it is confirmed; a binding code that the person may have ends,
    with one of `CLOSED_ROLES` too. An Officer's
    role that nobody gave, which is the founding's, counts at once.
    """
    facts = _facts(role, authority)
    people_store.locked(tx, person_id)
    if store.add_role(tx, person_id, role, deps.clock.now(), by=by):
        if role in CONFIRMED_ROLES | CLOSED_ROLES:
            bindings_store.replace_codes(tx, person_id)
        record(tx, deps, "role:assigned", actor=actor, subject=f"person:{person_id}", facts=facts)
    elif role not in store.roles_of(tx, person_id):
        raise roles_separated()


def confirm(tx: Transaction, deps: Recording, person_id: UUID, role: Role, *, seen: datetime, by: UUID) -> None:
    """Confirm a role of `CONFIRMED_ROLES`; until then it does not count. Nothing happens when that is so already.

    `seen` is when the role was given, as whoever confirms saw it beside the person's cards: `Conflict`
    `appointment_changed` when it was given at another time, for another card may stand for the person since.
    `NotPermitted` `other_confirmer_needed` unless `by` is an active Administrator, and neither gave the role nor holds
    it: the database refuses that too. `NotFound` `role_not_held`, also for a role that needs no confirmation.
    """
    people_store.locked(tx, person_id)
    confirmer = people_store.find(tx, by)
    if confirmer is None or not confirmer.active or CONFIRMED_BY not in store.roles_of(tx, by):
        raise other_confirmer_needed()
    known = {each.role: each for each in store.appointments_of(tx, person_id) if each.needs_confirmation}
    if role not in known:
        raise role_not_held()
    if by == person_id or known[role].appointed_by in {None, by}:
        raise other_confirmer_needed()
    if known[role].assigned_at == seen and known[role].counts:
        return
    if not store.confirm_role(tx, person_id, role, seen, deps.clock.now(), by=by):
        raise appointment_changed()
    facts: dict[str, Fact] = {"role": role.value, "appointed_by": str(known[role].appointed_by)}
    record(tx, deps, "role:confirmed", actor=f"person:{by}", subject=f"person:{person_id}", facts=facts)


def withdraw(tx: Transaction, deps: Recording, person_id: UUID, role: Role, *, actor: str, authority: str) -> None:
    """Take a role from an active person; `NotFound` when the person does not hold it. `Malformed` as for `assign`.

    A binding code that the person may have ends: whoever held the role may have made it for themselves.
    """
    facts = _facts(role, authority)
    people_store.locked(tx, person_id)
    bindings_store.replace_codes(tx, person_id)
    store.remove_role(tx, person_id, role)
    record(tx, deps, "role:withdrawn", actor=actor, subject=f"person:{person_id}", facts=facts)


def opened(tx: Transaction, caller: AbstractSet[Role], person_id: UUID, *, by: UUID) -> Person:
    """Return a person whose cards and names `by` may change, and to whom nobody gives a role meanwhile.

    `caller` are the roles of `by` that count; meanwhile is until this transaction ends. Raises what
    `separation.require_may_open` does.
    """
    person = people_store.locked(tx, person_id)
    require_may_open(caller, store.roles_of(tx, person_id), own=by == person_id)
    return person


def roles_of(tx: Transaction, person_id: UUID) -> frozenset[Role]:
    """Return the roles a person holds, confirmed or not."""
    return store.roles_of(tx, person_id)


def counting(tx: Transaction, person_id: UUID) -> frozenset[Role]:
    """Return the roles of a person that count: those of `CONFIRMED_ROLES` once they are confirmed."""
    return store.counting_roles_of(tx, person_id)


def appointments(tx: Transaction, person_id: UUID) -> list[Appointment]:
    """Return a person's roles with who gave and who confirmed them."""
    return store.appointments_of(tx, person_id)


def holders(
    tx: Transaction, role: Role, *, after: UUID | None = None, limit: int = 50, counting: bool = False
) -> list[Person]:
    """Return who holds a role by id, at most `PAGE_LIMIT`; `after` is the last one already seen.

    `counting` leaves out those whose role nobody confirmed.
    """
    ids = store.holder_ids(tx, role, after=after, limit=min(limit, PAGE_LIMIT), counting=counting)
    return sorted(people_store.found(tx, ids), key=lambda person: person.id)


def holder_ids(tx: Transaction, role: Role) -> frozenset[UUID]:
    """Return the ids of all who hold a role, confirmed or not: for roles that few hold."""
    return frozenset(store.holder_ids(tx, role, after=None, limit=None, counting=False))


def _facts(role: Role, authority: str) -> dict[str, Fact]:
    if not authority:
        raise authority_missing()
    check_authority(authority)
    return {"role": role.value, "authority": authority}
