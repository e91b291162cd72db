# SPDX-License-Identifier: Apache-2.0
"""Credentials: one row a certificate, from its plan to its end."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from etymon.ca.store import is_certified_by
from etymon.issuer.model import CREDENTIAL_MOVES, Credential, CredentialState, EndReason, Purpose
from etymon.issuer.tables import ACTIVE, FIRST, HELD, LIVED, derivations
from etymon.issuer.tables import credentials as table
from etymon.storage.database import Transaction

Filter = sa.ColumnElement[bool]

_LIVED: Final = sa.text(f"({LIVED.text})")
_KEPT: Final = sa.or_(ACTIVE, HELD)
_STANDING: Final = (CredentialState.ACTIVE.value, CredentialState.HELD.value)

_CREDENTIALS: Final = sa.select(*table.c)
_FOR_PURPOSE: Final = sa.and_(
    table.c.derivation_id == sa.bindparam("derivation"), table.c.purpose == sa.bindparam("for_purpose")
)
_BY_ID: Final = _CREDENTIALS.where(table.c.id == sa.bindparam("id"))
_BY_THUMBPRINT: Final = _CREDENTIALS.where(table.c.thumbprint == sa.bindparam("thumbprint"))
_BY_PURPOSE: Final = _CREDENTIALS.where(_FOR_PURPOSE, FIRST)
_CHAIN: Final = _CREDENTIALS.where(_FOR_PURPOSE, sa.or_(_LIVED, FIRST)).order_by(table.c.id)
_REPLACEMENT: Final = _CREDENTIALS.where(table.c.replaces_id == sa.bindparam("replaced"), _LIVED)
_OF_DERIVATION: Final = _CREDENTIALS.where(table.c.derivation_id == sa.bindparam("derivation")).order_by(table.c.id)
_NOT_OVER: Final = sa.or_(table.c.not_after.is_(None), table.c.not_after > sa.bindparam("now"))
_VALID_OF: Final = _CREDENTIALS.where(table.c.person_id == sa.bindparam("person"), _NOT_OVER).order_by(table.c.id)
_LIVE_OF: Final = _VALID_OF.where(table.c.state != CredentialState.ENDED.value)
_ADD: Final = table.insert()
_MOVE: Final = table.update().where(table.c.id == sa.bindparam("moved"), table.c.state == sa.bindparam("state_before"))
"""Statements of every enrollment, built once; to build one takes longer than to run it."""


def add(tx: Transaction, credential: Credential) -> None:
    """Keep a credential that is planned."""
    row = {
        "id": credential.id,
        "derivation_id": credential.derivation,
        "purpose": credential.purpose.value,
        "person_id": credential.person,
        "device_trust_entry": credential.device_trust_entry,
        "device_thumbprint": credential.device_thumbprint,
        "certificate_id": credential.certificate,
        "escrowed_key_id": credential.escrowed_key,
        "state": credential.state.value,
        "planned_at": credential.planned_at,
        "replaces_id": credential.replaces,
        "request_digest": credential.request_digest,
        "rule_id": credential.rule,
    }
    tx.execute(_ADD, row)


def find(tx: Transaction, credential: UUID) -> Credential | None:
    """Return a credential."""
    return _one(tx, _BY_ID, id=credential)


def by_thumbprint(tx: Transaction, thumbprint: bytes) -> Credential | None:
    """Return the issued credential whose certificate has this SHA-256."""
    return _one(tx, _BY_THUMBPRINT, thumbprint=thumbprint)


def by_purpose(tx: Transaction, derivation: UUID, purpose: Purpose) -> Credential | None:
    """Return the credential that a derivation's own authorization led to for a purpose."""
    return _one(tx, _BY_PURPOSE, derivation=derivation, for_purpose=purpose.value)


def chain(tx: Transaction, derivation: UUID, purpose: Purpose) -> tuple[Credential, ...]:
    """Return what a derivation has and had for a purpose, each followed by what replaced it.

    A plan that was given up before it was signed is left out, unless it was the first.
    """
    found = _all(tx, _CHAIN, derivation=derivation, for_purpose=purpose.value)
    following = {credential.replaces: credential for credential in found}
    ordered: list[Credential] = []
    while (following_one := following.get(ordered[-1].id if ordered else None)) is not None:
        ordered.append(following_one)
    return tuple(ordered)


