# SPDX-License-Identifier: Apache-2.0
"""Groups, their members, and roles."""

from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from etymon.directory.errors import group_name_taken, group_unknown, not_a_member, role_not_held
from etymon.directory.model import CONFIRMED_ROLES, Appointment, Group, Role, folded
from etymon.directory.tables import groups, members, roles
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken

COLUMNS = (groups.c.id, groups.c.name, groups.c.description)
COUNTS: Final = sa.or_(
    roles.c.role.not_in(sorted(role.value for role in CONFIRMED_ROLES)),
    roles.c.confirmed_by.is_not(None),
    sa.and_(roles.c.role == Role.OFFICER.value, roles.c.appointed_by.is_(None)),
)
"""What `Appointment.counts` says of one."""
_GROUPS_OF: Final = sa.select(members.c.group_id).where(members.c.person_id == sa.bindparam("person"))
"""Built once: every enrollment asks it."""


def add(tx: Transaction, group: Group, now: datetime) -> None:
    """Save a new group; `Conflict` when its name is another's."""
    added = insert_unless_taken(
        tx,
        groups,
        id=group.id,
        name=group.name,
        name_key=folded(group.name),
        description=group.description,
        created_at=now,
    )
    if not added:
        raise group_name_taken()


def replace(tx: Transaction, group: Group) -> None:
    """Save a group anew."""
    values = {"name": group.name, "name_key": folded(group.name), "description": group.description}
    try:
        changed = tx.execute(groups.update().where(groups.c.id == group.id).values(values))
    except sa.exc.IntegrityError as exc:
        raise group_name_taken() from exc
    if changed.rowcount != 1:
        raise group_unknown()


def remove(tx: Transaction, group_id: UUID) -> None:
    """Remove a group with its memberships."""
    if tx.scalar(sa.select(groups.c.id).where(groups.c.id == group_id).with_for_update()) is None:
        raise group_unknown()
    tx.execute(members.delete().where(members.c.group_id == group_id))
    tx.execute(groups.delete().where(groups.c.id == group_id))


def find(tx: Transaction, group_id: UUID) -> Group | None:
    """Return a group."""
    return _one(tx, groups.c.id == group_id)


def keep(tx: Transaction, group_id: UUID) -> None:
    """Have a group stay until this transaction ends; `NotFound` when there is none."""
    wanted = sa.select(groups.c.id).where(groups.c.id == group_id)
    if tx.scalar(wanted.with_for_update(read=True)) is None:
        raise group_unknown()


def by_name(tx: Transaction, name: str) -> Group | None:
    """Return the group of a name, in whatever case."""
    return _one(tx, groups.c.name_key == folded(name))


def page(tx: Transaction, *, after: UUID | None, limit: int) -> list[Group]:
    """Return groups by name, those after a known one."""
    wanted = sa.select(*COLUMNS)
    if after is not None:
        known = sa.select(groups.c.name_key).where(groups.c.id == after).scalar_subquery()
        wanted = wanted.where(groups.c.name_key > known)
    return [Group(*row) for row in tx.execute(wanted.order_by(groups.c.name_key).limit(limit))]


def add_member(tx: Transaction, group_id: UUID, person_id: UUID) -> bool:
    """Put somebody into a group; False when the person was in it."""
    return insert_unless_taken(tx, members, group_id=group_id, person_id=person_id)


def remove_member(tx: Transaction, group_id: UUID, person_id: UUID) -> None:
    """Take somebody out of a group; `NotFound` when the person was not in it."""
    gone = tx.execute(members.delete().where(members.c.group_id == group_id, members.c.person_id == person_id))
    if gone.rowcount != 1:
        raise not_a_member()


def groups_of(tx: Transaction, person_id: UUID) -> frozenset[UUID]:
    """Return the groups somebody is in."""
    return frozenset(tx.scalars(_GROUPS_OF, {"person": person_id}))


def member_ids(tx: Transaction, group_id: UUID, *, after: UUID | None, limit: int) -> list[UUID]:
    """Return members by id, those after a known one."""
    wanted = sa.select(members.c.person_id).where(members.c.group_id == group_id)
    if after is not None:
        wanted = wanted.where(members.c.person_id > after)
    return list(tx.scalars(wanted.order_by(members.c.person_id).limit(limit)))


def leave_all(tx: Transaction, person_id: UUID) -> None:
    """Take somebody out of all groups and roles."""
    tx.execute(members.delete().where(members.c.person_id == person_id))
    tx.execute(roles.delete().where(roles.c.person_id == person_id))


def add_role(tx: Transaction, person_id: UUID, role: Role, now: datetime, *, by: UUID | None) -> bool:
    """Give somebody a role; False when the person holds it, or one that is kept apart from it."""
    return insert_unless_taken(tx, roles, person_id=person_id, role=role.value, assigned_at=now, appointed_by=by)


def confirm_role(tx: Transaction, person_id: UUID, role: Role, seen: datetime, now: datetime, *, by: UUID) -> bool:
    """Confirm a role that somebody else appointed to, given at `seen`; False when it is confirmed, or not held so."""
    waiting = roles.update().where(
        roles.c.person_id == person_id,
        roles.c.role == role.value,
        roles.c.assigned_at == seen,
        roles.c.confirmed_by.is_(None),
        roles.c.appointed_by != by,
    )
    return tx.execute(waiting.values(confirmed_by=by, confirmed_at=now)).rowcount == 1


def appointments_of(tx: Transaction, person_id: UUID) -> list[Appointment]:
    """Return the roles somebody holds, with who gave and who confirmed them."""
    columns = (roles.c.role, roles.c.assigned_at, roles.c.appointed_by, roles.c.confirmed_by, roles.c.confirmed_at)
    found = tx.execute(sa.select(*columns).where(roles.c.person_id == person_id).order_by(roles.c.role))
    return [Appointment(Role(role), *given) for role, *given in found]


def remove_role(tx: Transaction, person_id: UUID, role: Role) -> None:
    """Take a role from somebody; `NotFound` when the person does not hold it."""
    gone = tx.execute(roles.delete().where(roles.c.person_id == person_id, roles.c.role == role.value))
    if gone.rowcount != 1:
        raise role_not_held()


def roles_of(tx: Transaction, person_id: UUID) -> frozenset[Role]:
    """Return the roles somebody holds."""
    return frozenset(map(Role, tx.scalars(sa.select(roles.c.role).where(roles.c.person_id == person_id))))


def counting_roles_of(tx: Transaction, person_id: UUID) -> frozenset[Role]:
    """Return the roles somebody holds that count."""
    return frozenset(map(Role, tx.scalars(sa.select(roles.c.role).where(roles.c.person_id == person_id, COUNTS))))


def holder_ids(tx: Transaction, role: Role, *, after: UUID | None, limit: int | None, counting: bool) -> list[UUID]:
    """Return who holds a role, by id, those after a known one; `counting` leaves out whom nobody confirmed."""
    wanted = sa.select(roles.c.person_id).where(roles.c.role == role.value)
    if counting:
        wanted = wanted.where(COUNTS)
    if after is not None:
        wanted = wanted.where(roles.c.person_id > after)
    return list(tx.scalars(wanted.order_by(roles.c.person_id).limit(limit)))


def _one(tx: Transaction, condition: sa.ColumnElement[bool]) -> Group | None:
    row = tx.execute(sa.select(*COLUMNS).where(condition)).one_or_none()
    return None if row is None else Group(*row)
