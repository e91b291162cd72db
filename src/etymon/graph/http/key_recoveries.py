# SPDX-License-Identifier: Apache-2.0
"""`/etymon/keyRecoveries`, `/etymon/legalHolds`: another person's escrowed keys, let out by two agents or kept."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.directory import people
from etymon.escrow import legal_hold, recovery, recovery_analysis, recovery_store, store
from etymon.escrow.errors import own_key, recovery_unknown
from etymon.escrow.recovery_model import Recovery, RecoveryState
from etymon.graph.http import answers
from etymon.graph.http.answers import ItemOptions, ListOptions
from etymon.graph.http.gate import Agent, Analyst, HoldKeeper, Official, Recoverer, RecoveryReader, Services, Source
from etymon.graph.http.users import anybody
from etymon.graph.representations import key_recoveries as shown
from etymon.graph.representations.key_recoveries import (
    CauseBody,
    HalvesBody,
    LegalHoldBody,
    ReasonBody,
    RecoveryBody,
)
from etymon.storage.database import Transaction
from etymon.wire import odata

router = APIRouter(tags=["keyRecoveries"])

RECOVERIES: Final = "/etymon/keyRecoveries"
HOLDS: Final = "/etymon/legalHolds"


@router.get("/users/{user}/escrowedKeys")
def list_escrowed_keys(
    request: Request, deps: Services, caller: RecoveryReader, user: str, options: ListOptions
) -> Response:
    """List somebody else's keys in escrow that have or had certificates; of one whose account has ended by id.

    The own ones would show by `released` a recovery that legal process keeps from their person.
    """
    with deps.database.snapshot() as tx:
        person = anybody(tx, user)
        if person.id == caller.person:
            raise own_key()
        found = store.ever_of_person(tx, person.id)
    return answers.whole(request, deps, "etymon/escrowedKeys", [shown.escrowed_key(key) for key in found], options)


@router.get(RECOVERIES)
def list_recoveries(request: Request, deps: Services, caller: RecoveryReader, options: ListOptions) -> Response:
    """List recoveries, the oldest first; nobody sees those of the own keys."""
    states, unexplained = _narrowed(options.condition)
    with deps.database.snapshot() as tx:
        return answers.page(
            request,
            deps,
            RECOVERIES[1:],
            options,
            fetch=lambda limit: recovery_store.page(
                tx,
                hidden_from=caller.person,
                after=options.after_id(),
                limit=limit,
                states=states,
                unexplained=unexplained,
            ),
            key=lambda found: found.id,
            show=lambda found: _recoveries(tx, found),
        )


@router.post(RECOVERIES, status_code=201)
def request_recovery(
    request: Request, deps: Services, caller: Official, source: Source, body: RecoveryBody
) -> Response:
    """Ask for keys of another person, as an official."""
    with deps.database.snapshot() as tx:
        person = anybody(tx, body.user)
    asked = recovery.request(
        deps.issuer.escrow, body.order(person.id), body.wanted(), official=caller.person, source=source
    )
    return _entity(request, deps, asked, status=201)


@router.get(RECOVERIES + "/{recovery_id}")
def get_recovery(
    request: Request, deps: Services, caller: RecoveryReader, recovery_id: UUID, options: ItemOptions
) -> Response:
    """Get a recovery; one of the own keys is not found."""
    with deps.database.snapshot() as tx:
        found = recovery_store.find(tx, recovery_id)
        if found.order.person == caller.person:
            raise recovery_unknown()
        return answers.entity(request, deps, RECOVERIES[1:], _recoveries(tx, [found])[0], options=options)


@router.post(RECOVERIES + "/{recovery_id}/approve")
def approve_recovery(deps: Services, caller: Agent, source: Source, recovery_id: UUID) -> Response:
    """Approve a recovery as one of two agents; the answer alone has this agent's half of the password."""
    approved, half = recovery.approve(deps.issuer.escrow, recovery_id, agent=caller.person, source=source)
    with deps.database.snapshot() as tx:
        return answers.answer({**_recoveries(tx, [approved])[0], "passwordHalf": half.reveal()})


@router.post(RECOVERIES + "/{recovery_id}/refuse")
def refuse_recovery(
    request: Request, deps: Services, caller: Recoverer, source: Source, recovery_id: UUID, body: ReasonBody
) -> Response:
    """Refuse a recovery for a reason, as an agent, or take it back as the official who asked."""
    refused = recovery.refuse(deps.issuer.escrow, recovery_id, body.reason, by=caller.person, source=source)
    return _entity(request, deps, refused)


