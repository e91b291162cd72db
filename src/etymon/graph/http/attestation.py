# SPDX-License-Identifier: Apache-2.0
"""`/etymon/attestationAuthorities`: whose word about phones' keys is believed."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.graph.http import answers
from etymon.graph.http.answers import ItemOptions, ListOptions
from etymon.graph.http.gate import Administrator, Reader, Services
from etymon.graph.http.trust import Name
from etymon.graph.representations import attestation as shown
from etymon.graph.representations.attestation import AttestationAuthorityBody
from etymon.issuer.attestation import authorities

router = APIRouter(tags=["etymon"])

AUTHORITIES: Final = "/etymon/attestationAuthorities"


@router.get(AUTHORITIES)
def list_attestation_authorities(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List attestation authorities by name."""
    with deps.database.snapshot() as tx:
        items = [shown.attestation_authority(known) for known in authorities.every(tx)]
    return answers.whole(request, deps, AUTHORITIES[1:], items, options)


@router.get(AUTHORITIES + "/{name}")
def get_attestation_authority(
    request: Request, deps: Services, _: Reader, name: Name, options: ItemOptions
) -> Response:
    """Get an attestation authority."""
    with deps.database.snapshot() as tx:
        found = authorities.named(tx, name)
    return answers.entity(request, deps, AUTHORITIES[1:], shown.attestation_authority(found), options=options)


@router.put(AUTHORITIES + "/{name}", responses={201: {"description": "Created"}})
def put_attestation_authority(
    request: Request, deps: Services, caller: Administrator, name: Name, body: AttestationAuthorityBody
) -> Response:
    """Believe an attestation authority, new or in place of the one of its name."""
    wanted = body.authority(name)
    with deps.database.transaction() as tx:
        is_new = authorities.save(tx, deps.issuer, wanted, actor=caller.actor)
    status = 201 if is_new else 200
    return answers.entity(request, deps, AUTHORITIES[1:], shown.attestation_authority(wanted), status=status)


@router.delete(AUTHORITIES + "/{name}", status_code=204)
def delete_attestation_authority(deps: Services, caller: Administrator, name: Name) -> Response:
    """Believe an attestation authority no more; what was judged stays."""
    with deps.database.transaction() as tx:
        authorities.remove(tx, deps.issuer, name, actor=caller.actor)
    return answers.nothing()
