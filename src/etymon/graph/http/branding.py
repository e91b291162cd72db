# SPDX-License-Identifier: Apache-2.0
"""`/deviceManagement/intuneBrandingProfiles`: at most one."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.graph.http import answers
from etymon.graph.http.answers import ItemOptions, ListOptions
from etymon.graph.http.gate import Administrator, Reader, Services
from etymon.graph.representations import branding as shown
from etymon.graph.representations.branding import BrandingBody
from etymon.mdm import branding

PATH: Final = "/deviceManagement/intuneBrandingProfiles"
NAME: Final = PATH.lstrip("/")

router = APIRouter(tags=["branding"])


@router.get(PATH)
def list_branding(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List the branding, if it was set."""
    with deps.database.snapshot() as tx:
        profile = branding.find(tx)
    return answers.whole(request, deps, NAME, [shown.branding(profile)] if profile else [], options)


@router.post(PATH, status_code=201)
def create_branding(request: Request, deps: Services, caller: Administrator, body: BrandingBody) -> Response:
    """Set the branding."""
    with deps.database.transaction() as tx:
        profile = branding.create(tx, deps.mdm, body.name(), body.branding(), actor=caller.actor)
    return answers.entity(request, deps, NAME, shown.branding(profile), status=201)


@router.get(PATH + "/{profile}")
def get_branding(request: Request, deps: Services, _: Reader, profile: UUID, options: ItemOptions) -> Response:
    """Get the branding."""
    with deps.database.snapshot() as tx:
        found = branding.get(tx, profile)
    return answers.entity(request, deps, NAME, shown.branding(found), options=options)


@router.patch(PATH + "/{profile}")
def update_branding(
    request: Request, deps: Services, caller: Administrator, profile: UUID, body: BrandingBody
) -> Response:
    """Change the branding."""
    with deps.database.transaction() as tx:
        before = branding.get(tx, profile)
        changed = branding.update(
            tx, deps.mdm, profile, body.name(before), body.branding(before.branding), actor=caller.actor
        )
    return answers.entity(request, deps, NAME, shown.branding(changed))


@router.delete(PATH + "/{profile}", status_code=204)
def delete_branding(deps: Services, caller: Administrator, profile: UUID) -> Response:
    """Remove the branding; the deployment's own is shown again."""
    with deps.database.transaction() as tx:
        branding.delete(tx, deps.mdm, profile, actor=caller.actor)
    return answers.nothing()
