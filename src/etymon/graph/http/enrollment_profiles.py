# SPDX-License-Identifier: Apache-2.0
"""`/deviceManagement/androidDeviceOwnerEnrollmentProfiles`."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.graph.caller import Caller
from etymon.graph.dependencies import Dependencies
from etymon.graph.http import answers
from etymon.graph.http.answers import Entity, ItemOptions, ListOptions
from etymon.graph.http.gate import Administrator, Reader, Services
from etymon.graph.representations import enrollment_profiles as shown
from etymon.graph.representations.enrollment_profiles import CreateTokenBody, EnrollmentProfileBody
from etymon.mdm import enrollment_profiles
from etymon.mdm.enrollment_profile import EnrollmentProfile

PATH: Final = "/deviceManagement/androidDeviceOwnerEnrollmentProfiles"
NAME: Final = PATH.lstrip("/")

router = APIRouter(tags=["enrollment"])


@router.get(PATH)
def list_profiles(request: Request, deps: Services, caller: Reader, options: ListOptions) -> Response:
    """List enrollment profiles, without their codes."""
    with deps.database.snapshot() as tx:
        return answers.page(
            request,
            deps,
            NAME,
            options,
            fetch=lambda limit: enrollment_profiles.page(tx, deps.mdm, after=options.after_id(), limit=limit),
            key=lambda profile: profile.id,
            show=lambda found: [
                shown.profile(profile, None, with_token=caller.is_administrator, with_code=False) for profile in found
            ],
        )


@router.post(PATH, status_code=201)
def create_profile(request: Request, deps: Services, caller: Administrator, body: EnrollmentProfileBody) -> Response:
    """Create a profile; it admits nobody before it has a token."""
    with deps.database.transaction() as tx:
        profile = enrollment_profiles.create(tx, deps.mdm, body.terms(), actor=caller.actor)
    return answers.entity(request, deps, NAME, _whole(deps, caller, profile), status=201)


@router.get(PATH + "/{profile}")
def get_profile(request: Request, deps: Services, caller: Reader, profile: UUID, options: ItemOptions) -> Response:
    """Get a profile with its code."""
    with deps.database.snapshot() as tx:
        found = enrollment_profiles.get(tx, deps.mdm, profile)
    return answers.entity(request, deps, NAME, _whole(deps, caller, found), options=options)


@router.patch(PATH + "/{profile}")
def update_profile(
    request: Request, deps: Services, caller: Administrator, profile: UUID, body: EnrollmentProfileBody
) -> Response:
    """Change a profile; its token stays."""
    with deps.database.transaction() as tx:
        before = enrollment_profiles.get(tx, deps.mdm, profile)
        terms = body.terms(before.terms)
        changed = enrollment_profiles.update(tx, deps.mdm, profile, terms, actor=caller.actor)
    return answers.entity(request, deps, NAME, _whole(deps, caller, changed))


@router.delete(PATH + "/{profile}", status_code=204)
def delete_profile(deps: Services, caller: Administrator, profile: UUID) -> Response:
    """Remove a profile; its devices stay."""
    with deps.database.transaction() as tx:
        enrollment_profiles.delete(tx, deps.mdm, profile, actor=caller.actor)
    return answers.nothing()


@router.post(PATH + "/{profile}/createToken", status_code=204)
def create_token(deps: Services, caller: Administrator, profile: UUID, body: CreateTokenBody | None = None) -> Response:
    """Give a profile a new token; read the profile to see it."""
    seconds = body.token_validity_in_seconds if body else None
    lifetime = timedelta(seconds=seconds) if seconds is not None else None
    with deps.database.transaction() as tx:
        enrollment_profiles.create_token(tx, deps.mdm, profile, lifetime=lifetime, actor=caller.actor)
    return answers.nothing()


@router.post(PATH + "/{profile}/revokeToken", status_code=204)
def revoke_token(deps: Services, caller: Administrator, profile: UUID) -> Response:
    """Take a profile's token away."""
    with deps.database.transaction() as tx:
        enrollment_profiles.revoke_token(tx, deps.mdm, profile, actor=caller.actor)
    return answers.nothing()


def _whole(deps: Dependencies, caller: Caller, profile: EnrollmentProfile) -> Entity:
    code = enrollment_profiles.code(deps.mdm, profile) if caller.is_administrator else None
    return shown.profile(profile, code, with_token=caller.is_administrator, with_code=True)
