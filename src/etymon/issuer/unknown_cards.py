# SPDX-License-Identifier: Apache-2.0
"""Cards about which a sweep heard nothing: asked for again before the next one, and Officers told after a day."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from etymon.audit.model import Outcome
from etymon.directory import trust
from etymon.issuer import card_questions, notices
from etymon.issuer.card_questions import ASKED_PAGE
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.store import card_links as links
from etymon.issuer.store import card_sources as sources
from etymon.issuer.store.card_sources import CardSource
from etymon.kernel.errors import NotFound
from etymon.storage import jobs
from etymon.storage.database import Transaction

ASK_AGAIN: Final = "issuer.ask_cards_again"
"""Kind of the job; its payload has `source`."""

TELL_AFTER: Final = timedelta(days=1)
TELL_EVERY: Final = timedelta(days=1)
NAMED: Final = 20
"""Derivations that a notice names."""


def schedule(deps: Dependencies) -> int:
    """Have unknown cards whose wait is over asked for again; return at how many sources."""
    with deps.database.snapshot() as tx:
        due = sources.with_unknown(tx, deps.clock.now())
    for source in due:
        payload: dict[str, jobs.JSONValue] = {"source": str(source)}
        with deps.database.transaction() as tx:
            jobs.enqueue(tx, deps.clock, deps.entropy, ASK_AGAIN, payload, key=f"{ASK_AGAIN}:{source}")
    return len(due)


def ask_again(deps: Dependencies, source_id: UUID) -> None:
    """Ask once more for cards of a source that are due. Network, then transactions; twice does no harm."""
    now = deps.clock.now()
    with deps.database.snapshot() as tx:
        source = sources.find(tx, source_id)
        due = links.unknown(tx, source_id, due=now, limit=ASKED_PAGE)
        try:
            entry = trust.entry(tx, source.trust_entry) if source else None
        except NotFound:
            entry = None  # its bindings have ended, and nobody has to know any more
    unknown, wanted = [], [watched for watched in due if watched.is_open]
    if source is not None and entry is not None and wanted:
        judge, _ = card_questions.judge(deps, source, entry)
        unknown = card_questions.look(deps, wanted, judge, lambda _: None)
    with deps.database.transaction() as tx:
        card_questions.note(tx, due, unknown, now)
        if source is not None:
            _tell(tx, deps, source)


def count(tx: Transaction) -> int:
    """Return of how many cards nobody tells the status."""
    return links.count_unknown(tx)


def _tell(tx: Transaction, deps: Dependencies, source: CardSource) -> None:
    """Tell Officers of cards that have been unknown for a day, once a day at most of each source."""
    now = deps.clock.now()
    old = links.unknown_since(tx, source.id, now - TELL_AFTER, limit=NAMED + 1)
    if not old or not sources.note_told(tx, source.id, now, before=now - TELL_EVERY):
        return
    number = len(old) if len(old) <= NAMED else f"more than {NAMED}"
    record(
        tx,
        deps,
        "card_status:unknown",
        actor="worker",
        subject=source.id,
        outcome=Outcome.FAILURE,
        trust_entry=source.trust_entry,
        cards=str(number),
    )
    named = "".join(f"  Derivation {derivation}\n" for derivation in old[:NAMED])
    text = (
        f"Whether smart cards of the trust entry {source.trust_entry} were revoked has been unknown for a day or "
        f"longer. The cards behind these derivations ({number}):\n\n{named}\n"
        "Others of the same issuer are answered for. Credentials that are there stay as they are, and no new ones are "
        "issued with these cards.\n\nAsk the issuer of the cards why nobody tells their status. If they are not known "
        "there, end the credentials.\n"
    )
    notices.officers(tx, deps, "The status of single smart cards has been unknown for a day", text)
