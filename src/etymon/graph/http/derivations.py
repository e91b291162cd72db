# SPDX-License-Identifier: Apache-2.0
"""`/etymon/derivationRequests`, `/users/{user}/derivations`: what officers decide about credentials of others."""

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.directory import people
from etymon.directory.model import Person
from etymon.graph.http import answers
from etymon.graph.http.answers import ListOptions
from etymon.graph.http.gate import Officer, Reader, Services
from etymon.graph.representations import derivations as shown
from etymon.graph.representations.derivations import EndAuthorizedBody, EndBody, RefusalBody, RekeyBody
from etymon.issuer import approval, changeover, incidents
from etymon.issuer.incidents import Suspect
from etymon.issuer.request import DerivationRequest
from etymon.issuer.store import rules
from etymon.kernel.errors import NotFound
from etymon.storage.database import Transaction
from etymon.web.exchange import client_address

router = APIRouter(tags=["derivations"])

REQUESTS: Final = "/etymon/derivationRequests"
DERIVATIONS: Final = "/etymon/derivations"


@router.get(REQUESTS)
def list_requests(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List the requests that wait for an officer, the oldest first; a hundred at most."""
    with deps.database.snapshot() as tx:
        items = [_request(tx, found) for found in approval.undecided(tx, deps.issuer)]
    return answers.whole(request, deps, REQUESTS[1:], items, options)


@router.post(REQUESTS + "/{request_id}/approve")
def approve_request(request: Request, deps: Services, caller: Officer, request_id: UUID) -> Response:
    """Approve another person's request."""
    decided = approval.approve(deps.issuer, request_id, officer=caller.person, source=_source(request, deps))
    with deps.database.snapshot() as tx:
        return answers.entity(request, deps, REQUESTS[1:], _request(tx, decided))


@router.post(REQUESTS + "/{request_id}/refuse")
def refuse_request(request: Request, deps: Services, caller: Officer, request_id: UUID, body: RefusalBody) -> Response:
    """Refuse another person's request for a reason."""
    decided = approval.refuse(
        deps.issuer, request_id, body.reason, officer=caller.person, source=_source(request, deps)
    )
    with deps.database.snapshot() as tx:
        return answers.entity(request, deps, REQUESTS[1:], _request(tx, decided))


@router.get("/users/{user}/derivations")
def list_derivations(request: Request, deps: Services, _: Reader, user: str, options: ListOptions) -> Response:
    """List everything that was derived for a person, also one whose account has ended (then by id)."""
    with deps.database.snapshot() as tx:
        found = incidents.of_person(tx, _anybody(tx, user).id)
    return answers.whole(request, deps, DERIVATIONS[1:], [shown.derivation(*each) for each in found], options)


@router.post(DERIVATIONS + "/{derivation}/end")
def end_derivation(request: Request, deps: Services, caller: Officer, derivation: UUID, body: EndBody) -> Response:
    """End what a person has on one device."""
    ended = incidents.end_one(deps.issuer, derivation, body.order(caller.person, _source(request, deps)))
    return answers.answer({"credentials": ended})


@router.post("/users/{user}/endDerivations")
def end_derivations(request: Request, deps: Services, caller: Officer, user: str, body: EndBody) -> Response:
    """End everything a person has or has asked for."""
    with deps.database.snapshot() as tx:
        person = _anybody(tx, user)
    ended = incidents.end_all(deps.issuer, person.id, body.order(caller.person, _source(request, deps)))
    return answers.answer({"credentials": ended})


@router.post(DERIVATIONS + "/endAuthorized")
def end_authorized(request: Request, deps: Services, caller: Officer, body: EndAuthorizedBody) -> Response:
    """End the next batch of what a rule or an officer has authorised, or an authority certified, since a time."""
    officer = None
    if body.officer:
        with deps.database.snapshot() as tx:
            officer = _anybody(tx, body.officer).id
    suspect = Suspect(body.beginning(), body.rule, officer, body.authority)
    done = incidents.end_authorized(deps.issuer, suspect, body.order(caller.person, _source(request, deps)))
    return answers.answer(shown.progress(done))


@router.post(DERIVATIONS + "/rekeyCertified")
def rekey_certified(request: Request, deps: Services, caller: Officer, body: RekeyBody) -> Response:
    """Have the next batch of what an issuing authority certified rekeyed onto its successor."""
    done = changeover.rekey_certified(
        deps.issuer, body.authority, body.comment, officer=caller.person, source=_source(request, deps)
    )
    return answers.answer({"credentials": done.credentials, "remaining": done.remaining})


def _request(tx: Transaction, found: DerivationRequest) -> dict[str, object]:
    rule = rules.find(tx, found.rule)
    return shown.request(found, people.find(tx, found.person), rule[0].name if rule else "")


def _anybody(tx: Transaction, user: str) -> Person:
    """Return a person by id, also one whose account ended, or by the user principal name of a living account."""
    try:
        person = people.find(tx, UUID(user))
    except ValueError:
        person = people.by_user_principal_name(tx, user) if user.isprintable() else None
    if person is None:
        raise NotFound("user_not_found", "There is no such user. Name one whose account has ended by its id.")
    return person


def _source(request: Request, deps: Services) -> str:
    neighbour = request.client.host if request.client else ""
    return client_address(request.headers, neighbour, deps.mdm.proxies)
