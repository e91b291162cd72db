# SPDX-License-Identifier: Apache-2.0
"""Configuration profiles, their assignments and how devices fare with them."""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from etymon.mdm.model import PolicyResult, ReportedResult, ResultState
from etymon.mdm.settings import ConfigurationProfile, ProfileType, WiFi, from_document, to_document, type_of
from etymon.mdm.tables import configuration_assignments as assignments
from etymon.mdm.tables import configuration_profiles as profiles
from etymon.mdm.tables import configuration_results as results
from etymon.mdm.tables import configuration_roots as roots
from etymon.mdm.targets import Assignment, Target, TargetKind
from etymon.storage.database import Transaction


def insert(tx: Transaction, profile: ConfigurationProfile) -> None:
    """Add a profile."""
    tx.execute(
        profiles.insert().values(
            id=profile.id,
            type=type_of(profile.settings).value,
            display_name=profile.display_name,
            description=profile.description,
            settings=to_document(profile.settings),
            version=profile.version,
            created_at=profile.created_at,
            modified_at=profile.modified_at,
        )
    )
    _refer(tx, profile)


def update(tx: Transaction, profile: ConfigurationProfile, *, expected_version: int) -> bool:
    """Save an edited profile; False when somebody else edited it meanwhile."""
    saved = tx.execute(
        profiles.update()
        .where(profiles.c.id == profile.id, profiles.c.version == expected_version)
        .values(
            display_name=profile.display_name,
            description=profile.description,
            settings=to_document(profile.settings),
            version=profile.version,
            modified_at=profile.modified_at,
        )
    )
    if saved.rowcount == 1:
        tx.execute(roots.delete().where(roots.c.profile_id == profile.id))
        _refer(tx, profile)
    return saved.rowcount == 1


def delete(tx: Transaction, id_: UUID) -> bool:
    """Remove a profile with its assignments and results."""
    return tx.execute(profiles.delete().where(profiles.c.id == id_)).rowcount == 1


def find(tx: Transaction, id_: UUID) -> ConfigurationProfile | None:
    """Return a profile."""
    row = tx.execute(sa.select(profiles).where(profiles.c.id == id_)).one_or_none()
    return _profile(row) if row else None


def find_many(tx: Transaction, ids: Collection[UUID]) -> list[ConfigurationProfile]:
    """Return the profiles with these ids, in the order of their ids."""
    rows = tx.execute(sa.select(profiles).where(profiles.c.id.in_(ids)).order_by(profiles.c.id))
    return [_profile(row) for row in rows]


def page(tx: Transaction, *, after: UUID | None, limit: int) -> list[ConfigurationProfile]:
    """Return profiles in the order of their ids."""
    query = sa.select(profiles).order_by(profiles.c.id).limit(limit)
    if after is not None:
        query = query.where(profiles.c.id > after)
    return [_profile(row) for row in tx.execute(query)]


def types_of(tx: Transaction, ids: Collection[UUID]) -> dict[UUID, ProfileType]:
    """Return the types of the profiles with these ids, as far as there are such profiles."""
    rows = tx.execute(sa.select(profiles.c.id, profiles.c.type).where(profiles.c.id.in_(ids)))
    return {row.id: ProfileType(row.type) for row in rows}


def is_referred_to(tx: Transaction, root: UUID) -> bool:
    """Say whether another profile refers to a trusted root."""
    return tx.execute(sa.select(roots.c.profile_id).where(roots.c.root_id == root).limit(1)).first() is not None


def replace_assignments(tx: Transaction, profile: UUID, lines: Sequence[Assignment]) -> None:
    """Assign a profile to these targets and no others."""
    tx.execute(assignments.delete().where(assignments.c.profile_id == profile))
    for line in lines:
        insert_assignment(tx, line)


def insert_assignment(tx: Transaction, line: Assignment) -> None:
    """Add one line."""
    tx.execute(
        assignments.insert().values(
            id=line.id, profile_id=line.profile, kind=line.target.kind.value, group_id=line.target.group
        )
    )


def delete_assignment(tx: Transaction, profile: UUID, id_: UUID) -> bool:
    """Remove one line."""
    gone = tx.execute(assignments.delete().where(assignments.c.id == id_, assignments.c.profile_id == profile))
    return gone.rowcount == 1


def assignments_of(tx: Transaction, profile_ids: Collection[UUID]) -> list[Assignment]:
    """Return the lines of these profiles."""
    rows = tx.execute(
        sa.select(assignments).where(assignments.c.profile_id.in_(profile_ids)).order_by(assignments.c.id)
    )
    return [_assignment(row) for row in rows]


def assignments_touching(tx: Transaction, groups: AbstractSet[UUID]) -> list[Assignment]:
    """Return the lines that say anything about a person who is in `groups`."""
    everybody = assignments.c.kind.in_([TargetKind.ALL_USERS.value, TargetKind.ALL_DEVICES.value])
    rows = list(tx.execute(sa.select(assignments).where(everybody)))
    if groups:
        rows += tx.execute(sa.select(assignments).where(assignments.c.group_id.in_(groups)))
    return [_assignment(row) for row in rows]


def save_results(tx: Transaction, device: UUID, reported: Sequence[PolicyResult], now: datetime) -> None:
    """Keep the latest result of each profile; results of profiles that are gone are dropped."""
    existing = types_of(tx, [result.policy for result in reported])
    insert_ = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    for result in reported:
        if result.policy not in existing:
            continue
        values = {
            "version": result.version,
            "state": result.state.value,
            "detail": result.detail,
            "reported_at": now,
        }
        statement = insert_(results).values(device_id=device, profile_id=result.policy, **values)
        tx.execute(
            statement.on_conflict_do_update(index_elements=[results.c.profile_id, results.c.device_id], set_=values)
        )


def page_of_results(tx: Transaction, profile: UUID, *, after: UUID | None, limit: int) -> list[ReportedResult]:
    """Return how devices fare with a profile, in the order of the devices' ids."""
    query = sa.select(results).where(results.c.profile_id == profile).order_by(results.c.device_id).limit(limit)
    if after is not None:
        query = query.where(results.c.device_id > after)
    return [
        ReportedResult(
            row.device_id,
            PolicyResult(row.profile_id, row.version, ResultState(row.state), row.detail),
            row.reported_at,
        )
        for row in tx.execute(query)
    ]


def _refer(tx: Transaction, profile: ConfigurationProfile) -> None:
    if isinstance(profile.settings, WiFi):
        referred = sorted(set(profile.settings.trusted_roots))
        tx.execute(roots.insert(), [{"profile_id": profile.id, "root_id": root} for root in referred])


def _profile(row: sa.Row[Any]) -> ConfigurationProfile:
    return ConfigurationProfile(
        id=row.id,
        display_name=row.display_name,
        description=row.description,
        settings=from_document(ProfileType(row.type), row.settings),
        version=row.version,
        created_at=row.created_at,
        modified_at=row.modified_at,
    )


def _assignment(row: sa.Row[Any]) -> Assignment:
    return Assignment(row.id, row.profile_id, Target(TargetKind(row.kind), row.group_id))
