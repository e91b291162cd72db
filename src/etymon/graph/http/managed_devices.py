# SPDX-License-Identifier: Apache-2.0
"""`/deviceManagement/managedDevices`, and what officers and administrators do to them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.directory import people
from etymon.graph.http import answers
from etymon.graph.http.answers import Entity, ItemOptions, ListOptions
from etymon.graph.http.gate import AdministratorOrOfficer, Reader, Services
from etymon.graph.http.users import people_by_id
from etymon.graph.representations import devices as shown
from etymon.mdm import devices, lifecycle
from etymon.mdm.model import Device
from etymon.storage.database import Transaction

PATH: Final = "/deviceManagement/managedDevices"
NAME: Final = PATH.lstrip("/")

router = APIRouter(tags=["managed devices"])


@router.get(PATH)
def list_devices(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List devices, also those that were retired or wiped."""
    with deps.database.snapshot() as tx:
        return answers.page(
            request,
            deps,
            NAME,
            options,
            fetch=lambda limit: devices.page(tx, narrowed=options.condition, after=options.after_id(), limit=limit),
            key=lambda device: device.id,
            show=lambda found: _shown(tx, found),
        )


@router.get(PATH + "/{device}")
def get_device(request: Request, deps: Services, _: Reader, device: UUID, options: ItemOptions) -> Response:
    """Get a device, with what it was told and the credentials it says it holds."""
    with deps.database.snapshot() as tx:
        found = devices.get(tx, device)
        item = shown.device(found, people.find(tx, found.person)) | shown.details(
            devices.commands_of(tx, device), devices.credentials_on(tx, device)
        )
    return answers.entity(request, deps, NAME, item, options=options)


@router.post(PATH + "/{device}/retire", status_code=204)
def retire(deps: Services, caller: AdministratorOrOfficer, device: UUID) -> Response:
    """Have a device give back what management brought."""
    with deps.database.transaction() as tx:
        lifecycle.retire(tx, deps.mdm, device, actor=caller.actor)
    deps.mdm.wake_ups.wake(device)
    return answers.nothing()


@router.post(PATH + "/{device}/wipe", status_code=204)
def wipe(deps: Services, caller: AdministratorOrOfficer, device: UUID) -> Response:
    """Have a device go back to the factory; its credentials count as compromised."""
    with deps.database.transaction() as tx:
        lifecycle.wipe(tx, deps.mdm, device, actor=caller.actor)
    deps.mdm.wake_ups.wake(device)
    return answers.nothing()


def _shown(tx: Transaction, found: Sequence[Device]) -> list[Entity]:
    known = people_by_id(tx, {device.person for device in found})
    return [shown.device(device, known.get(device.person)) for device in found]
