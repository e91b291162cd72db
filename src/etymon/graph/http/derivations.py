# SPDX-License-Identifier: Apache-2.0
"""`/etymon/derivationRequests`, `/users/{user}/derivations`: what officers decide about credentials of others."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.ca import certificates
from etymon.directory import people
from etymon.graph.http import answers
from etymon.graph.http.answers import ItemOptions, ListOptions
from etymon.graph.http.gate import Officer, Reader, Services, Source
from etymon.graph.http.users import anybody, people_by_id
from etymon.graph.representations import derivations as shown
from etymon.graph.representations.body import place
from etymon.graph.representations.derivations import (
    EndAuthorizedBody,
    EndBody,
    HoldBody,
    RefusalBody,
    RekeyBody,
    RestoreBody,
)
from etymon.issuer import approval, changeover, hold_record, holds, incidents
from etymon.issuer.attestation import evidence
from etymon.issuer.incidents import Derived, Suspect
from etymon.issuer.request import DerivationRequest
from etymon.issuer.store import rules
from etymon.storage.database import Transaction

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
def approve_request(request: Request, deps: Services, caller: Officer, source: Source, request_id: UUID) -> Response:
    """Approve another person's request."""
    decided = approval.approve(deps.issuer, request_id, officer=caller.person, source=source)
    with deps.database.snapshot() as tx:
        return answers.entity(request, deps, REQUESTS[1:], _request(tx, decided))


@router.post(REQUESTS + "/{request_id}/refuse")
def refuse_request(
    request: Request, deps: Services, caller: Officer, source: Source, request_id: UUID, body: RefusalBody
) -> Response:
    """Refuse another person's request for a reason."""
    decided = approval.refuse(deps.issuer, request_id, body.reason, officer=caller.person, source=source)
    with deps.database.snapshot() as tx:
        return answers.entity(request, deps, REQUESTS[1:], _request(tx, decided))


@router.get("/users/{user}/derivations")
def list_derivations(request: Request, deps: Services, _: Reader, user: str, options: ListOptions) -> Response:
    """List everything that was derived for a person, also one whose account has ended (then by id)."""
    with deps.database.snapshot() as tx:
        listed = _derivations(tx, incidents.of_person(tx, anybody(tx, user).id))
    return answers.whole(request, deps, DERIVATIONS[1:], listed, options)


@router.get(DERIVATIONS + "/{derivation:uuid}")  # `endAuthorized` and `rekeyCertified` are actions beside them
def get_derivation(request: Request, deps: Services, _: Reader, derivation: UUID, options: ItemOptions) -> Response:
    """Get a derivation with its certificates themselves, and what was found of its keys."""
    with deps.database.snapshot() as tx:
        derived = incidents.of_one(tx, derivation)
        (found,) = _derivations(tx, [derived])
        records = [certificates.find(tx, each.certificate) for each in derived.certificates]
    item = shown.with_certificates(found, (record.der if record is not None else None for record in records))
    return answers.entity(request, deps, DERIVATIONS[1:], item, options=options)


@router.get(DERIVATIONS + "/{derivation}/attestations/{attestation}/chain")
def get_attestation_chain(deps: Services, _: Reader, derivation: UUID, attestation: UUID) -> Response:
    """Get the chain of one key as its phone sent it, in PEM, the key's certificate first."""
    with deps.database.snapshot() as tx:
        found = evidence.of_key(tx, derivation, attestation)
    return answers.pem_chain(evidence.pem(found))


@router.post(DERIVATIONS + "/{derivation}/end")
def end_derivation(deps: Services, caller: Officer, source: Source, derivation: UUID, body: EndBody) -> Response:
    """End what a person has on one device."""
    ended = incidents.end_one(deps.issuer, derivation, body.order(caller.person, source))
    return answers.answer({"credentials": ended})


@router.post(DERIVATIONS + "/{derivation}/hold")
def hold_derivation(deps: Services, caller: Officer, source: Source, derivation: UUID, body: HoldBody) -> Response:
    """Put what another person has on one device on hold."""
    until = holds.hold(deps.issuer, derivation, body.order(caller.person, source))
    return answers.answer({"heldUntilDateTime": until})


@router.post(DERIVATIONS + "/{derivation}/restore")
def restore_derivation(
    deps: Services, caller: Officer, source: Source, derivation: UUID, body: RestoreBody
) -> Response:
    """Put what another person has on hold in force again, on evidence of who that person is."""
    restored = holds.restore(deps.issuer, derivation, body.order(caller.person, source))
    return answers.answer({"credentials": restored})


@router.post("/users/{user}/endDerivations")
def end_derivations(deps: Services, caller: Officer, source: Source, user: str, body: EndBody) -> Response:
    """End everything a person has or has asked for."""
    with deps.database.snapshot() as tx:
        person = anybody(tx, user)
    ended = incidents.end_all(deps.issuer, person.id, body.order(caller.person, source))
    return answers.answer({"credentials": ended.credentials, "managedCertificates": ended.managed})


@router.post(DERIVATIONS + "/endAuthorized")
def end_authorized(deps: Services, caller: Officer, source: Source, body: EndAuthorizedBody) -> Response:
    """End the next batch of what a rule or an officer has authorised, or an authority certified, since a time."""
    officer = None
    if body.officer:
        with deps.database.snapshot() as tx:
            officer = anybody(tx, body.officer).id
    suspect = Suspect(body.beginning(), body.rule, officer, body.authority)
    done = incidents.end_authorized(deps.issuer, suspect, body.order(caller.person, source), after=body.place())
    return answers.answer(shown.progress(done))


@router.post(DERIVATIONS + "/rekeyCertified")
def rekey_certified(deps: Services, caller: Officer, source: Source, body: RekeyBody) -> Response:
    """Have the next batch of what an issuing authority certified rekeyed onto its successor."""
    after = place(body.cursor)
    done = changeover.rekey_certified(
        deps.issuer, body.authority, body.comment, officer=caller.person, source=source, after=after
    )
    return answers.answer({"credentials": done.credentials, "remaining": done.remaining, "next": done.following})


def _derivations(tx: Transaction, found: Sequence[Derived]) -> list[dict[str, Any]]:
    """Show derivations with their certificates, attestations and holds."""
    holds_of = [hold_record.in_force(tx, each.derivation, each.certificates) for each in found]
    holders = people_by_id(tx, {hold.by for hold in holds_of if hold})
    return [
        shown.derivation(each, shown.hold(hold, holders) if hold else None)
        for each, hold in zip(found, holds_of, strict=True)
    ]


def _request(tx: Transaction, found: DerivationRequest) -> dict[str, object]:
    rule = rules.find(tx, found.rule)
    return shown.request(found, people.find(tx, found.person), rule[0].name if rule else "")
