# SPDX-License-Identifier: Apache-2.0
"""Desired states: the organisation's counter of changes, each device's version, notifications."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from etymon.mdm.desired import Computed, Desired, Standing
from etymon.mdm.model import DeviceNotification, DeviceState
from etymon.mdm.store.devices import TO_BE_COMPUTED
from etymon.mdm.tables import desired_state_changes as changes
from etymon.mdm.tables import device_notifications as notifications
from etymon.mdm.tables import managed_devices as devices
from etymon.storage.database import Transaction

_CHANGE = sa.func.coalesce(sa.select(changes.c.counter).where(changes.c.id == 1).scalar_subquery(), 0)
_STANDING = sa.select(
    devices.c.id,
    devices.c.person_id,
    devices.c.state,
    devices.c.desired_version,
    devices.c.computed_change,
    devices.c.computed_at,
    _CHANGE.label("change"),
    devices.c.last_check_in_at,
    devices.c.report_digest,
).where(devices.c.identity_thumbprint == sa.bindparam("thumbprint"))
"""Made once: every check-in asks it."""


def count_change(tx: Transaction) -> None:
    """Count a change that may reach any device; transactions that do wait for each other."""
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    statement = insert(changes).values(id=1, counter=1)
    tx.execute(statement.on_conflict_do_update(index_elements=[changes.c.id], set_={"counter": changes.c.counter + 1}))


def mark_person(tx: Transaction, person: UUID) -> list[UUID]:
    """Have the states of a person's devices worked out again; return the devices."""
    marked = tx.execute(
        devices.update()
        .where(devices.c.person_id == person)
        .values(computed_change=TO_BE_COMPUTED)
        .returning(devices.c.id)
    )
    return [row.id for row in marked]


def standing(tx: Transaction, thumbprint: bytes) -> Standing | None:
    """Return how the device with this identity stands: the one read of an idle check-in."""
    row = tx.execute(_STANDING, {"thumbprint": thumbprint}).one_or_none()
    if row is None:
        return None
    return Standing(
        device=row.id,
        person=row.person_id,
        state=DeviceState(row.state),
        version=row.desired_version,
        computed_change=row.computed_change,
        computed_at=row.computed_at,
        change=row.change,
        last_check_in_at=row.last_check_in_at,
        report_digest=row.report_digest,
    )


def computed(tx: Transaction, device: UUID) -> Computed | None:
    """Return what was last worked out for a device."""
    row = tx.execute(
        sa.select(
            devices.c.desired_version, devices.c.computed_change, devices.c.desired, devices.c.notified_issuer_id
        ).where(devices.c.id == device)
    ).one_or_none()
    if row is None:
        return None
    return Computed(
        row.desired_version, row.computed_change, Desired.from_document(row.desired), row.notified_issuer_id
    )


def present_change(tx: Transaction) -> int:
    """Return the organisation's present change."""
    return int(tx.execute(sa.select(_CHANGE)).scalar_one())


def save(
    tx: Transaction,
    device: UUID,
    before: Computed,
    *,
    version: int,
    desired: Desired,
    change: int,
    notified_issuer: UUID | None,
    now: datetime,
) -> bool:
    """Save what was worked out, if nobody did meanwhile; False otherwise."""
    saved = tx.execute(
        devices.update()
        .where(
            devices.c.id == device,
            devices.c.desired_version == before.version,
            devices.c.computed_change == before.computed_change,
        )
        .values(
            desired_version=version,
            desired=desired.to_document(),
            computed_change=change,
            computed_at=now,
            notified_issuer_id=notified_issuer,
        )
    )
    return saved.rowcount == 1


def checked_in(tx: Transaction, device: UUID, now: datetime) -> None:
    """Keep when a device was last heard of."""
    tx.execute(devices.update().where(devices.c.id == device).values(last_check_in_at=now))


def lock(tx: Transaction, device: UUID, state: DeviceState) -> bool:
    """Let nobody else change a device before this transaction ends; False where it is not in this state."""
    wanted = sa.select(devices.c.id).where(devices.c.id == device, devices.c.state == state.value)
    return tx.execute(wanted.with_for_update()).one_or_none() is not None


def make_newer(tx: Transaction, device: UUID) -> int:
    """Raise the version of a device's desired state, which is heard of at its next check-in; return it."""
    raised = devices.update().where(devices.c.id == device).values(desired_version=devices.c.desired_version + 1)
    return int(tx.execute(raised.returning(devices.c.desired_version)).scalar_one())


def insert_notification(tx: Transaction, notification: DeviceNotification) -> None:
    """Add a message for a device."""
    tx.execute(
        notifications.insert().values(
            id=notification.id,
            device_id=notification.device,
            title=notification.title,
            body=notification.body,
            action=notification.action,
            version=notification.version,
            created_at=notification.created_at,
        )
    )


def is_said(tx: Transaction, device: UUID, action: str) -> bool:
    """Say whether a message of this action stands."""
    stands = (
        notifications.c.device_id == device,
        notifications.c.action == action,
        notifications.c.settled_at.is_(None),
    )
    return tx.execute(sa.select(notifications.c.id).where(*stands).limit(1)).one_or_none() is not None


def settle_notifications(tx: Transaction, device: UUID, action: str, now: datetime) -> None:
    """Withdraw the messages that ask for an action, because it was done or is not wanted any more."""
    tx.execute(
        notifications.update()
        .where(
            notifications.c.device_id == device,
            notifications.c.action == action,
            notifications.c.settled_at.is_(None),
        )
        .values(settled_at=now)
    )


def notifications_of(tx: Transaction, device: UUID, *, after: int) -> list[DeviceNotification]:
    """Return the messages that came after a version and still matter."""
    rows = tx.execute(
        sa.select(
            notifications.c.id,
            notifications.c.device_id,
            notifications.c.title,
            notifications.c.body,
            notifications.c.action,
            notifications.c.version,
            notifications.c.created_at,
        )
        .where(
            notifications.c.device_id == device,
            notifications.c.version > after,
            notifications.c.settled_at.is_(None),
        )
        .order_by(notifications.c.version, notifications.c.id)
    )
    return [DeviceNotification(*row) for row in rows]
