# SPDX-License-Identifier: Apache-2.0
"""Devices, their commands and the credentials they say they hold."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from etymon.mdm.model import (
    Command,
    CommandResult,
    CommandState,
    CommandType,
    Device,
    DeviceFacts,
    DeviceIdentity,
    DeviceState,
    HeldCredential,
    Purpose,
    checked_move,
)
from etymon.mdm.tables import device_commands as commands
from etymon.mdm.tables import device_credentials as credentials
from etymon.mdm.tables import managed_devices as devices
from etymon.storage import narrowing
from etymon.storage.database import Transaction
from etymon.wire import odata

TO_BE_COMPUTED: Final = -1

_DEVICE: Final[tuple[sa.Column[Any], ...]] = (
    devices.c.id,
    devices.c.person_id,
    devices.c.profile_id,
    devices.c.profile_name,
    devices.c.name,
    devices.c.manufacturer,
    devices.c.model,
    devices.c.serial_number,
    devices.c.os_version,
    devices.c.security_patch,
    devices.c.state,
    devices.c.identity_certificate_id,
    devices.c.identity_thumbprint,
    devices.c.identity_not_after,
    devices.c.enrolled_at,
    devices.c.last_check_in_at,
    devices.c.ended_at,
)


def insert(tx: Transaction, device: Device, session: UUID) -> None:
    """Add a device that is enrolling; it gets its identity with `admit`."""
    facts = device.facts
    tx.execute(
        devices.insert().values(
            id=device.id,
            person_id=device.person,
            profile_id=device.profile,
            profile_name=device.profile_name,
            session_id=session,
            name=device.name,
            manufacturer=facts.manufacturer,
            model=facts.model,
            serial_number=facts.serial_number,
            os_version=facts.os_version,
            security_patch=facts.security_patch,
            state=device.state.value,
            enrolled_at=device.enrolled_at,
            desired_version=0,
            desired={},
            computed_change=TO_BE_COMPUTED,
        )
    )


def admit(tx: Transaction, id_: UUID, identity: DeviceIdentity) -> bool:
    """Give an enrolling device its identity: it is managed from now on. False when it was not enrolling."""
    moved = tx.execute(
        devices.update()
        .where(devices.c.id == id_, devices.c.state == DeviceState.ENROLLING.value)
        .values(
            state=DeviceState.MANAGED.value,
            identity_certificate_id=identity.certificate,
            identity_thumbprint=identity.thumbprint,
            identity_not_after=identity.not_after,
        )
    )
    return moved.rowcount == 1


def find(tx: Transaction, id_: UUID) -> Device | None:
    """Return a device."""
    row = tx.execute(sa.select(*_DEVICE).where(devices.c.id == id_)).one_or_none()
    return _device(row) if row else None


def find_by_session(tx: Transaction, session: UUID) -> Device | None:
    """Return the device that an enrollment session made."""
    row = tx.execute(sa.select(*_DEVICE).where(devices.c.session_id == session)).one_or_none()
    return _device(row) if row else None


def find_many(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, Device]:
    """Return the devices with these ids."""
    rows = tx.execute(sa.select(*_DEVICE).where(devices.c.id.in_(ids)))
    return {row.id: _device(row) for row in rows}


def of_person(tx: Transaction, person: UUID) -> list[Device]:
    """Return the devices of a person, the newest first."""
    query = (
        sa.select(*_DEVICE).where(devices.c.person_id == person).order_by(devices.c.enrolled_at.desc(), devices.c.id)
    )
    return [_device(row) for row in tx.execute(query)]


def page(tx: Transaction, *, narrowed: odata.Expression | None, after: UUID | None, limit: int) -> list[Device]:
    """Return devices in the order of their ids; `narrowed` counts where an index helps."""
    query = sa.select(*_DEVICE).order_by(devices.c.id).limit(limit)
    condition = narrowing.found_by(narrowed, FILTERED) if narrowed is not None else None
    if condition is not None:
        query = query.where(condition)
    if after is not None:
        query = query.where(devices.c.id > after)
    return [_device(row) for row in tx.execute(query)]


FILTERED: Final[Mapping[str, sa.Column[Any]]] = {
    "deviceName": devices.c.name,
    "serialNumber": devices.c.serial_number,
    "userId": devices.c.person_id,
    "id": devices.c.id,
}
"""Properties by which devices are found through an index."""


def move(tx: Transaction, id_: UUID, present: DeviceState, following: DeviceState, now: datetime) -> bool:
    """Move a device from `present` to `following`; False when it is not there any more."""
    checked_move(present, following)
    ended = following in {DeviceState.RETIRED, DeviceState.WIPED}
    moved = tx.execute(
        devices.update()
        .where(devices.c.id == id_, devices.c.state == present.value)
        .values(
            state=following.value,
            ended_at=now if ended else None,
            desired_version=devices.c.desired_version + 1,
            computed_change=TO_BE_COMPUTED,
        )
    )
    return moved.rowcount == 1


def report(
    tx: Transaction, id_: UUID, digest: bytes, facts: DeviceFacts | None, held: Sequence[HeldCredential] | None
) -> None:
    """Keep what a device says of itself; None leaves what it said before."""
    values: dict[str, Any] = {"report_digest": digest}
    if facts is not None:
        values |= {"os_version": facts.os_version, "security_patch": facts.security_patch}
    if held is not None:
        values["computed_change"] = TO_BE_COMPUTED  # what it still needs may have changed
    tx.execute(devices.update().where(devices.c.id == id_).values(**values))
    if held is None:
        return
    tx.execute(credentials.delete().where(credentials.c.device_id == id_))
    if held:
        tx.execute(
            credentials.insert(),
            [
                {
                    "device_id": id_,
                    "thumbprint": one.thumbprint,
                    "purpose": one.purpose.value,
                    "not_after": one.not_after,
                }
                for one in held
            ],
        )


def held_credentials(tx: Transaction, id_: UUID) -> list[HeldCredential]:
    """Return the credentials a device says it holds."""
    query = sa.select(credentials.c.purpose, credentials.c.thumbprint, credentials.c.not_after)
    rows = tx.execute(query.where(credentials.c.device_id == id_).order_by(credentials.c.thumbprint))
    return [HeldCredential(Purpose(row.purpose), row.thumbprint, row.not_after) for row in rows]


def insert_command(tx: Transaction, command: Command) -> None:
    """Add a pending command and make the device's desired state newer."""
    tx.execute(
        commands.insert().values(
            id=command.id,
            device_id=command.device,
            type=command.type.value,
            state=command.state.value,
            credential=command.credential,
            detail="",
            requested_by=command.requested_by,
            created_at=command.created_at,
        )
    )
    tx.execute(
        devices.update().where(devices.c.id == command.device).values(desired_version=devices.c.desired_version + 1)
    )


