# SPDX-License-Identifier: Apache-2.0
"""Enrollment profiles and sessions."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import sqlalchemy as sa

from etymon.kernel.secret import Secret
from etymon.mdm.enrollment_profile import EnrollmentProfile, EnrollmentToken, NetworkWithoutPassword, ProfileTerms
from etymon.mdm.model import DeviceFacts, EnrollmentSession, SessionState
from etymon.mdm.tables import enrollment_profiles as profiles
from etymon.mdm.tables import enrollment_sessions as sessions
from etymon.mdm.tables import managed_devices as devices
from etymon.storage.database import Transaction
from etymon.wire.enrollment_qr import SECURITY_TYPES, SetupNetwork

_PROFILE: Final[tuple[sa.Column[Any], ...]] = (
    profiles.c.id,
    profiles.c.display_name,
    profiles.c.description,
    profiles.c.device_name_template,
    profiles.c.network_ssid,
    profiles.c.network_security,
    profiles.c.network_hidden,
    profiles.c.network_password,
    profiles.c.token_wrapped,
    profiles.c.token_created_at,
    profiles.c.token_expires_at,
    profiles.c.enrolled_devices,
    profiles.c.created_at,
    profiles.c.modified_at,
)


Opener: TypeAlias = Callable[[UUID, bytes], Secret[str] | None]
"""Opens a ciphertext that stands in the row with this id; None where it does not open."""


@dataclass(frozen=True, slots=True)
class Openers:
    """How a profile's ciphertexts are opened."""

    token: Opener
    password: Opener


def insert_profile(tx: Transaction, profile: EnrollmentProfile, network_password: bytes | None) -> None:
    """Add a profile without a token."""
    tx.execute(
        profiles.insert().values(
            id=profile.id,
            enrolled_devices=0,
            created_at=profile.created_at,
            modified_at=profile.modified_at,
            **_terms(profile.terms, network_password),
        )
    )


def update_profile(
    tx: Transaction, id_: UUID, terms: ProfileTerms, network_password: bytes | None, now: datetime
) -> None:
    """Change what an administrator chose."""
    tx.execute(profiles.update().where(profiles.c.id == id_).values(modified_at=now, **_terms(terms, network_password)))


def delete_profile(tx: Transaction, id_: UUID) -> bool:
    """Remove a profile; devices that came by it stay."""
    return tx.execute(profiles.delete().where(profiles.c.id == id_)).rowcount == 1


def find_profile(tx: Transaction, id_: UUID, opener: Openers) -> EnrollmentProfile | None:
    """Return a profile."""
    row = tx.execute(sa.select(*_PROFILE).where(profiles.c.id == id_)).one_or_none()
    return _profile(row, opener) if row else None


def find_profile_by_token(tx: Transaction, digest: bytes, opener: Openers) -> EnrollmentProfile | None:
    """Return the profile whose present token has `digest`."""
    row = tx.execute(sa.select(*_PROFILE).where(profiles.c.token_digest == digest)).one_or_none()
    return _profile(row, opener) if row else None


def page_of_profiles(tx: Transaction, *, after: UUID | None, limit: int, opener: Openers) -> list[EnrollmentProfile]:
    """Return profiles in the order of their ids."""
    query = sa.select(*_PROFILE).order_by(profiles.c.id).limit(limit)
    if after is not None:
        query = query.where(profiles.c.id > after)
    return [_profile(row, opener) for row in tx.execute(query)]


def set_token(
    tx: Transaction, id_: UUID, digest: bytes, wrapped: bytes, *, created_at: datetime, expires_at: datetime | None
) -> bool:
    """Give a profile a new token; the one before admits nobody any more. False where there is no such profile."""
    given = tx.execute(
        profiles.update()
        .where(profiles.c.id == id_)
        .values(
            token_digest=digest,
            token_wrapped=wrapped,
            token_created_at=created_at,
            token_expires_at=expires_at,
        )
    )
    return given.rowcount == 1


def remove_token(tx: Transaction, id_: UUID) -> bool:
    """Take a profile's token away; False when it has none."""
    removed = tx.execute(
        profiles.update()
        .where(profiles.c.id == id_, profiles.c.token_digest.is_not(None))
        .values(token_digest=None, token_wrapped=None, token_created_at=None, token_expires_at=None)
    )
    return removed.rowcount == 1


def remove_all_tokens(tx: Transaction) -> int:
    """Take the tokens of all profiles away; return how many there were."""
    gone = {"token_digest": None, "token_wrapped": None, "token_created_at": None, "token_expires_at": None}
    return tx.execute(profiles.update().where(profiles.c.token_digest.is_not(None)).values(gone)).rowcount


def network_passwords(tx: Transaction) -> list[tuple[UUID, bytes]]:
    """Return the passwords of setup networks as they are kept, each with the id of its row."""
    query = sa.select(profiles.c.id, profiles.c.network_password).where(profiles.c.network_password.is_not(None))
    return [(row.id, row.network_password) for row in tx.execute(query)]


