# SPDX-License-Identifier: Apache-2.0
"""Queries of SCEP: challenges, enrollments, registration authorities."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from etymon.ca.store import is_certified_by
from etymon.issuer.model import EndReason
from etymon.issuer.scep.model import (
    ENROLLMENT_MOVES,
    Challenge,
    Connector,
    Enrollment,
    EnrollmentState,
    Holder,
)
from etymon.issuer.scep.tables import LIVE, challenges, enrollments, registration_authorities
from etymon.storage import narrowing
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken
from etymon.storage.schema import UTCDateTime
from etymon.wire.odata import Expression


def add_challenge(tx: Transaction, challenge: Challenge, digest: bytes, *, used_at: datetime | None = None) -> bool:
    """Keep a challenge by its digest, used already where `used_at` says so; False when it is there."""
    holder = challenge.holder
    return insert_unless_taken(
        tx,
        challenges,
        id=challenge.id,
        digest=digest,
        connector=challenge.connector,
        connector_id=challenge.connector_id,
        person_id=holder.person if holder else None,
        device_id=holder.device if holder else None,
        device_name=holder.device_name if holder else "",
        asked_by=challenge.asked_by,
        made_at=challenge.made_at,
        expires_at=challenge.expires_at,
        request_digest=challenge.request_digest,
        used_at=used_at,
    )


def waiting_challenges(tx: Transaction, connector: Connector, now: datetime) -> int:
    """Count a connector's challenges that are neither used nor over."""
    found = sa.select(sa.func.count()).where(
        _owned(challenges, connector), challenges.c.expires_at > now, challenges.c.used_at.is_(None)
    )
    return int(tx.execute(found).scalar_one())


def find_challenge(tx: Transaction, connector: Connector, digest: bytes) -> Challenge | None:
    """Return a connector's challenge."""
    row = tx.execute(
        sa.select(*challenges.c).where(challenges.c.digest == digest, _owned(challenges, connector))
    ).one_or_none()
    if row is None:
        return None
    return Challenge(
        id=row.id,
        connector=row.connector,
        connector_id=row.connector_id,
        holder=_holder(row),
        asked_by=row.asked_by,
        made_at=row.made_at,
        expires_at=row.expires_at,
        request_digest=row.request_digest,
    )


def use_challenge(tx: Transaction, challenge: UUID, request_digest: bytes, now: datetime) -> bool:
    """Use a challenge for one request; False when it was used or is over."""
    used = challenges.update().where(
        challenges.c.id == challenge, challenges.c.used_at.is_(None), challenges.c.expires_at > now
    )
    return tx.execute(used.values(request_digest=request_digest, used_at=now)).rowcount == 1


def end_waiting_challenges(
    tx: Transaction, now: datetime, *, connector: str | None = None, person: UUID | None = None
) -> int:
    """Have the challenges end that nobody has used, of a connector's name or of a person; return how many it were."""
    whose = challenges.c.person_id == person if person is not None else challenges.c.connector == connector
    waiting = sa.and_(challenges.c.expires_at > now, challenges.c.used_at.is_(None))
    return tx.execute(challenges.update().where(waiting, whose).values(expires_at=now)).rowcount


def remove_unused_challenges(tx: Transaction, before: datetime) -> int:
    """Remove challenges that nobody used in time."""
    return tx.execute(
        challenges.delete().where(challenges.c.expires_at <= before, challenges.c.used_at.is_(None))
    ).rowcount


def add_enrollment(tx: Transaction, enrollment: Enrollment) -> bool:
    """Keep a planned enrollment; False when its challenge or the certificate it renews was used for another."""
    holder = enrollment.holder
    return insert_unless_taken(
        tx,
        enrollments,
        id=enrollment.id,
        connector=enrollment.connector,
        connector_id=enrollment.connector_id,
        officer_id=enrollment.officer,
        challenge_id=enrollment.challenge,
        renews_id=enrollment.renews,
        transaction_id=enrollment.transaction_id,
        request_digest=enrollment.request_digest,
        key_thumbprint=enrollment.key_thumbprint,
        person_id=holder.person if holder else None,
        device_id=holder.device if holder else None,
        device_name=holder.device_name if holder else "",
        certificate_id=enrollment.certificate,
        state=enrollment.state,
        planned_at=enrollment.planned_at,
    )