def replacement_of(tx: Transaction, credential: UUID) -> Credential | None:
    """Return what was planned or issued in place of a credential."""
    return _one(tx, _REPLACEMENT, replaced=credential)


def due_for_rekey(
    tx: Transaction,
    *,
    trust_entries: Collection[str],
    now: datetime,
    after: tuple[datetime, UUID],
    limit: int,
    but_of: Collection[str] = (),
) -> tuple[Credential, ...]:
    """Return active credentials on devices of these trust entries whose rekey is due, by when it became so.

    What the authorities `but_of` certified is left out.
    """
    due = sa.select(*table.c).where(
        ACTIVE,
        table.c.rekey_from <= now,
        sa.tuple_(table.c.rekey_from, table.c.id) > sa.tuple_(*map(sa.literal, after)),
        table.c.device_trust_entry.in_(trust_entries),
    )
    if but_of:
        due = due.where(sa.not_(is_certified_by(table.c.certificate_id, *but_of)))
    return tuple(_credential(row) for row in tx.execute(due.order_by(table.c.rekey_from, table.c.id).limit(limit)))


def make_due(tx: Transaction, credential: UUID, now: datetime) -> bool:
    """Let a credential's rekey be due now, or once it is restored; False when it was already, or nothing is rekeyed."""
    later = table.c.rekey_from > now
    done = tx.execute(table.update().where(table.c.id == credential, _KEPT, later).values(rekey_from=now))
    return done.rowcount == 1


def without_rekey_time(tx: Transaction, limit: int) -> tuple[Credential, ...]:
    """Return active credentials of which nobody noted when their rekey is due, by id: an older replica made them."""
    unknown = sa.and_(
        ACTIVE, table.c.rekey_from.is_(None), table.c.not_before.is_not(None), table.c.not_after.is_not(None)
    )
    return _all(tx, _CREDENTIALS.where(unknown).order_by(table.c.id).limit(limit))


def note_rekey_time(tx: Transaction, credential: UUID, due: datetime) -> bool:
    """Note when an active credential's rekey is due; False when that is known, or the credential is not active."""
    missing = table.c.rekey_from.is_(None)
    done = tx.execute(table.update().where(table.c.id == credential, ACTIVE, missing).values(rekey_from=due))
    return done.rowcount == 1


def certified_by(
    tx: Transaction, authority: str, now: datetime, limit: int, *, after: UUID | None = None
) -> tuple[UUID, ...]:
    """Return active and held credentials that an authority certified and whose rekey is not due yet.

    They come by id, those after a known one.
    """
    found = sa.select(table.c.id).where(_not_due(authority, now)).order_by(table.c.id).limit(limit)
    return tuple(tx.scalars(found if after is None else found.where(table.c.id > after)))


def count_certified_by(tx: Transaction, authority: str, now: datetime) -> int:
    """Return how many there are of them."""
    return tx.scalar(sa.select(sa.func.count()).select_from(table).where(_not_due(authority, now))) or 0


