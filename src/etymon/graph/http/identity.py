# SPDX-License-Identifier: Apache-2.0
"""Identity feeds, ends of accounts, and where the status of cards is asked: who tells of people, and what became."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.directory import feeds, roles, terminations
from etymon.graph.http import answers
from etymon.graph.http.answers import ItemOptions, ListOptions
from etymon.graph.http.gate import AdministratorOrOfficer, Officer, Reader, Services
from etymon.graph.http.trust import Name
from etymon.graph.http.users import find
from etymon.graph.representations import identity as shown
from etymon.graph.representations.identity import FeedBody, HandOverBody
from etymon.issuer import card_status_monitor

router = APIRouter(tags=["etymon"])

FEEDS: Final = "/etymon/identityFeeds"
TERMINATIONS: Final = "/etymon/terminations"
CARD_SOURCES: Final = "/etymon/cardStatusSources"


@router.get(FEEDS)
def list_feeds(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List identity feeds."""
    with deps.database.snapshot() as tx:
        found = feeds.all_of(tx)
    return answers.whole(request, deps, FEEDS[1:], [shown.feed(one) for one in found], options)


@router.get(FEEDS + "/{feed}")
def get_feed(request: Request, deps: Services, _: Reader, feed: Name, options: ItemOptions) -> Response:
    """Get an identity feed."""
    with deps.database.snapshot() as tx:
        found = feeds.find(tx, feed)
    return answers.entity(request, deps, FEEDS[1:], shown.feed(found), options=options)


@router.put(FEEDS + "/{feed}")
def put_feed(request: Request, deps: Services, caller: Officer, feed: Name, body: FeedBody) -> Response:
    """Name an identity feed, or change its key and right; its tokens end."""
    with deps.database.transaction() as tx:
        found = feeds.register(
            tx,
            deps,
            feed_id=feed,
            name=body.display_name,
            public_key=body.public_key,
            may_bind_cards=body.may_bind_cards,
            actor=caller.actor,
        )
    return answers.entity(request, deps, FEEDS[1:], shown.feed(found))


@router.delete(FEEDS + "/{feed}", status_code=204)
def delete_feed(deps: Services, caller: Officer, feed: Name) -> Response:
    """End an identity feed; its people stay."""
    with deps.database.transaction() as tx:
        feeds.end(tx, deps, feed, actor=caller.actor)
    return answers.nothing()


@router.put(FEEDS + "/{feed}/accounts/{user}", status_code=204)
def hand_over(deps: Services, caller: AdministratorOrOfficer, feed: Name, user: str, body: HandOverBody) -> Response:
    """Let a feed tell of a person who was there before."""
    with deps.database.transaction() as tx:
        person = roles.opened(tx, caller.roles, find(tx, user).id, by=caller.person)
        feeds.hand_over(tx, deps, feed, person.id, external_id=body.external_id, actor=caller.actor)
    return answers.nothing()


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
def check_cards(deps: Services, caller: Officer) -> Response:
    """Have the status of all cards asked now, by a worker."""
    with deps.database.transaction() as tx:
        card_status_monitor.check_now(tx, deps.issuer, actor=caller.actor)
    return answers.nothing()
