# SPDX-License-Identifier: Apache-2.0
"""`/deviceManagement/deviceConfigurations`, their assignments and how devices fare with them."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.graph.http import answers
from etymon.graph.http.answers import Entity, ItemOptions, ListOptions, Options
from etymon.graph.http.gate import Administrator, Reader, Services
from etymon.graph.http.users import people_by_id
from etymon.graph.representations import assignments as shown_assignments
from etymon.graph.representations import configurations as shown
from etymon.graph.representations import devices as shown_devices
from etymon.graph.representations.assignments import AssignBody, AssignmentBody
from etymon.graph.representations.body import required
from etymon.graph.representations.configurations import ConfigurationBody, content, kind_of, parse
from etymon.kernel.errors import Malformed, NotFound
from etymon.mdm import configuration_profiles, devices
from etymon.mdm.model import ReportedResult
from etymon.mdm.settings import ConfigurationProfile, type_of
from etymon.storage.database import Transaction

PATH: Final = "/deviceManagement/deviceConfigurations"
NAME: Final = PATH.lstrip("/")
EXPANDABLE: Final = frozenset({"assignments"})

router = APIRouter(tags=["device configurations"])


@router.get(PATH)
def list_configurations(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List configurations of every type."""
    with deps.database.snapshot() as tx:
        return answers.page(
            request,
            deps,
            NAME,
            options,
            fetch=lambda limit: configuration_profiles.page(tx, after=options.after_id(), limit=limit),
            key=lambda profile: profile.id,
            show=lambda found: _shown(tx, found, options),
        )


@router.post(PATH, status_code=201)
def create_configuration(request: Request, deps: Services, caller: Administrator, body: dict[str, Any]) -> Response:
    """Create a configuration of the type that `@odata.type` names."""
    kind = required(kind_of(parse(ConfigurationBody, body)), "@odata.type")
    with deps.database.transaction() as tx:
        profile = configuration_profiles.create(tx, deps.mdm, content(kind, body, None), actor=caller.actor)
    return answers.entity(request, deps, NAME, shown.configuration(profile), status=201)


@router.get(PATH + "/{configuration}")
def get_configuration(
    request: Request, deps: Services, _: Reader, configuration: UUID, options: ItemOptions
) -> Response:
    """Get a configuration."""
    with deps.database.snapshot() as tx:
        profile = configuration_profiles.get(tx, configuration)
        (item,) = _shown(tx, [profile], options)
    return answers.entity(request, deps, NAME, item, options=options)


@router.patch(PATH + "/{configuration}")
def update_configuration(
    request: Request, deps: Services, caller: Administrator, configuration: UUID, body: dict[str, Any]
) -> Response:
    """Change a configuration; its type stays."""
    with deps.database.transaction() as tx:
        before = configuration_profiles.get(tx, configuration)
        kind = type_of(before.settings)
        if (kind_of(parse(ConfigurationBody, body)) or kind) is not kind:
            raise Malformed("profile_type_stays", "A configuration's type cannot be changed. Make another one.")
        wanted = content(kind, body, before)
        profile = configuration_profiles.update(tx, deps.mdm, configuration, wanted, actor=caller.actor)
    deps.mdm.wake_ups.wake()
    return answers.entity(request, deps, NAME, shown.configuration(profile))


@router.delete(PATH + "/{configuration}", status_code=204)
def delete_configuration(deps: Services, caller: Administrator, configuration: UUID) -> Response:
    """Remove a configuration from the organisation and from devices."""
    with deps.database.transaction() as tx:
        configuration_profiles.delete(tx, deps.mdm, configuration, actor=caller.actor)
    deps.mdm.wake_ups.wake()
    return answers.nothing()


@router.post(PATH + "/{configuration}/assign")
def assign(request: Request, deps: Services, caller: Administrator, configuration: UUID, body: AssignBody) -> Response:
    """Assign a configuration to exactly these targets."""
    targets = [line.target.target() for line in body.assignments]
    with deps.database.transaction() as tx:
        lines = configuration_profiles.assign(tx, deps.mdm, configuration, targets, actor=caller.actor)
    deps.mdm.wake_ups.wake()
    items = [shown_assignments.assignment(line) for line in lines]
    return answers.whole(request, deps, f"{NAME}('{configuration}')/assignments", items)


