# SPDX-License-Identifier: Apache-2.0
"""Derivations and their authorizations. Every move is one UPDATE that names the state it expects."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from etymon.ca.store import is_certified_by
from etymon.directory.model import Binding
from etymon.issuer.errors import derivation_over
from etymon.issuer.model import (
    COUNTED,
    DERIVATION_MOVES,
    OPEN,
    CredentialState,
    Derivation,
    DerivationState,
    DeviceDescription,
    DeviceIdentity,
    EndReason,
    Purpose,
    RedeemedLink,
)
from etymon.issuer.tables import authorizations, card_proofs, credentials, requests
from etymon.issuer.tables import derivations as table
from etymon.storage.database import Transaction

Filter = sa.ColumnElement[bool]

_DERIVATIONS: Final = sa.select(*table.c)
_BY_ID: Final = _DERIVATIONS.where(table.c.id == sa.bindparam("id"))
_LOCKED: Final = _BY_ID.with_for_update()
_BY_AUTHORIZATION: Final = _DERIVATIONS.where(table.c.authorization_digest == sa.bindparam("digest"))
_BY_UNDO: Final = _DERIVATIONS.where(table.c.undo_id == sa.bindparam("undo"))
_ALL_OF: Final = _DERIVATIONS.where(table.c.person_id == sa.bindparam("person")).order_by(table.c.id).with_for_update()
_ADD: Final = table.insert()
_ADD_AUTHORIZATION: Final = authorizations.insert()
_MOVE: Final = table.update().where(table.c.id == sa.bindparam("moved"), table.c.state == sa.bindparam("state_before"))
_AUTHORIZATION: Final = sa.and_(
    authorizations.c.derivation_id == sa.bindparam("derivation"),
    authorizations.c.purpose == sa.bindparam("for_purpose"),
)
_USE_AUTHORIZATION: Final = authorizations.update().where(_AUTHORIZATION, authorizations.c.state == "open")
_REQUEST_DIGEST: Final = sa.select(authorizations.c.request_digest).where(_AUTHORIZATION)
"""Statements of every enrollment, built once; to build one takes longer than to run it."""

_NOT_OVER: Final = table.c.state.not_in([state.value for state in DerivationState if state not in OPEN])
"""Open, said so that no index of states is looked up: a page by id would then collect and sort all that is left."""


def add(tx: Transaction, derivation: Derivation, secret_digest: bytes) -> None:
    """Keep a derivation that begins, with one open authorization a purpose."""
    row = {
        "id": derivation.id,
        "state": derivation.state.value,
        "person_id": derivation.person,
        "rule_id": derivation.rule,
        "proof_id": derivation.proof,
        "session_id": derivation.session,
        "purposes": [purpose.value for purpose in derivation.purposes],
        "duties_version": derivation.duties_version,
        "begun_at": derivation.begun_at,
        "begun_from": derivation.begun_from,
        "expires_at": derivation.expires_at,
        "undo_id": derivation.undo,
        "secret_digest": secret_digest,
        "asks_password": derivation.asks_password,
        "wrong_secrets": derivation.wrong_secrets,
        "request_id": derivation.request,
    }
    tx.execute(_ADD, row)
    tx.execute(
        _ADD_AUTHORIZATION,
        [
            {"derivation_id": derivation.id, "purpose": purpose.value, "state": "open"}
            for purpose in derivation.purposes
        ],
    )


def find(tx: Transaction, derivation: UUID) -> Derivation | None:
    """Return a derivation."""
    return _one(tx, _BY_ID, id=derivation)


def proof_of(tx: Transaction, derivation: UUID) -> UUID:
    """Return the card proof that a derivation there is began with."""
    proof: UUID = tx.execute(sa.select(table.c.proof_id).where(table.c.id == derivation)).scalar_one()
    return proof


def lock(tx: Transaction, derivation: UUID) -> Derivation | None:
    """Return a derivation and let nobody else move it before this transaction ends."""
    return _one(tx, _LOCKED, id=derivation)


def with_secret(tx: Transaction, derivation: UUID) -> tuple[Derivation, bytes] | None:
    """Return a derivation with the digest of its secret."""
    row = tx.execute(_BY_ID, {"id": derivation}).one_or_none()
    return None if row is None else (_derivation(row), row.secret_digest)


def lock_with_secret(tx: Transaction, derivation: UUID) -> tuple[Derivation, bytes] | None:
    """Return a derivation, locked, with the digest of its secret."""
    row = tx.execute(_LOCKED, {"id": derivation}).one_or_none()
    return None if row is None else (_derivation(row), row.secret_digest)


def by_authorization(tx: Transaction, digest: bytes) -> Derivation | None:
    """Return the derivation an authorization belongs to, live or not."""
    return _one(tx, _BY_AUTHORIZATION, digest=digest)


def by_undo(tx: Transaction, undo: UUID) -> Derivation | None:
    """Return the derivation an undo link belongs to."""
    return _one(tx, _BY_UNDO, undo=undo)


def lock_all_of(tx: Transaction, person: UUID) -> tuple[Derivation, ...]:
    """Return every derivation of a person, locked in one order, so that two transactions count one after the other."""
    return tuple(_derivation(row) for row in tx.execute(_ALL_OF, {"person": person}))


def lock_on(
    tx: Transaction, trust_entries: Collection[str], *, device: bytes | None, person: UUID | None
) -> tuple[Derivation, ...]:
    """Return what can be ended of a device or a person on devices of these trust entries, locked in one order."""
    conditions: list[Filter] = [
        table.c.device_trust_entry.in_(trust_entries),
        table.c.state.in_([state.value for state in OPEN]),
    ]
    if device is not None:
        conditions.append(table.c.device_thumbprint == device)
    if person is not None:
        conditions.append(table.c.person_id == person)
    rows = tx.execute(sa.select(*table.c).where(*conditions).order_by(table.c.id).with_for_update())
    return tuple(_derivation(row) for row in rows)


def of_person(tx: Transaction, person: UUID, states: Collection[DerivationState]) -> tuple[Derivation, ...]:
    """Return a person's derivations in one of `states`, the newest first."""
    return _all(tx, sa.and_(table.c.person_id == person, table.c.state.in_([state.value for state in states])))


