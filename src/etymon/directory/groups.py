# SPDX-License-Identifier: Apache-2.0
"""Groups of people, which policies and rules are assigned to."""

from dataclasses import replace
from typing import Final
from uuid import UUID

from etymon.directory.dependencies import Recording, record
from etymon.directory.errors import group_unknown
from etymon.directory.model import Group, Person
from etymon.directory.store import groups as store
from etymon.directory.store import people as people_store
from etymon.kernel.entropy import random_id
from etymon.storage.database import Transaction

PAGE_LIMIT: Final = 200


def create(tx: Transaction, deps: Recording, *, name: str, description: str = "", actor: str) -> Group:
    """Return a new group; `Conflict` when its name is another's."""
    group = Group(random_id(deps.entropy), name, description)
    store.add(tx, group, deps.clock.now())
    record(tx, deps, "group:created", actor=actor, subject=f"group:{group.id}", facts={"name": name})
    return group


def update(
    tx: Transaction,
    deps: Recording,
    group_id: UUID,
    *,
    name: str | None = None,
    description: str | None = None,
    actor: str,
) -> Group:
    """Return a group with what was given changed."""
    before = store.find(tx, group_id)
    if before is None:
        raise group_unknown()
    after = replace(
        before,
        name=before.name if name is None else name,
        description=before.description if description is None else description,
    )
    if after != before:
        store.replace(tx, after)
        record(tx, deps, "group:updated", actor=actor, subject=f"group:{group_id}", facts={"name": after.name})
    return after


def remove(tx: Transaction, deps: Recording, group_id: UUID, *, actor: str) -> None:
    """Remove a group; its members stay."""
    store.remove(tx, group_id)
    record(tx, deps, "group:removed", actor=actor, subject=f"group:{group_id}")


def add_member(tx: Transaction, deps: Recording, group_id: UUID, person_id: UUID, *, actor: str) -> None:
    """Put an active person into a group; nothing happens when the person is in it."""
    store.keep(tx, group_id)
    people_store.locked(tx, person_id)
    if store.add_member(tx, group_id, person_id):
        _record_member(tx, deps, "group:member_added", group_id, person_id, actor=actor)


def remove_member(tx: Transaction, deps: Recording, group_id: UUID, person_id: UUID, *, actor: str) -> None:
    """Take a person out of a group; `NotFound` when the person is not in it."""
    store.remove_member(tx, group_id, person_id)
    _record_member(tx, deps, "group:member_removed", group_id, person_id, actor=actor)


def find(tx: Transaction, group_id: UUID) -> Group | None:
    """Return a group."""
    return store.find(tx, group_id)


def by_name(tx: Transaction, name: str) -> Group | None:
    """Return the group of a name, in whatever case."""
    return store.by_name(tx, name)


def page(tx: Transaction, *, after: UUID | None = None, limit: int = 50) -> list[Group]:
    """Return groups by name, at most `PAGE_LIMIT`; `after` is the last one already seen."""
    return store.page(tx, after=after, limit=min(limit, PAGE_LIMIT))


def groups_of(tx: Transaction, person_id: UUID) -> frozenset[UUID]:
    """Return the ids of the groups a person is in."""
    return store.groups_of(tx, person_id)


def members(tx: Transaction, group_id: UUID, *, after: UUID | None = None, limit: int = 50) -> list[Person]:
    """Return members by id, at most `PAGE_LIMIT`; `after` is the last one already seen."""
    ids = store.member_ids(tx, group_id, after=after, limit=min(limit, PAGE_LIMIT))
    return sorted(people_store.found(tx, ids), key=lambda person: person.id)


def _record_member(tx: Transaction, deps: Recording, name: str, group_id: UUID, person_id: UUID, *, actor: str) -> None:
    record(tx, deps, name, actor=actor, subject=f"group:{group_id}", facts={"person": str(person_id)})
