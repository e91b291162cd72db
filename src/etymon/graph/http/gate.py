# SPDX-License-Identifier: Apache-2.0
"""What endpoints ask the framework for: the services, and a caller with the role they need."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request

from etymon.directory.model import Role
from etymon.graph import caller as callers
from etymon.graph.caller import Caller
from etymon.graph.dependencies import Dependencies
from etymon.web.exchange import address_of


def dependencies(request: Request) -> Dependencies:
    """Return what `create_app` was given."""
    found: Any = request.app.state.deps
    if not isinstance(found, Dependencies):
        message = "the application was not made by create_app"
        raise TypeError(message)
    return found


Services = Annotated[Dependencies, Depends(dependencies)]


def source(request: Request, deps: Services) -> str:
    """Return the address that the request came from, behind proxies too."""
    return address_of(request, deps.mdm.proxies)


Source = Annotated[str, Depends(source)]


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


def _one_of(allowed: frozenset[Role]) -> Callable[[Caller], Caller]:
    def admitted(caller: Reader) -> Caller:
        return callers.require(caller, allowed)

    return admitted


Administrator = Annotated[Caller, Depends(administrator)]
Officer = Annotated[Caller, Depends(officer)]
AdministratorOrOfficer = Annotated[Caller, Depends(administrator_or_officer)]
Agent = Annotated[Caller, Depends(_one_of(callers.AGENTS))]
Official = Annotated[Caller, Depends(_one_of(callers.OFFICIALS))]
Recoverer = Annotated[Caller, Depends(_one_of(callers.RECOVERERS))]
Analyst = Annotated[Caller, Depends(_one_of(callers.ANALYSTS))]
HoldKeeper = Annotated[Caller, Depends(_one_of(callers.HOLDERS))]
Auditor = Annotated[Caller, Depends(_one_of(callers.AUDITORS))]
RecoveryReader = Annotated[Caller, Depends(_one_of(callers.RECOVERY_READERS))]