def find_enrollment(tx: Transaction, enrollment: UUID) -> Enrollment | None:
    """Return an enrollment by its id."""
    return _one(tx, enrollments.c.id == enrollment)


def lock_enrollment(tx: Transaction, enrollment: UUID) -> Enrollment | None:
    """Return an enrollment and keep others from moving it until the transaction ends."""
    row = tx.execute(sa.select(*enrollments.c).where(enrollments.c.id == enrollment).with_for_update()).one_or_none()
    return None if row is None else _enrollment(row)


def enrollment_by_challenge(tx: Transaction, challenge: UUID) -> Enrollment | None:
    """Return what a challenge was used for."""
    return _one(tx, enrollments.c.challenge_id == challenge)


def enrollment_that_renews(tx: Transaction, enrollment: UUID) -> Enrollment | None:
    """Return what followed an enrollment."""
    return _one(tx, enrollments.c.renews_id == enrollment)


def enrollment_by_certificate(tx: Transaction, connector: Connector, certificate: UUID) -> Enrollment | None:
    """Return the connector's enrollment of a certificate of the CA."""
    return _one(tx, enrollments.c.certificate_id == certificate, _owned(enrollments, connector))


def enrollments_by_key(tx: Transaction, connector: Connector, key_thumbprint: bytes) -> tuple[Enrollment, ...]:
    """Return the connector's enrollments of a key, the newest first; there is more than one if some were given up."""
    rows = tx.execute(
        sa.select(*enrollments.c)
        .where(_owned(enrollments, connector), enrollments.c.key_thumbprint == key_thumbprint)
        .order_by(enrollments.c.planned_at.desc())
        .limit(10)
    )
    return tuple(_enrollment(row) for row in rows)


def enrollments_by_serial(
    tx: Transaction, serial_number: str, connector: Connector | None = None
) -> tuple[Enrollment, ...]:
    """Return the enrollments whose certificate has a serial number, as the CA writes it; of one connector or of all."""
    found = sa.select(*enrollments.c).where(enrollments.c.serial_number == serial_number)
    rows = tx.execute(found if connector is None else found.where(_owned(enrollments, connector)))
    return tuple(_enrollment(row) for row in rows)


def enrollments_of_person(tx: Transaction, person: UUID) -> tuple[Enrollment, ...]:
    """Return a person's enrollments that have not ended, in one order for everybody."""
    found = sa.select(*enrollments.c).where(enrollments.c.person_id == person, LIVE).order_by(enrollments.c.id)
    return tuple(_enrollment(row) for row in tx.execute(found))


FILTERED: Final[Mapping[str, sa.Column[Any]]] = {
    "connector": enrollments.c.connector,
    "userId": enrollments.c.person_id,
    "serialNumber": enrollments.c.serial_number,
    "id": enrollments.c.id,
}
"""Properties by which enrollments are found through an index."""


def page(tx: Transaction, *, narrowed: Expression | None, after: UUID | None, limit: int) -> tuple[Enrollment, ...]:
    """Return enrollments in the order of their ids; `narrowed` counts where an index helps."""
    found = sa.select(*enrollments.c).order_by(enrollments.c.id).limit(limit)
    condition = narrowing.found_by(narrowed, FILTERED) if narrowed is not None else None
    if condition is not None:
        found = found.where(condition)
    if after is not None:
        found = found.where(enrollments.c.id > after)
    return tuple(_enrollment(row) for row in tx.execute(found))


def enrolled(
    tx: Transaction, since: datetime, limit: int, *, after: UUID | None = None, **whose: object
) -> tuple[UUID, ...]:
    """Return what has not ended of what was planned since a time, the oldest first, those after a known one.

    `whose` names a `connector`, an `officer_id`, or an `authority`.
    """
    table = enrollments.c
    found = sa.select(table.id).where(_enrolled(since, whose)).order_by(table.planned_at, table.id).limit(limit)
    known = None if after is None else find_enrollment(tx, after)
    if known is not None:
        place = sa.tuple_(sa.literal(known.planned_at, UTCDateTime), sa.literal(known.id))
        found = found.where(sa.tuple_(table.planned_at, table.id) > place)
    return tuple(tx.scalars(found))