def keep_network_password(tx: Transaction, id_: UUID, wrapped: bytes) -> None:
    """Keep the password of a profile's network under another key."""
    tx.execute(profiles.update().where(profiles.c.id == id_).values(network_password=wrapped))


def count_enrolled(tx: Transaction, id_: UUID) -> None:
    """Count one more device of a profile."""
    tx.execute(profiles.update().where(profiles.c.id == id_).values(enrolled_devices=profiles.c.enrolled_devices + 1))


def insert_session(tx: Transaction, session: EnrollmentSession) -> None:
    """Add an open session."""
    facts = session.facts
    tx.execute(
        sessions.insert().values(
            id=session.id,
            profile_id=session.profile,
            profile_name=session.profile_name,
            manufacturer=facts.manufacturer,
            model=facts.model,
            serial_number=facts.serial_number,
            os_version=facts.os_version,
            security_patch=facts.security_patch,
            state=session.state.value,
            secret_digest=session.secret_digest,
            created_at=session.created_at,
            expires_at=session.expires_at,
        )
    )


def find_session(tx: Transaction, id_: UUID, *, for_update: bool = False) -> EnrollmentSession | None:
    """Return a session; with `for_update` nobody else changes it before the transaction ends."""
    query = sa.select(sessions).where(sessions.c.id == id_)
    row = tx.execute(query.with_for_update() if for_update else query).one_or_none()
    return _session(row) if row else None


def planned_certificate_of(tx: Transaction, device: UUID) -> UUID | None:
    """Return the certificate that was planned for the device of a completed session."""
    return tx.scalar(
        sa.select(sessions.c.planned_certificate_id)
        .join(devices, devices.c.session_id == sessions.c.id)
        .where(devices.c.id == device)
    )


def complete_session(
    tx: Transaction, id_: UUID, *, person: UUID, device: UUID, key_sha256: bytes, planned_certificate: UUID
) -> bool:
    """Consume an open session; False when it is not open any more."""
    moved = tx.execute(
        sessions.update()
        .where(sessions.c.id == id_, sessions.c.state == SessionState.OPEN.value)
        .values(
            state=SessionState.COMPLETED.value,
            person_id=person,
            device_id=device,
            key_sha256=key_sha256,
            planned_certificate_id=planned_certificate,
        )
    )
    return moved.rowcount == 1


def cancel_session(tx: Transaction, id_: UUID) -> bool:
    """End an open session; False when it is not open any more."""
    moved = tx.execute(
        sessions.update()
        .where(sessions.c.id == id_, sessions.c.state == SessionState.OPEN.value)
        .values(state=SessionState.CANCELLED.value)
    )
    return moved.rowcount == 1


def remove_stale_sessions(tx: Transaction, *, expired_before: datetime, limit: int) -> None:
    """Remove up to `limit` sessions that led to nothing."""
    stale = (
        sa.select(sessions.c.id)
        .where(sessions.c.expires_at < expired_before, sessions.c.state != SessionState.COMPLETED.value)
        .order_by(sessions.c.expires_at)
        .limit(limit)
    )
    tx.execute(sessions.delete().where(sessions.c.id.in_(stale)))


def _terms(terms: ProfileTerms, network_password: bytes | None) -> dict[str, Any]:
    network = terms.network
    return {
        "display_name": terms.display_name,
        "description": terms.description,
        "device_name_template": terms.device_name_template,
        "network_ssid": network.ssid if network else None,
        "network_security": network.security if network else None,
        "network_hidden": bool(network and network.hidden),
        "network_password": network_password,
    }


def _profile(row: sa.Row[Any], opener: Openers) -> EnrollmentProfile:
    value = opener.token(row.id, row.token_wrapped) if row.token_wrapped is not None else None
    token = EnrollmentToken(value, row.token_created_at, row.token_expires_at) if value is not None else None
    terms = ProfileTerms(row.display_name, row.description, row.device_name_template, _network(row, opener))
    return EnrollmentProfile(row.id, terms, token, row.enrolled_devices, row.created_at, row.modified_at)


def _network(row: sa.Row[Any], opener: Openers) -> SetupNetwork | NetworkWithoutPassword | None:
    if row.network_ssid is None:
        return None
    security = next(kind for kind in SECURITY_TYPES if kind == row.network_security)
    password = opener.password(row.id, row.network_password) if row.network_password is not None else None
    if security != "NONE" and password is None:
        return NetworkWithoutPassword(row.network_ssid, security, row.network_hidden)
    return SetupNetwork(row.network_ssid, security, password, row.network_hidden)


def _session(row: sa.Row[Any]) -> EnrollmentSession:
    return EnrollmentSession(
        id=row.id,
        profile=row.profile_id,
        profile_name=row.profile_name,
        facts=DeviceFacts(row.manufacturer, row.model, row.serial_number, row.os_version, row.security_patch),
        state=SessionState(row.state),
        secret_digest=row.secret_digest,
        created_at=row.created_at,
        expires_at=row.expires_at,
        person=row.person_id,
        device=row.device_id,
        key_sha256=row.key_sha256,
        planned_certificate=row.planned_certificate_id,
    )
