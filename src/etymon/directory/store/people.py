# SPDX-License-Identifier: Apache-2.0
"""People and their mail addresses."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from etymon.directory.errors import address_taken, person_unknown, principal_taken
from etymon.directory.model import Person, folded
from etymon.directory.tables import mail_addresses, people
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken

COLUMNS = (people.c.id, people.c.user_principal_name, people.c.display_name, people.c.ended_at)
ACTIVE = people.c.ended_at.is_(None)

_PEOPLE: Final = sa.select(*COLUMNS)
_BY_ID: Final = _PEOPLE.where(people.c.id == sa.bindparam("id"))
_LOCKED: Final = _BY_ID.where(ACTIVE).with_for_update(key_share=True)
_BY_NAME: Final = _PEOPLE.where(people.c.principal_key == sa.bindparam("key"), ACTIVE)
_ADDRESSES: Final = (
    sa.select(mail_addresses.c.person_id, mail_addresses.c.address)
    .where(mail_addresses.c.person_id.in_(sa.bindparam("people", expanding=True)))
    .order_by(mail_addresses.c.person_id, mail_addresses.c.position)
)
"""Statements of every enrollment and sign-in, built once; to build one takes longer than to run it."""


def add(tx: Transaction, person: Person, now: datetime) -> None:
    """Save a new person; `Conflict` when the name or an address is another's."""
    added = insert_unless_taken(
        tx,
        people,
        id=person.id,
        user_principal_name=person.user_principal_name,
        principal_key=folded(person.user_principal_name),
        display_name=person.display_name,
        created_at=now,
        updated_at=now,
        ended_at=None,
    )
    if not added:
        raise principal_taken()
    _add_addresses(tx, person)


def replace(tx: Transaction, person: Person, now: datetime) -> None:
    """Save all of an active person anew; the caller has locked the account."""
    changed = people.update().where(people.c.id == person.id, ACTIVE)
    values = {
        "user_principal_name": person.user_principal_name,
        "principal_key": folded(person.user_principal_name),
        "display_name": person.display_name,
        "updated_at": now,
    }
    try:
        tx.execute(changed.values(values))
    except sa.exc.IntegrityError as exc:
        raise principal_taken() from exc
    tx.execute(mail_addresses.delete().where(mail_addresses.c.person_id == person.id))
    _add_addresses(tx, person)


def end(tx: Transaction, person_id: UUID, now: datetime) -> None:
    """End an active account and free its addresses; `NotFound` when there is none."""
    ended = tx.execute(people.update().where(people.c.id == person_id, ACTIVE).values(ended_at=now))
    if ended.rowcount != 1:
        raise person_unknown()
    tx.execute(mail_addresses.update().where(mail_addresses.c.person_id == person_id).values(released_at=now))


def lock(tx: Transaction, person_id: UUID) -> None:
    """Have an active person's account not end before this transaction does; nothing happens where there is none."""
    tx.execute(_LOCKED, {"id": person_id}).one_or_none()


def locked(tx: Transaction, person_id: UUID) -> Person:
    """Return an active person whose account cannot end before this transaction does; `NotFound` otherwise."""
    person = _one(tx, _LOCKED, id=person_id)
    if person is None:
        raise person_unknown()
    return person


def find(tx: Transaction, person_id: UUID) -> Person | None:
    """Return a person, active or not."""
    return _one(tx, _BY_ID, id=person_id)


def by_user_principal_name(tx: Transaction, user_principal_name: str) -> Person | None:
    """Return the active person of a name, in whatever case."""
    return _one(tx, _BY_NAME, key=folded(user_principal_name))


def of_mail_address(tx: Transaction, address: str) -> tuple[UUID, int] | None:
    """Return whose a mail address is and which of that person's, from 1; None where it is nobody's now."""
    mine = sa.and_(mail_addresses.c.address_key == folded(address), mail_addresses.c.released_at.is_(None))
    row = tx.execute(sa.select(mail_addresses.c.person_id, mail_addresses.c.position).where(mine)).one_or_none()
    return None if row is None else (row[0], row[1] + 1)


def known(tx: Transaction, ids: Iterable[UUID]) -> list[Person]:
    """Return the people among `ids`, active or not, by name."""
    rows = tx.execute(sa.select(*COLUMNS).where(people.c.id.in_(list(ids))).order_by(people.c.principal_key))
    return _with_addresses(tx, rows.all())


def found(tx: Transaction, ids: Iterable[UUID]) -> list[Person]:
    """Return the active people among `ids`, by name."""
    rows = tx.execute(sa.select(*COLUMNS).where(people.c.id.in_(list(ids)), ACTIVE).order_by(people.c.principal_key))
    return _with_addresses(tx, rows.all())


def page(tx: Transaction, *, after: UUID | None, prefix: str, limit: int) -> list[Person]:
    """Return active people by name, those after a known one."""
    wanted = sa.select(*COLUMNS).where(ACTIVE)
    if prefix:
        start = folded(prefix)
        wanted = wanted.where(people.c.principal_key >= start, people.c.principal_key < start + "\U0010ffff")
    if after is not None:
        known = sa.select(people.c.principal_key).where(people.c.id == after).scalar_subquery()
        wanted = wanted.where(people.c.principal_key > known)
    return _with_addresses(tx, tx.execute(wanted.order_by(people.c.principal_key).limit(limit)).all())


def _one(tx: Transaction, statement: sa.Select[*tuple[Any, ...]], **values: object) -> Person | None:
    row = tx.execute(statement, values).one_or_none()
    return None if row is None else _with_addresses(tx, [row])[0]


def _with_addresses(tx: Transaction, rows: Sequence[sa.Row[*tuple[Any, ...]]]) -> list[Person]:
    addresses: dict[UUID, list[str]] = {row[0]: [] for row in rows}
    if addresses:
        for person_id, address in tx.execute(_ADDRESSES, {"people": list(addresses)}):
            addresses[person_id].append(address)
    return [
        Person(id_, name, display_name, tuple(addresses[id_]), ended_at is None)
        for id_, name, display_name, ended_at in rows
    ]


def _add_addresses(tx: Transaction, person: Person) -> None:
    for position, address in enumerate(person.mail_addresses):
        added = insert_unless_taken(
            tx,
            mail_addresses,
            person_id=person.id,
            position=position,
            address=address,
            address_key=folded(address),
            released_at=None,
        )
        if not added:
            raise address_taken()
