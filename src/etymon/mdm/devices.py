# SPDX-License-Identifier: Apache-2.0
"""Devices as administrators and people see them."""

from collections.abc import Sequence
from uuid import UUID

from etymon.kernel.errors import NotFound
from etymon.mdm.model import Command, Device, HeldCredential
from etymon.mdm.store import devices as store
from etymon.storage.database import Transaction
from etymon.wire import odata


def get(tx: Transaction, id_: UUID) -> Device:
    """Return a device; raises NotFound."""
    device = store.find(tx, id_)
    if device is None:
        raise NotFound("device_not_found", "There is no such device.")
    return device


def get_many(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, Device]:
    """Return the devices with these ids, as far as there are such devices."""
    return store.find_many(tx, ids)


def of_person(tx: Transaction, person: UUID) -> list[Device]:
    """Return a person's devices, the newest first."""
    return store.of_person(tx, person)


def page(tx: Transaction, *, narrowed: odata.Expression | None = None, after: UUID | None, limit: int) -> list[Device]:
    """Return devices in the order of their ids.

    `narrowed` may leave out devices that do not fulfil it, where an index helps; the caller judges what is returned.
    """
    return store.page(tx, narrowed=narrowed, after=after, limit=limit)


def commands_of(tx: Transaction, device: UUID) -> list[Command]:
    """Return what a device was told, the oldest first."""
    return store.commands_of(tx, device, pending_only=False)


def credentials_on(tx: Transaction, device: UUID) -> list[HeldCredential]:
    """Return the credentials a device says it holds."""
    return store.held_credentials(tx, device)