@router.post(RECOVERIES + "/{recovery_id}/collect")
def collect_recovery(deps: Services, caller: Official, source: Source, recovery_id: UUID, body: HalvesBody) -> Response:
    """Collect the keys, once, as the official who asked, with both halves of the password."""
    halves = body.password_halves
    found = recovery.collect(deps.issuer.escrow, recovery_id, halves, official=caller.person, source=source)
    return answers.answer(shown.recovered(found))


@router.post(RECOVERIES + "/{recovery_id}/explain")
def explain_recovery(
    request: Request, deps: Services, caller: Analyst, source: Source, recovery_id: UUID, body: CauseBody
) -> Response:
    """Record why a recovery was not successful."""
    explained = recovery_analysis.explain(deps.issuer.escrow, recovery_id, body.cause, by=caller.person, source=source)
    return _entity(request, deps, explained)


@router.get(HOLDS)
def list_legal_holds(request: Request, deps: Services, caller: RecoveryReader, options: ListOptions) -> Response:
    """List legal holds, lifted ones too, the oldest first; nobody sees those on the own keys."""
    with deps.database.snapshot() as tx:
        return answers.page(
            request,
            deps,
            HOLDS[1:],
            options,
            fetch=lambda limit: recovery_store.holds(
                tx, hidden_from=caller.person, after=options.after_id(), limit=limit
            ),
            key=lambda found: found.id,
            show=lambda found: [shown.legal_hold(each, people.find(tx, each.person)) for each in found],
        )


@router.post(HOLDS, status_code=201)
def place_legal_hold(
    request: Request, deps: Services, caller: HoldKeeper, source: Source, body: LegalHoldBody
) -> Response:
    """Keep a person's escrowed keys from being destroyed."""
    with deps.database.snapshot() as tx:
        person = anybody(tx, body.user)
    hold, number = legal_hold.place(
        deps.issuer.escrow,
        person.id,
        reference=body.reference,
        reason=body.reason,
        by=caller.person,
        source=source,
    )
    item = {**shown.legal_hold(hold, person), "keys": number}
    return answers.entity(request, deps, HOLDS[1:], item, status=201)


@router.post(HOLDS + "/{hold_id}/lift")
def lift_legal_hold(
    request: Request, deps: Services, caller: HoldKeeper, source: Source, hold_id: UUID, body: ReasonBody
) -> Response:
    """Lift a legal hold for a reason."""
    hold = legal_hold.lift(deps.issuer.escrow, hold_id, body.reason, by=caller.person, source=source)
    with deps.database.snapshot() as tx:
        return answers.entity(request, deps, HOLDS[1:], shown.legal_hold(hold, people.find(tx, hold.person)))


def _entity(request: Request, deps: Services, found: Recovery, *, status: int = 200) -> Response:
    with deps.database.snapshot() as tx:
        return answers.entity(request, deps, RECOVERIES[1:], _recoveries(tx, [found])[0], status=status)


def _recoveries(tx: Transaction, found: Sequence[Recovery]) -> list[dict[str, object]]:
    """Show recoveries, with the people and keys of all of them looked up at once."""
    owners = people.known(tx, {each.order.person for each in found})
    keys = store.known_keys(tx, {key_id for each in found for key_id in each.key_ids})
    return [
        shown.recovery(each, owners.get(each.order.person), [keys[key_id] for key_id in each.key_ids]) for each in found
    ]


def _narrowed(condition: odata.Expression | None) -> tuple[frozenset[RecoveryState] | None, bool]:
    """Return the states that a filter leaves and whether it asks for no cause: the database then reads no others."""
    match condition:
        case odata.And(left, right):
            first, second = _narrowed(left), _narrowed(right)
            states = first[0] if second[0] is None else second[0] if first[0] is None else first[0] & second[0]
            return states, first[1] or second[1]
        case odata.In("state", values):
            return frozenset(state for state in RecoveryState if state.value in values), False
        case odata.Comparison("state", "eq", value):
            return frozenset(state for state in RecoveryState if state.value == value), False
        case odata.Comparison("cause", "eq", None):
            return None, True
        case _:
            return None, False
