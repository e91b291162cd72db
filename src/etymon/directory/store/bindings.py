# SPDX-License-Identifier: Apache-2.0
"""Trust entries, bindings and binding codes."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from etymon.directory.model import Binding, BindingEnd, EntryVersion, PresentedCode, Role
from etymon.directory.store.groups import COUNTS
from etymon.directory.tables import binding_codes, bindings, people, roles, trust_entries
from etymon.pki.trust_entry import TrustEntry, TrustKind
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken

BINDING_COLUMNS = (
    bindings.c.id,
    bindings.c.trust_entry,
    bindings.c.identifier,
    bindings.c.person_id,
    bindings.c.bound_at,
    bindings.c.ended_at,
    bindings.c.end_reason,
)
LIVE: Final = bindings.c.ended_at.is_(None)
KEPT: Final = trust_entries.c.removed_at.is_(None)
_VERSIONS: Final = (
    sa.select(trust_entries.c.name, trust_entries.c.saved_at)
    .where(KEPT, trust_entries.c.kind == sa.bindparam("kind"))
    .order_by(trust_entries.c.name)
)
_ENTRIES: Final = sa.select(trust_entries.c.document).where(KEPT).order_by(trust_entries.c.name)
_ENTRIES_OF_KIND: Final = _ENTRIES.where(trust_entries.c.kind == sa.bindparam("kind"))
_KEEP_ENTRY: Final = (
    sa.select(trust_entries.c.kind).where(trust_entries.c.name == sa.bindparam("name"), KEPT).with_for_update(read=True)
)
_LIVE_BINDING: Final = (
    sa.select(*BINDING_COLUMNS)
    .join(people, people.c.id == bindings.c.person_id)
    .join(trust_entries, trust_entries.c.name == bindings.c.trust_entry)
    .where(
        bindings.c.trust_entry == sa.bindparam("entry"),
        bindings.c.identifier == sa.bindparam("identifier"),
        LIVE,
        KEPT,
        people.c.ended_at.is_(None),
    )
)
_OF_PERSON: Final = (
    sa.select(*BINDING_COLUMNS)
    .where(bindings.c.person_id == sa.bindparam("person"))
    .order_by(bindings.c.bound_at, bindings.c.id)
)
"""Statements of every check-in, sign-in and enrollment, built once; to build one takes longer than to run it."""


def entry(tx: Transaction, name: str) -> TrustEntry | None:
    """Return a trust entry."""
    document = tx.scalar(sa.select(trust_entries.c.document).where(trust_entries.c.name == name, KEPT))
    return None if document is None else TrustEntry.from_document(document)


def locked_entry(tx: Transaction, name: str) -> TrustEntry | None:
    """Return a trust entry that nobody else saves, removes or binds under before this transaction ends."""
    wanted = sa.select(trust_entries.c.document).where(trust_entries.c.name == name, KEPT)
    document = tx.scalar(wanted.with_for_update())
    return None if document is None else TrustEntry.from_document(document)


def lock_entries(tx: Transaction) -> None:
    """Have nobody else save or remove an entry, or bind under one, before this transaction ends."""
    tx.execute(sa.select(trust_entries.c.name).where(KEPT).order_by(trust_entries.c.name).with_for_update()).all()


def keep_entry(tx: Transaction, name: str) -> TrustKind | None:
    """Have a trust entry stay as it is until this transaction ends; return its kind, None when there is none."""
    kind = tx.scalar(_KEEP_ENTRY, {"name": name})
    return None if kind is None else TrustKind(kind)


def kind_of(tx: Transaction, name: str) -> TrustKind | None:
    """Return the kind of a trust entry, removed or not."""
    kind = tx.scalar(sa.select(trust_entries.c.kind).where(trust_entries.c.name == name))
    return None if kind is None else TrustKind(kind)


def entries(tx: Transaction, kind: TrustKind | None) -> list[TrustEntry]:
    """Return all trust entries, by name: they are configuration, and few."""
    found = tx.scalars(_ENTRIES) if kind is None else tx.scalars(_ENTRIES_OF_KIND, {"kind": kind.value})
    return [TrustEntry.from_document(document) for document in found]


def versions(tx: Transaction, kind: TrustKind) -> tuple[EntryVersion, ...]:
    """Return which versions of the entries of a kind there are, by name; without a look into them."""
    return tuple(EntryVersion(*row) for row in tx.execute(_VERSIONS, {"kind": kind.value}))


def save_entry(tx: Transaction, saved: TrustEntry, now: datetime) -> None:
    """Save a trust entry, new or in place of the one of its name; no two versions of it are saved at the same time."""
    values = {"kind": saved.kind.value, "document": saved.to_document(), "saved_at": now, "removed_at": None}
    if not insert_unless_taken(tx, trust_entries, name=saved.name, **values):
        before = tx.execute(sa.select(trust_entries.c.saved_at).where(trust_entries.c.name == saved.name)).scalar_one()
        values["saved_at"] = max(now, before + timedelta.resolution)
        tx.execute(trust_entries.update().where(trust_entries.c.name == saved.name).values(values))


def remove_entry(tx: Transaction, name: str, now: datetime) -> bool:
    """Remove a trust entry; False when there is none."""
    removed = trust_entries.update().where(trust_entries.c.name == name, KEPT).values(removed_at=now)
    return tx.execute(removed).rowcount == 1


def has_bindings(tx: Transaction, trust_entry: str) -> bool:
    """Say whether accounts are bound under an entry."""
    live = sa.select(bindings.c.id).where(bindings.c.trust_entry == trust_entry, LIVE).limit(1)
    return tx.scalar(live) is not None


def has_bindings_of(tx: Transaction, trust_entry: str, held: Collection[Role]) -> bool:
    """Say whether a certificate of this entry stands for somebody who holds one of these roles."""
    query = sa.select(bindings.c.id).join(roles, roles.c.person_id == bindings.c.person_id)
    named = sa.and_(bindings.c.trust_entry == trust_entry, bindings.c.ended_at.is_(None))
    query = query.where(named, roles.c.role.in_([role.value for role in held])).limit(1)
    return tx.scalar(query) is not None


def cards_of_role_under(tx: Transaction, role: Role, *, counting: bool = False) -> frozenset[str]:
    """Return the entries under which cards stand for holders of a role; `counting` leaves out whom nobody confirmed."""
    query = sa.select(bindings.c.trust_entry).join(roles, roles.c.person_id == bindings.c.person_id)
    query = query.join(trust_entries, trust_entries.c.name == bindings.c.trust_entry)
    query = query.where(LIVE, trust_entries.c.kind == TrustKind.CARD.value, roles.c.role == role.value)
    return frozenset(tx.scalars(query.where(COUNTS) if counting else query))


def end_bindings_under(tx: Transaction, trust_entry: str, now: datetime) -> int:
    """End all bindings under an entry; return how many."""
    return _end_all(tx, bindings.c.trust_entry == trust_entry, now, BindingEnd.UNSPECIFIED)


def end_bindings_of(tx: Transaction, person_id: UUID, now: datetime) -> int:
    """End all bindings of a person whose account ends; return how many."""
    return _end_all(tx, bindings.c.person_id == person_id, now, BindingEnd.TERMINATED)


def add(tx: Transaction, binding: Binding) -> bool:
    """Save a binding; False when the identifier is bound."""
    return insert_unless_taken(
        tx,
        bindings,
        id=binding.id,
        trust_entry=binding.trust_entry,
        identifier=binding.identifier,
        person_id=binding.person_id,
        bound_at=binding.bound_at,
        ended_at=None,
    )


def end(tx: Transaction, binding_id: UUID, now: datetime, reason: str) -> Binding | None:
    """End a live binding and return it; None when there is none."""
    live = bindings.update().where(bindings.c.id == binding_id, LIVE)
    row = tx.execute(live.values(ended_at=now, end_reason=reason).returning(*BINDING_COLUMNS)).one_or_none()
    return None if row is None else Binding(*row)


def find(tx: Transaction, binding_id: UUID) -> Binding | None:
    """Return a binding, ended or not."""
    row = tx.execute(sa.select(*BINDING_COLUMNS).where(bindings.c.id == binding_id)).one_or_none()
    return None if row is None else Binding(*row)


def live(tx: Transaction, trust_entry: str, identifier: str) -> Binding | None:
    """Return the binding of an identifier under an entry that is there, to an account that is active."""
    row = tx.execute(_LIVE_BINDING, {"entry": trust_entry, "identifier": identifier}).one_or_none()
    return None if row is None else Binding(*row)


def last(tx: Transaction, trust_entry: str, identifier: str, person_id: UUID) -> Binding | None:
    """Return the newest binding of an identifier to a person, ended or not."""
    wanted = sa.select(*BINDING_COLUMNS).where(
        bindings.c.person_id == person_id,
        bindings.c.trust_entry == trust_entry,
        bindings.c.identifier == identifier,
    )
    row = tx.execute(wanted.order_by(bindings.c.bound_at.desc(), bindings.c.ended_at.is_(None).desc()).limit(1)).first()
    return None if row is None else Binding(*row)


def of_person(tx: Transaction, person_id: UUID) -> list[Binding]:
    """Return all bindings a person has or had, oldest first."""
    return [Binding(*row) for row in tx.execute(_OF_PERSON, {"person": person_id})]


def cards_of(tx: Transaction, person_id: UUID) -> list[Binding]:
    """Return the bindings of cards that a person has or had, oldest first."""
    wanted = sa.select(*BINDING_COLUMNS).join(trust_entries, trust_entries.c.name == bindings.c.trust_entry)
    wanted = wanted.where(bindings.c.person_id == person_id, trust_entries.c.kind == TrustKind.CARD.value)
    return [Binding(*row) for row in tx.execute(wanted.order_by(bindings.c.bound_at, bindings.c.id))]


def replace_codes(tx: Transaction, person_id: UUID) -> None:
    """End the codes of a person that could still be redeemed."""
    ready = binding_codes.update().where(binding_codes.c.person_id == person_id, binding_codes.c.state == "ready")
    tx.execute(ready.values(state="replaced"))


def add_code(
    tx: Transaction,
    code_id: UUID,
    *,
    person_id: UUID,
    selector: str,
    digest: bytes,
    issued_at: datetime,
    expires_at: datetime,
) -> bool:
    """Save a code that can be redeemed; False when its selector is taken."""
    return insert_unless_taken(
        tx,
        binding_codes,
        id=code_id,
        person_id=person_id,
        selector=selector,
        digest=digest,
        issued_at=issued_at,
        expires_at=expires_at,
        tries=0,
        state="ready",
    )


def try_code(tx: Transaction, selector: str, now: datetime, *, tries_limit: int) -> PresentedCode | None:
    """Count a try of a code that may still be redeemed and return it; None when there is no such code."""
    row = tx.execute(
        binding_codes.update()
        .where(
            binding_codes.c.selector == selector,
            binding_codes.c.state == "ready",
            binding_codes.c.expires_at > now,
            binding_codes.c.tries < tries_limit,
        )
        .values(tries=binding_codes.c.tries + 1)
        .returning(binding_codes.c.id, binding_codes.c.person_id, binding_codes.c.digest)
    ).one_or_none()
    return None if row is None else PresentedCode(*row)


def use_code(tx: Transaction, code_id: UUID, now: datetime) -> bool:
    """Consume a code; False when it has been consumed or replaced meanwhile, or is too old."""
    ready = binding_codes.update().where(
        binding_codes.c.id == code_id, binding_codes.c.state == "ready", binding_codes.c.expires_at > now
    )
    return tx.execute(ready.values(state="used")).rowcount == 1


def _end_all(tx: Transaction, which: sa.ColumnElement[bool], now: datetime, reason: BindingEnd) -> int:
    live = bindings.update().where(which, LIVE)
    return tx.execute(live.values(ended_at=now, end_reason=reason.value)).rowcount