def carrying(tx: Transaction, *, after: UUID | None, limit: int) -> tuple[Derivation, ...]:
    """Return derivations whose phones have credentials, or may ask for them, by id, those after a known one."""
    wanted = sa.select(*table.c).where(table.c.state.in_([state.value for state in COUNTED]))
    if after is not None:
        wanted = wanted.where(table.c.id > after)
    return tuple(_derivation(row) for row in tx.execute(wanted.order_by(table.c.id).limit(limit)))


def made_with(
    tx: Transaction, trust_entry: str, card: Binding | None, *, since: datetime, until: datetime
) -> tuple[UUID, ...]:
    """Return what can be ended of what began, until a time, with cards of an entry, or with one of them.

    What was confirmed before `since` is left out.
    """
    conditions: list[Filter] = [
        table.c.state.in_([state.value for state in OPEN]),
        table.c.expires_at > since,  # which the index knows, and which is later than the confirmation
        sa.or_(table.c.confirmed_at.is_(None), table.c.confirmed_at > since),
        table.c.begun_at <= until,
        card_proofs.c.trust_entry == trust_entry,
    ]
    if card is not None:
        conditions += [card_proofs.c.identifier == card.identifier, table.c.person_id == card.person_id]
    found = sa.select(table.c.id).join(card_proofs, card_proofs.c.id == table.c.proof_id).where(*conditions)
    return tuple(tx.scalars(found.order_by(table.c.id)))


@dataclass(frozen=True, slots=True)
class Authorized:
    """What rules, or approvals of an officer, have authorised since a time; or what an authority has certified."""

    rules: frozenset[UUID]
    officer: UUID | None
    since: datetime
    authority: str = ""


def authorized(tx: Transaction, scope: Authorized, limit: int, *, after: UUID | None = None) -> tuple[UUID, ...]:
    """Return what can be ended of what was authorised, also where only a rekey was, by id, those after a known one."""
    found = sa.select(table.c.id).where(_authorized(scope)).order_by(table.c.id).limit(limit)
    return tuple(tx.scalars(found if after is None else found.where(table.c.id > after)))


def count_authorized(tx: Transaction, scope: Authorized) -> int:
    """Return how much there is of it."""
    return tx.scalar(sa.select(sa.func.count()).select_from(table).where(_authorized(scope))) or 0


def _authorized(scope: Authorized) -> Filter:
    living = sa.exists().where(
        credentials.c.derivation_id == table.c.id,
        credentials.c.state != CredentialState.ENDED.value,
        credentials.c.planned_at >= scope.since,
    )
    if scope.authority:
        by_authority = living.where(is_certified_by(credentials.c.certificate_id, scope.authority))
        return sa.and_(_NOT_OVER, by_authority)
    certified = living.where(sa.func.coalesce(credentials.c.rule_id, table.c.rule_id).in_(scope.rules))
    begun = sa.and_(table.c.rule_id.in_(scope.rules), table.c.begun_at >= scope.since)
    approved = table.c.request_id.in_(
        sa.select(requests.c.id).where(requests.c.decided_by == scope.officer, requests.c.decided_at >= scope.since)
    )
    by_any = sa.or_(begun, certified) if scope.officer is None else sa.or_(begun, certified, approved)
    return sa.and_(_NOT_OVER, by_any)


