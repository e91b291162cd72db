# SPDX-License-Identifier: Apache-2.0
"""Queries of SCEP: connectors, challenges, enrollments, registration authorities."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from etymon.ca.store import certificates_of
from etymon.issuer.model import EndReason
from etymon.issuer.scep.model import (
    ENROLLMENT_MOVES,
    Challenge,
    ChallengeSource,
    Connector,
    Enrollment,
    EnrollmentState,
    Holder,
)
from etymon.issuer.scep.tables import challenges, connectors, enrollments, registration_authorities
from etymon.pki.algorithms import KeyType
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken


def save_connector(tx: Transaction, connector: Connector, page_password_digest: bytes | None) -> None:
    """Put a connector in force under its name, in the place of the one before."""
    values = {
        "client_id": connector.client,
        "source": connector.source,
        "lifetime_seconds": int(connector.lifetime.total_seconds()),
        "key_types": sorted(kind.value for kind in connector.key_types),
        "legacy_algorithms": connector.legacy_algorithms,
        "page_password_digest": page_password_digest,
        "created_by": connector.created_by,
        "created_at": connector.created_at,
        "withdrawn_at": None,
    }
    if not insert_unless_taken(tx, connectors, name=connector.name, **values):
        tx.execute(connectors.update().where(connectors.c.name == connector.name).values(values))


def withdraw_connector(tx: Transaction, name: str, now: datetime) -> bool:
    """End a connector that is in force; False when there is none."""
    ended = connectors.update().where(connectors.c.name == name, connectors.c.withdrawn_at.is_(None))
    return tx.execute(ended.values(withdrawn_at=now)).rowcount == 1


def connectors_in_force(tx: Transaction) -> tuple[Connector, ...]:
    """Return the connectors in force, by name."""
    rows = tx.execute(sa.select(*connectors.c).where(connectors.c.withdrawn_at.is_(None)).order_by(connectors.c.name))
    return tuple(_connector(row) for row in rows)


def find_connector(tx: Transaction, name: str) -> tuple[Connector, bytes | None] | None:
    """Return a connector in force, and the digest of its page's password."""
    row = tx.execute(
        sa.select(*connectors.c).where(connectors.c.name == name, connectors.c.withdrawn_at.is_(None))
    ).one_or_none()
    return None if row is None else (_connector(row), row.page_password_digest)


def add_challenge(tx: Transaction, challenge: Challenge, digest: bytes, *, used_at: datetime | None = None) -> bool:
    """Keep a challenge by its digest, used already where `used_at` says so; False when it is there."""
    holder = challenge.holder
    return insert_unless_taken(
        tx,
        challenges,
        id=challenge.id,
        digest=digest,
        connector=challenge.connector,
        person_id=holder.person if holder else None,
        device_id=holder.device if holder else None,
        device_name=holder.device_name if holder else "",
        asked_by=challenge.asked_by,
        made_at=challenge.made_at,
        expires_at=challenge.expires_at,
        request_digest=challenge.request_digest,
        used_at=used_at,
    )


def waiting_challenges(tx: Transaction, connector: str, now: datetime) -> int:
    """Count a connector's challenges that are neither used nor over."""
    found = sa.select(sa.func.count()).where(
        challenges.c.connector == connector, challenges.c.expires_at > now, challenges.c.used_at.is_(None)
    )
    return int(tx.execute(found).scalar_one())


def find_challenge(tx: Transaction, connector: str, digest: bytes) -> Challenge | None:
    """Return a connector's challenge."""
    row = tx.execute(
        sa.select(*challenges.c).where(challenges.c.digest == digest, challenges.c.connector == connector)
    ).one_or_none()
    if row is None:
        return None
    return Challenge(
        id=row.id,
        connector=row.connector,
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


def enrollment_by_certificate(tx: Transaction, connector: str, certificate: UUID) -> Enrollment | None:
    """Return the connector's enrollment of a certificate of the CA."""
    return _one(tx, enrollments.c.certificate_id == certificate, enrollments.c.connector == connector)


def enrollments_by_key(tx: Transaction, connector: str, key_thumbprint: bytes) -> tuple[Enrollment, ...]:
    """Return the connector's enrollments of a key, the newest first; there is more than one if some were given up."""
    rows = tx.execute(
        sa.select(*enrollments.c)
        .where(enrollments.c.connector == connector, enrollments.c.key_thumbprint == key_thumbprint)
        .order_by(enrollments.c.planned_at.desc())
        .limit(10)
    )
    return tuple(_enrollment(row) for row in rows)


def enrollments_by_serial(tx: Transaction, serial_number: str) -> tuple[Enrollment, ...]:
    """Return the enrollments whose certificate has a serial number, as the CA writes it."""
    rows = tx.execute(sa.select(*enrollments.c).where(enrollments.c.serial_number == serial_number))
    return tuple(_enrollment(row) for row in rows)


def enrollments_of_person(tx: Transaction, person: UUID) -> tuple[Enrollment, ...]:
    """Return a person's enrollments that have not ended."""
    rows = tx.execute(
        sa.select(*enrollments.c).where(enrollments.c.person_id == person, enrollments.c.state != EnrollmentState.ENDED)
    )
    return tuple(_enrollment(row) for row in rows)


def enrollments_by_authority(
    tx: Transaction, authority: str, since: datetime, limit: int
) -> tuple[tuple[UUID, ...], int]:
    """Return ids of enrollments that an authority certified since a time and that have not ended, and how many are."""
    conditions = (
        enrollments.c.state != EnrollmentState.ENDED,
        enrollments.c.planned_at >= since,
        enrollments.c.certificate_id.in_(certificates_of(authority)),
    )
    ids = tx.scalars(sa.select(enrollments.c.id).where(*conditions).order_by(enrollments.c.id).limit(limit))
    count = tx.scalar(sa.select(sa.func.count()).select_from(enrollments).where(*conditions))
    return tuple(ids), count or 0


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


def _connector(row: sa.Row[Any]) -> Connector:
    return Connector(
        name=row.name,
        source=ChallengeSource(row.source),
        lifetime=timedelta(seconds=row.lifetime_seconds),
        created_by=row.created_by,
        created_at=row.created_at,
        client=row.client_id,
        key_types=frozenset(KeyType(kind) for kind in row.key_types),
        legacy_algorithms=row.legacy_algorithms,
    )


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
