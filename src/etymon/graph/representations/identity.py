# SPDX-License-Identifier: Apache-2.0
"""Ends of accounts and where the status of cards is asked: resources of our own."""

from typing import Any

from etymon.directory.model import Termination
from etymon.issuer.store.card_sources import CardSource


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
        "silentSinceDateTime": shown.silent_since,
    }
