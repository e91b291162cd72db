# SPDX-License-Identifier: Apache-2.0
"""`/etymon`: SCEP connectors, and the management clients that use them."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.graph.http import answers
from etymon.graph.http.answers import ItemOptions, ListOptions
from etymon.graph.http.gate import Officer, Reader, Services
from etymon.graph.http.trust import Name
from etymon.graph.representations import scep as shown
from etymon.graph.representations.scep import ManagementClientBody, ScepConnectorBody
from etymon.issuer import clients
from etymon.issuer.scep import connectors

router = APIRouter(tags=["etymon"])

CONNECTORS: Final = "/etymon/scepConnectors"
CLIENTS: Final = "/etymon/managementClients"


@router.get(CONNECTORS)
def list_scep_connectors(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List the SCEP connectors in force by name."""
    with deps.database.snapshot() as tx:
        found = connectors.in_force(tx)
    listed = [
        shown.scep_connector(each, deps.issuer.scep_url(each.name), deps.issuer.est_url(each.name)) for each in found
    ]
    return answers.whole(request, deps, CONNECTORS[1:], listed, options)


@router.get(CONNECTORS + "/{name}")
def get_scep_connector(request: Request, deps: Services, _: Reader, name: Name, options: ItemOptions) -> Response:
    """Get a SCEP connector."""
    with deps.database.snapshot() as tx:
        found = connectors.load(tx, name)
    entity = shown.scep_connector(found, deps.issuer.scep_url(name), deps.issuer.est_url(name))
    return answers.entity(request, deps, CONNECTORS[1:], entity, options=options)


@router.put(CONNECTORS + "/{name}", responses={201: {"description": "Created"}})
def put_scep_connector(
    request: Request, deps: Services, caller: Officer, name: Name, body: ScepConnectorBody
) -> Response:
    """Put a connector in force, new or in place of the one of its name; a challenge page gets the password, or one."""
    wanted = body.connector(name, caller.person, deps.clock.now())
    with deps.database.transaction() as tx:
        is_new = all(known.name != name for known in connectors.in_force(tx))
        password = connectors.save(tx, deps.issuer, wanted, officer=caller.person, page_password=body.password())
        kept = connectors.load(tx, name)
    entity = shown.scep_connector(kept, deps.issuer.scep_url(name), deps.issuer.est_url(name), password)
    return answers.entity(request, deps, CONNECTORS[1:], entity, status=201 if is_new else 200)


@router.post(CONNECTORS + "/{name}/check", status_code=204)
def check_scep_connector(deps: Services, caller: Reader, name: Name, body: ScepConnectorBody) -> Response:
    """Say whether a connector could be put in force and let anybody in; nothing is saved."""
    wanted = body.connector(name, caller.person, deps.clock.now())
    with deps.database.snapshot() as tx:
        connectors.check(tx, deps.issuer, wanted, body.password())
    return answers.nothing()


@router.delete(CONNECTORS + "/{name}", status_code=204)
def delete_scep_connector(deps: Services, caller: Officer, name: Name) -> Response:
    """Withdraw a connector; what it gave out lives on."""
    with deps.database.transaction() as tx:
        connectors.withdraw(tx, deps.issuer, name, officer=caller.person)
    return answers.nothing()


@router.put(CLIENTS + "/{name}")
def put_management_client(
    request: Request, deps: Services, caller: Officer, name: Name, body: ManagementClientBody
) -> Response:
    """Register a client of the issuer's management API, or change its registration."""
    with deps.database.transaction() as tx:
        client = clients.register(
            tx,
            deps.issuer,
            client_id=name,
            name=body.display_name,
            public_key=body.public_key.model_dump(),
            device_trust_entries=body.device_trust_entries,
            actor=caller.actor,
        )
    return answers.entity(request, deps, CLIENTS[1:], shown.management_client(client), status=200)


@router.delete(CLIENTS + "/{name}", status_code=204)
def delete_management_client(deps: Services, caller: Officer, name: Name) -> Response:
    """End a client and its tokens."""
    with deps.database.transaction() as tx:
        clients.end(tx, deps.issuer, name, actor=caller.actor)
    return answers.nothing()