def over_at(tx: Transaction, now: datetime, states: Collection[DerivationState], limit: int) -> tuple[UUID, ...]:
    """Return derivations in one of `states` whose time is over."""
    found = tx.scalars(
        sa.select(table.c.id)
        .where(table.c.state.in_([state.value for state in states]), table.c.expires_at <= now)
        .order_by(table.c.expires_at)
        .limit(limit)
    )
    return tuple(found)


def move(
    tx: Transaction, derivation: Derivation, to: DerivationState, values: Mapping[str, object] | None = None
) -> None:
    """Move a derivation from the state it was read in; `Conflict` when that is not allowed or it moved meanwhile."""
    if to not in DERIVATION_MOVES[derivation.state]:
        raise derivation_over()
    row = {"moved": derivation.id, "state_before": derivation.state.value, "state": to.value, **(values or {})}
    done = tx.execute(_MOVE, row)
    if done.rowcount != 1:
        raise derivation_over()


def redeemed_values(link: RedeemedLink) -> Mapping[str, object]:
    """Return the columns that redemption fills."""
    return {
        "device_trust_entry": link.device.trust_entry if link.device else None,
        "device_thumbprint": link.device.thumbprint if link.device else None,
        "device_certificate": link.device.certificate if link.device else None,
        "device_description": {
            "manufacturer": link.description.manufacturer,
            "model": link.description.model,
            "serial_number": link.description.serial_number,
        },
        "link_key": link.key,
        "link_key_thumbprint": link.key_thumbprint,
        "digits": link.digits,
        "redeemed_at": link.redeemed_at,
        "redeemed_from": link.redeemed_from,
    }


def ended_values(reason: EndReason, now: datetime) -> Mapping[str, object]:
    """Return the columns that the end fills."""
    return {"ended_at": now, "end_reason": reason.value}


def count_wrong_secret(tx: Transaction, derivation: UUID) -> int:
    """Count a wrong secret; return how many there were."""
    counted = tx.execute(
        table.update()
        .where(table.c.id == derivation)
        .values(wrong_secrets=table.c.wrong_secrets + 1)
        .returning(table.c.wrong_secrets)
    )
    return int(counted.scalar_one())


def use_authorization(
    tx: Transaction, derivation: UUID, purpose: Purpose, request_digest: bytes, now: datetime
) -> bool:
    """Use the authorization for a purpose; False when it was used before or there never was one."""
    row = {
        "derivation": derivation,
        "for_purpose": purpose.value,
        "state": "used",
        "request_digest": request_digest,
        "used_at": now,
    }
    return tx.execute(_USE_AUTHORIZATION, row).rowcount == 1


def request_digest(tx: Transaction, derivation: UUID, purpose: Purpose) -> bytes | None:
    """Return the digest of the request an authorization was used with; None while it is open."""
    return tx.scalar(_REQUEST_DIGEST, {"derivation": derivation, "for_purpose": purpose.value})


def _one(tx: Transaction, statement: sa.Select[Any], **values: object) -> Derivation | None:
    row = tx.execute(statement, values).one_or_none()
    return None if row is None else _derivation(row)


def _all(tx: Transaction, condition: Filter) -> tuple[Derivation, ...]:
    rows: Sequence[sa.Row[Any]] = tx.execute(
        sa.select(*table.c).where(condition).order_by(table.c.begun_at.desc(), table.c.id)
    ).all()
    return tuple(_derivation(row) for row in rows)


def _derivation(row: sa.Row[Any]) -> Derivation:
    return Derivation(
        id=row.id,
        state=DerivationState(row.state),
        person=row.person_id,
        rule=row.rule_id,
        proof=row.proof_id,
        session=row.session_id,
        purposes=tuple(Purpose(purpose) for purpose in row.purposes),
        duties_version=row.duties_version,
        begun_at=row.begun_at,
        begun_from=row.begun_from,
        expires_at=row.expires_at,
        undo=row.undo_id,
        asks_password=row.asks_password,
        wrong_secrets=row.wrong_secrets,
        link=None if row.link_key is None else _link(row),
        confirmed_at=row.confirmed_at,
        ended_at=row.ended_at,
        end_reason=None if row.end_reason is None else EndReason(row.end_reason),
        request=row.request_id,
    )


def _link(row: sa.Row[Any]) -> RedeemedLink:
    device = None
    if row.device_thumbprint is not None:
        device = DeviceIdentity(row.device_trust_entry, row.device_thumbprint, row.device_certificate)
    return RedeemedLink(
        device=device,
        description=DeviceDescription(**row.device_description),
        key=row.link_key,
        key_thumbprint=row.link_key_thumbprint,
        digits=row.digits,
        redeemed_at=row.redeemed_at,
        redeemed_from=row.redeemed_from,
    )
