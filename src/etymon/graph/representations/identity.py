# SPDX-License-Identifier: Apache-2.0
"""Identity feeds, ends of accounts, and where the status of cards is asked: resources of our own."""

from typing import Annotated, Any

from pydantic import Field

from etymon.directory.model import Termination
from etymon.directory.store.feeds import Feed
from etymon.graph.representations.body import Body, Text
from etymon.issuer.store.card_sources import CardSource


class FeedBody(Body):
    """A whole identity feed, but for its id."""

    display_name: Text
    public_key: Annotated[dict[str, Text], Field(max_length=20)]
    may_bind_cards: bool = False


class HandOverBody(Body):
    """What a feed calls a person."""

    external_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None


def feed(shown: Feed) -> dict[str, Any]:
    """Show an identity feed."""
    return {
        "@odata.type": "#etymon.graph.identityFeed",
        "id": shown.id,
        "displayName": shown.name,
        "publicKey": shown.public_key,
        "mayBindCards": shown.may_bind_cards,
        "accounts": shown.accounts,
        "registeredDateTime": shown.registered_at,
    }


def termination(shown: Termination) -> dict[str, Any]:
    """Show the end of an account."""
    return {
        "@odata.type": "#etymon.graph.termination",
        "id": shown.person,
        "reason": shown.reason.value,
        "state": "closed" if shown.closed_at else "late" if shown.alarmed_at else "open",
        "reportedDateTime": shown.reported_at,
        "dueDateTime": shown.due_at,
        "alarmedDateTime": shown.alarmed_at,
        "closedDateTime": shown.closed_at,
    }


def card_source(shown: CardSource) -> dict[str, Any]:
    """Show where the status of an issuer's cards is asked, and how that went."""
    return {
        "@odata.type": "#etymon.graph.cardStatusSource",
        "id": shown.id,
        "trustEntry": shown.trust_entry,
        "listUrl": shown.list_url or None,
        "sweptDateTime": shown.swept_at,
        "sweepingSinceDateTime": shown.began_at,
        "checkedCards": shown.checked,
        "unknownCards": shown.unknown,
        "silentSinceDateTime": shown.silent_since,
    }