def _not_due(authority: str, now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(_KEPT, table.c.rekey_from > now, is_certified_by(table.c.certificate_id, authority))


def of_derivation(tx: Transaction, derivation: UUID) -> tuple[Credential, ...]:
    """Return the credentials of a derivation."""
    return _all(tx, _OF_DERIVATION, derivation=derivation)


def of_escrowed_keys(tx: Transaction, person: UUID, keys: Collection[UUID]) -> dict[UUID, Credential]:
    """Return a person's credentials by the escrowed key they are of."""
    found = _all(tx, _CREDENTIALS.where(table.c.person_id == person, table.c.escrowed_key_id.in_(keys)))
    return {credential.escrowed_key: credential for credential in found if credential.escrowed_key is not None}


def holds_over(tx: Transaction, now: datetime, limit: int) -> tuple[UUID, ...]:
    """Return derivations with credentials whose hold has lasted as long as it may, the longest over first."""
    over = sa.select(table.c.derivation_id).where(HELD, table.c.held_until <= now)
    return tuple(dict.fromkeys(tx.scalars(over.order_by(table.c.held_until, table.c.derivation_id).limit(limit))))


def live_of_person(tx: Transaction, person: UUID, now: datetime) -> tuple[Credential, ...]:
    """Return a person's credentials that are neither ended nor over."""
    return _all(tx, _LIVE_OF, person=person, now=now)


def of_person_valid_at(tx: Transaction, person: UUID, now: datetime) -> tuple[Credential, ...]:
    """Return a person's credentials whose certificates are not over, ended ones too."""
    return _all(tx, _VALID_OF, person=person, now=now)


def page(
    tx: Transaction,
    *,
    trust_entries: Collection[str],
    after: UUID | None,
    limit: int,
    device: bytes | None = None,
    person: UUID | None = None,
) -> tuple[Credential, ...]:
    """Return issued credentials of a device or a person on devices of these trust entries, ordered by id."""
    conditions = [*_on(trust_entries, device=device, person=person), table.c.issued_at.is_not(None)]
    if after is not None:
        conditions.append(table.c.id > after)
    return _all(tx, _CREDENTIALS.where(*conditions).order_by(table.c.id).limit(limit))


def states_on(tx: Transaction, device: bytes) -> tuple[CredentialState, ...]:
    """Return how what is in force or on hold stands of the newest derivation that has such on a device."""
    rows = tx.execute(
        sa.select(table.c.derivation_id, table.c.state)
        .join(derivations, derivations.c.id == table.c.derivation_id)
        .where(table.c.device_thumbprint == device, table.c.state.in_(_STANDING))
        .order_by(derivations.c.begun_at.desc(), derivations.c.id)
    ).all()
    return tuple(CredentialState(row.state) for row in rows if row.derivation_id == rows[0].derivation_id)


def move(
    tx: Transaction, credential: Credential, to: CredentialState, values: Mapping[str, object] | None = None
) -> bool:
    """Move a credential from the state it was read in; False when it moved meanwhile."""
    if to not in CREDENTIAL_MOVES[credential.state]:
        return False
    row = {"moved": credential.id, "state_before": credential.state.value, "state": to.value, **(values or {})}
    return tx.execute(_MOVE, row).rowcount == 1


def take_over_hold(tx: Transaction, credential: Credential, by: UUID) -> bool:
    """Let what one person put on hold be another's hold, until the same time; False when it moved meanwhile."""
    same = sa.and_(table.c.id == credential.id, HELD, table.c.held_by == credential.held_by)
    return tx.execute(table.update().where(same).values(held_by=by)).rowcount == 1


def _on(trust_entries: Collection[str], *, device: bytes | None, person: UUID | None) -> list[Filter]:
    conditions: list[Filter] = [table.c.device_trust_entry.in_(trust_entries)]
    if device is not None:
        conditions.append(table.c.device_thumbprint == device)
    if person is not None:
        conditions.append(table.c.person_id == person)
    return conditions


def _one(tx: Transaction, statement: sa.Select[Any], **values: object) -> Credential | None:
    row = tx.execute(statement, values).one_or_none()
    return None if row is None else _credential(row)


def _all(tx: Transaction, statement: sa.Select[Any], **values: object) -> tuple[Credential, ...]:
    return tuple(_credential(row) for row in tx.execute(statement, values))


def _credential(row: sa.Row[Any]) -> Credential:
    return Credential(
        id=row.id,
        derivation=row.derivation_id,
        purpose=Purpose(row.purpose),
        person=row.person_id,
        device_trust_entry=row.device_trust_entry,
        device_thumbprint=row.device_thumbprint,
        certificate=row.certificate_id,
        escrowed_key=row.escrowed_key_id,
        state=CredentialState(row.state),
        planned_at=row.planned_at,
        replaces=row.replaces_id,
        request_digest=row.request_digest,
        serial_number=row.serial_number,
        thumbprint=row.thumbprint,
        not_before=row.not_before,
        not_after=row.not_after,
        issued_at=row.issued_at,
        rekey_from=row.rekey_from,
        ended_at=row.ended_at,
        end_reason=None if row.end_reason is None else EndReason(row.end_reason),
        rule=row.rule_id,
        held_until=row.held_until,
        held_by=row.held_by,
    )
