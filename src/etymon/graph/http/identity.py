# SPDX-License-Identifier: Apache-2.0
"""`/etymon/terminations` and `/etymon/cardStatusSources`: what became of accounts that ended, and of cards."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.directory import terminations
from etymon.graph.http import answers
from etymon.graph.http.answers import ListOptions
from etymon.graph.http.gate import AdministratorOrOfficer, Reader, Services
from etymon.graph.representations import identity as shown
from etymon.issuer import card_status_monitor

router = APIRouter(tags=["etymon"])

TERMINATIONS: Final = "/etymon/terminations"
CARD_SOURCES: Final = "/etymon/cardStatusSources"


@router.get(TERMINATIONS)
def list_terminations(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List ends of accounts by user, and whether everybody can see them."""
    with deps.database.snapshot() as tx:
        return answers.page(
            request,
            deps,
            TERMINATIONS[1:],
            options,
            fetch=lambda limit: terminations.page(tx, after=options.after_id(), limit=limit),
            key=lambda termination: termination.person,
            show=lambda found: [shown.termination(one) for one in found],
        )


@router.get(CARD_SOURCES)
def list_card_sources(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List where the status of cards is asked."""
    with deps.database.snapshot() as tx:
        found = card_status_monitor.all_sources(tx)
    return answers.whole(request, deps, CARD_SOURCES[1:], [shown.card_source(one) for one in found], options)


@router.post(CARD_SOURCES + "/check", status_code=204)
def check_cards(deps: Services, caller: AdministratorOrOfficer) -> Response:
    """Have the status of all cards asked now, by a worker."""
    with deps.database.transaction() as tx:
        card_status_monitor.check_now(tx, deps.issuer, actor=caller.actor)
    return answers.nothing()