@router.get(PATH + "/{configuration}/assignments")
def list_assignments(
    request: Request, deps: Services, _: Reader, configuration: UUID, options: ListOptions
) -> Response:
    """List whom a configuration is assigned to."""
    with deps.database.snapshot() as tx:
        lines = configuration_profiles.assignments(tx, configuration)
    items = [shown_assignments.assignment(line) for line in lines]
    return answers.whole(request, deps, f"{NAME}('{configuration}')/assignments", items, options)


@router.post(PATH + "/{configuration}/assignments", status_code=201)
def add_assignment(
    request: Request, deps: Services, caller: Administrator, configuration: UUID, body: AssignmentBody
) -> Response:
    """Assign a configuration to one more target."""
    target = body.target.target()
    with deps.database.transaction() as tx:
        line = configuration_profiles.add_assignment(tx, deps.mdm, configuration, target, actor=caller.actor)
    deps.mdm.wake_ups.wake()
    name = f"{NAME}('{configuration}')/assignments"
    return answers.entity(request, deps, name, shown_assignments.assignment(line), status=201)


@router.delete(PATH + "/{configuration}/assignments/{assignment}", status_code=204)
def remove_assignment(deps: Services, caller: Administrator, configuration: UUID, assignment: UUID) -> Response:
    """Take one target from a configuration."""
    with deps.database.transaction() as tx:
        configuration_profiles.remove_assignment(tx, deps.mdm, configuration, assignment, actor=caller.actor)
    deps.mdm.wake_ups.wake()
    return answers.nothing()


@router.get(PATH + "/{configuration}/deviceStatuses")
def list_statuses(request: Request, deps: Services, _: Reader, configuration: UUID, options: ListOptions) -> Response:
    """List how devices fare with a configuration."""
    with deps.database.snapshot() as tx:
        return answers.page(
            request,
            deps,
            f"{NAME}('{configuration}')/deviceStatuses",
            options,
            fetch=lambda limit: configuration_profiles.results(
                tx, configuration, after=options.after_id(), limit=limit
            ),
            key=lambda reported: reported.device,
            show=lambda found: _statuses(tx, found),
        )


@router.get(PATH + "/{configuration}/{cast}")
def get_configuration_as(
    request: Request, deps: Services, _: Reader, configuration: UUID, cast: str, options: ItemOptions
) -> Response:
    """Get a configuration by a path that names its type."""
    with deps.database.snapshot() as tx:
        profile = configuration_profiles.get(tx, configuration)
        (item,) = _shown(tx, [profile], options)
    if cast != shown.TYPES[type_of(profile.settings)]:
        raise NotFound("not_of_this_type", "The configuration is not of this type.")
    return answers.entity(request, deps, f"{NAME}/{cast}", item, options=options)


def _shown(tx: Transaction, found: Sequence[ConfigurationProfile], options: Options) -> list[Entity]:
    if not options.expand <= EXPANDABLE:
        raise Malformed("option_not_supported", "$expand=assignments is offered here, and nothing else.")
    items: list[dict[str, Any]] = [shown.configuration(profile) for profile in found]
    if options.expand:
        lines = configuration_profiles.assignments_of_many(tx, [profile.id for profile in found])
        for item in items:
            item["assignments"] = [shown_assignments.assignment(line) for line in lines[item["id"]]]
    return list(items)


def _statuses(tx: Transaction, found: Sequence[ReportedResult]) -> list[Entity]:
    known = devices.get_many(tx, [reported.device for reported in found])
    people = people_by_id(tx, {device.person for device in known.values()})
    items: list[Entity] = []
    for reported in found:
        device = known.get(reported.device)
        person = people.get(device.person) if device is not None else None
        items.append(shown_devices.status(reported, device, person))
    return items
