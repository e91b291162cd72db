# SPDX-License-Identifier: Apache-2.0
"""`/groups` and their members. Whoever joins or leaves gets what that brings at the next check-in."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.directory import groups
from etymon.directory.model import Group
from etymon.graph.http import answers
from etymon.graph.http.answers import ItemOptions, ListOptions
from etymon.graph.http.gate import Administrator, Reader, Services
from etymon.graph.representations import users as shown
from etymon.graph.representations.body import identifier, required
from etymon.graph.representations.users import GroupBody, ReferenceBody
from etymon.kernel.errors import DecodeError, NotFound
from etymon.mdm import desired_state
from etymon.storage.database import Transaction
from etymon.wire import odata

router = APIRouter(tags=["groups"])

MEMBER_COLLECTIONS: Final = ("users", "directoryObjects")


@router.get("/groups")
def list_groups(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List groups by name."""
    with deps.database.snapshot() as tx:
        return answers.page(
            request,
            deps,
            "groups",
            options,
            fetch=lambda limit: groups.page(tx, after=options.after_id(), limit=limit),
            key=lambda group: group.id,
            show=lambda found: [shown.group(group) for group in found],
        )


@router.post("/groups", status_code=201)
def create_group(request: Request, deps: Services, caller: Administrator, body: GroupBody) -> Response:
    """Create a group."""
    with deps.database.transaction() as tx:
        name = required(body.display_name, "displayName")
        group = groups.create(tx, deps, name=name, description=body.description or "", actor=caller.actor)
    return answers.entity(request, deps, "groups", shown.group(group), status=201)


@router.get("/groups/{group}")
def get_group(request: Request, deps: Services, _: Reader, group: UUID, options: ItemOptions) -> Response:
    """Get a group."""
    with deps.database.snapshot() as tx:
        found = _find(tx, group)
    return answers.entity(request, deps, "groups", shown.group(found), options=options)


@router.patch("/groups/{group}")
def update_group(request: Request, deps: Services, caller: Administrator, group: UUID, body: GroupBody) -> Response:
    """Change a group."""
    with deps.database.transaction() as tx:
        changed = groups.update(
            tx, deps, group, name=body.display_name, description=body.description, actor=caller.actor
        )
    return answers.entity(request, deps, "groups", shown.group(changed))


@router.delete("/groups/{group}", status_code=204)
def delete_group(deps: Services, caller: Administrator, group: UUID) -> Response:
    """Remove a group; its members stay."""
    with deps.database.transaction() as tx:
        _find(tx, group)
        groups.remove(tx, deps, group, actor=caller.actor)
        desired_state.changed(tx)
    deps.mdm.wake_ups.wake()
    return answers.nothing()


@router.get("/groups/{group}/members")
def list_members(request: Request, deps: Services, _: Reader, group: UUID, options: ListOptions) -> Response:
    """List the people in a group."""
    with deps.database.snapshot() as tx:
        _find(tx, group)
        return answers.page(
            request,
            deps,
            "users",
            options,
            fetch=lambda limit: groups.members(tx, group, after=options.after_id(), limit=limit),
            key=lambda person: person.id,
            show=lambda found: [shown.user(person) for person in found],
        )


@router.post("/groups/{group}/members/$ref", status_code=204)
def add_member(deps: Services, caller: Administrator, group: UUID, body: ReferenceBody) -> Response:
    """Put a person into a group; twice does no harm."""
    with deps.database.transaction() as tx:
        person = identifier(_bound(body.address), "the member")
        groups.add_member(tx, deps, group, person, actor=caller.actor)
        desired_state.membership_changed(tx, person)
    deps.mdm.wake_ups.wake()
    return answers.nothing()


@router.delete("/groups/{group}/members/{user}/$ref", status_code=204)
def remove_member(deps: Services, caller: Administrator, group: UUID, user: UUID) -> Response:
    """Take a person out of a group."""
    with deps.database.transaction() as tx:
        groups.remove_member(tx, deps, group, user, actor=caller.actor)
        desired_state.membership_changed(tx, user)
    deps.mdm.wake_ups.wake()
    return answers.nothing()


def _find(tx: Transaction, group: UUID) -> Group:
    found = groups.find(tx, group)
    if found is None:
        raise NotFound("group_not_found", "There is no such group.")
    return found


def _bound(address: str) -> str:
    for collection in MEMBER_COLLECTIONS:
        try:
            return odata.bound_id(address, collection)
        except DecodeError:
            continue
    raise DecodeError("bind_not_understood", "@odata.id ends with users/{id} or directoryObjects/{id}.")