def count_enrolled(tx: Transaction, since: datetime, **whose: object) -> int:
    """Return how much there is of it."""
    return int(tx.execute(sa.select(sa.func.count()).where(_enrolled(since, whose))).scalar_one())


def certificates_of_person(tx: Transaction, person: UUID, *, valid_at: datetime) -> tuple[UUID, ...]:
    """Return the certificates a person was given by SCEP, ended or not, that are not over at a moment."""
    given = sa.select(enrollments.c.certificate_id).where(
        enrollments.c.person_id == person, enrollments.c.not_after >= valid_at
    )
    return tuple(tx.scalars(given))


def move(tx: Transaction, enrollment: Enrollment, to: EnrollmentState, values: Mapping[str, Any]) -> bool:
    """Move an enrollment if it stands where it was read; say whether it did."""
    if to not in ENROLLMENT_MOVES[enrollment.state]:
        return False
    moved = enrollments.update().where(enrollments.c.id == enrollment.id, enrollments.c.state == enrollment.state)
    return tx.execute(moved.values(state=to, **values)).rowcount == 1


def add_registration_authority(tx: Transaction, key_name: str, certificate: UUID, not_after: datetime) -> bool:
    """Keep a registration authority; False when it is there."""
    return insert_unless_taken(
        tx, registration_authorities, key_name=key_name, certificate_id=certificate, not_after=not_after
    )


def valid_registration_authorities(tx: Transaction, moment: datetime) -> tuple[tuple[str, UUID], ...]:
    """Return key name and certificate of the registration authorities that end after a moment, the newest first."""
    table = registration_authorities
    rows = tx.execute(sa.select(*table.c).where(table.c.not_after > moment).order_by(table.c.not_after.desc()).limit(5))
    return tuple((row.key_name, row.certificate_id) for row in rows)


def _enrolled(since: datetime, whose: Mapping[str, object]) -> sa.ColumnElement[bool]:
    of_whom = (
        is_certified_by(enrollments.c.certificate_id, str(value))
        if column == "authority"
        else enrollments.c[column] == value
        for column, value in whose.items()
    )
    return sa.and_(LIVE, enrollments.c.planned_at >= since, *of_whom)


def _owned(table: sa.Table, connector: Connector) -> sa.ColumnElement[bool]:
    """What is the connector's own, and not another's that had its name before."""
    unowned = table.c.connector_id.is_(None)  # written by a replica of an earlier version
    mine = unowned if connector.id is None else sa.or_(unowned, table.c.connector_id == connector.id)
    return sa.and_(table.c.connector == connector.name, mine)


def _holder(row: sa.Row[Any]) -> Holder | None:
    if row.person_id is None and row.device_id is None:
        return None
    return Holder(row.person_id, row.device_id, row.device_name)


def _one(tx: Transaction, *conditions: sa.ColumnElement[bool]) -> Enrollment | None:
    row = tx.execute(sa.select(*enrollments.c).where(*conditions)).one_or_none()
    return None if row is None else _enrollment(row)


def _enrollment(row: sa.Row[Any]) -> Enrollment:
    return Enrollment(
        id=row.id,
        connector=row.connector,
        connector_id=row.connector_id,
        officer=row.officer_id,
        challenge=row.challenge_id,
        renews=row.renews_id,
        transaction_id=row.transaction_id,
        request_digest=row.request_digest,
        key_thumbprint=row.key_thumbprint,
        holder=_holder(row),
        certificate=row.certificate_id,
        state=EnrollmentState(row.state),
        planned_at=row.planned_at,
        serial_number=row.serial_number,
        not_after=row.not_after,
        issued_at=row.issued_at,
        ended_at=row.ended_at,
        end_reason=None if row.end_reason is None else EndReason(row.end_reason),
    )
