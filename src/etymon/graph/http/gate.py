# SPDX-License-Identifier: Apache-2.0
"""What endpoints ask the framework for: the services, and a caller with the role they need."""

from typing import Annotated, Any

from fastapi import Depends, Request

from etymon.graph import caller as callers
from etymon.graph.caller import Caller
from etymon.graph.dependencies import Dependencies
from etymon.web.exchange import client_address


def dependencies(request: Request) -> Dependencies:
    """Return what `create_app` was given."""
    found: Any = request.app.state.deps
    if not isinstance(found, Dependencies):
        message = "the application was not made by create_app"
        raise TypeError(message)
    return found


def source(request: Request, deps: Dependencies) -> str:
    """Return the address that asks, for the trail; behind a proxy of ours, the one that the proxy tells."""
    neighbour = request.client.host if request.client else ""
    return client_address(request.headers, neighbour, deps.mdm.proxies)


Services = Annotated[Dependencies, Depends(dependencies)]


def anybody(request: Request, deps: Services) -> Caller:
    """Return who calls, whatever the role."""
    token = callers.authenticate(deps, request.headers.get("authorization", ""))
    request.state.actor = f"person:{token.person}"  # also of who is refused: `errors` writes it down
    return callers.admit(deps, token)


Reader = Annotated[Caller, Depends(anybody)]


def administrator(caller: Reader) -> Caller:
    """Return who calls, an administrator."""
    return callers.require(caller, callers.ADMINISTRATORS)


def officer(caller: Reader) -> Caller:
    """Return who calls, an officer."""
    return callers.require(caller, callers.OFFICERS)


def administrator_or_officer(caller: Reader) -> Caller:
    """Return who calls, an officer or administrator."""
    return callers.require(caller, callers.BOTH)


Administrator = Annotated[Caller, Depends(administrator)]
Officer = Annotated[Caller, Depends(officer)]
AdministratorOrOfficer = Annotated[Caller, Depends(administrator_or_officer)]
