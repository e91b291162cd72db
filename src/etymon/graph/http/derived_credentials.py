# SPDX-License-Identifier: Apache-2.0
"""`/deviceManagement/derivedCredentials`: the organisation's issuer."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.graph.http import answers
from etymon.graph.http.answers import ItemOptions, ListOptions
from etymon.graph.http.gate import Administrator, Reader, Services
from etymon.graph.representations import issuers as shown
from etymon.graph.representations.issuers import IssuerBody
from etymon.mdm import derived_credentials

PATH: Final = "/deviceManagement/derivedCredentials"
NAME: Final = PATH.lstrip("/")

router = APIRouter(tags=["derived credentials"])


@router.get(PATH)
def list_issuers(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List the issuer, if one is set."""
    with deps.database.snapshot() as tx:
        issuer = derived_credentials.live(tx)
    return answers.whole(request, deps, NAME, [shown.issuer(issuer)] if issuer else [], options)


@router.post(PATH, status_code=201)
def create_issuer(request: Request, deps: Services, caller: Administrator, body: IssuerBody) -> Response:
    """Set the issuer."""
    with deps.database.transaction() as tx:
        issuer = derived_credentials.create(tx, deps.mdm, body.terms(), actor=caller.actor)
    deps.mdm.wake_ups.wake()
    return answers.entity(request, deps, NAME, shown.issuer(issuer), status=201)


@router.get(PATH + "/{issuer}")
def get_issuer(request: Request, deps: Services, _: Reader, issuer: UUID, options: ItemOptions) -> Response:
    """Get the issuer."""
    with deps.database.snapshot() as tx:
        found = derived_credentials.get(tx, issuer)
    return answers.entity(request, deps, NAME, shown.issuer(found), options=options)


@router.patch(PATH + "/{issuer}")
def update_issuer(request: Request, deps: Services, caller: Administrator, issuer: UUID, body: IssuerBody) -> Response:
    """Change everything but the issuer itself."""
    with deps.database.transaction() as tx:
        before = derived_credentials.get(tx, issuer)
        changed = derived_credentials.update(tx, deps.mdm, issuer, body.terms(before.terms), actor=caller.actor)
    deps.mdm.wake_ups.wake()
    return answers.entity(request, deps, NAME, shown.issuer(changed))


@router.delete(PATH + "/{issuer}", status_code=204)
def delete_issuer(deps: Services, caller: Administrator, issuer: UUID) -> Response:
    """Send nobody to this issuer any more."""
    with deps.database.transaction() as tx:
        derived_credentials.delete(tx, deps.mdm, issuer, actor=caller.actor)
    deps.mdm.wake_ups.wake()
    return answers.nothing()