def commands_of(tx: Transaction, device: UUID, *, pending_only: bool) -> list[Command]:
    """Return the commands of a device, the oldest first."""
    query = sa.select(commands).where(commands.c.device_id == device).order_by(commands.c.created_at, commands.c.id)
    if pending_only:
        query = query.where(commands.c.state == CommandState.PENDING.value)
    return [_command(row) for row in tx.execute(query)]


def finish_command(tx: Transaction, device: UUID, result: CommandResult, now: datetime) -> CommandType | None:
    """Finish a pending command of `device` and return its type; None when there is none such."""
    row = tx.execute(
        commands.update()
        .where(
            commands.c.id == result.command,
            commands.c.device_id == device,
            commands.c.state == CommandState.PENDING.value,
        )
        .values(state=result.state.value, detail=result.detail, finished_at=now)
        .returning(commands.c.type)
    ).one_or_none()
    return CommandType(row.type) if row else None


def overtake_commands(tx: Transaction, device: UUID, now: datetime) -> None:
    """Finish every pending command of a device that a later one makes pointless."""
    tx.execute(
        commands.update()
        .where(commands.c.device_id == device, commands.c.state == CommandState.PENDING.value)
        .values(state=CommandState.OVERTAKEN.value, finished_at=now)
    )


def _device(row: sa.Row[Any]) -> Device:
    identity = None
    if row.identity_thumbprint is not None:
        identity = DeviceIdentity(row.identity_certificate_id, row.identity_thumbprint, row.identity_not_after)
    return Device(
        id=row.id,
        person=row.person_id,
        profile=row.profile_id,
        profile_name=row.profile_name,
        name=row.name,
        facts=DeviceFacts(row.manufacturer, row.model, row.serial_number, row.os_version, row.security_patch),
        state=DeviceState(row.state),
        identity=identity,
        enrolled_at=row.enrolled_at,
        last_check_in_at=row.last_check_in_at,
        ended_at=row.ended_at,
    )


def _command(row: sa.Row[Any]) -> Command:
    return Command(
        id=row.id,
        device=row.device_id,
        type=CommandType(row.type),
        state=CommandState(row.state),
        credential=row.credential,
        detail=row.detail,
        requested_by=row.requested_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
