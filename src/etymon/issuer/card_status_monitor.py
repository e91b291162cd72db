# SPDX-License-Identifier: Apache-2.0
"""The daily look at the cards behind what was derived (SP 800-157r1 §2.4: continuously, and never status alone).

One list serves all cards of an issuer; only where there is none, or it does not come, each card is asked for by itself.
A sweep goes on where it was broken off. While nobody answers, nothing changes, somebody is told, and no card opens
anything meanwhile: path validation asks the same hosts.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from etymon.directory import trust
from etymon.issuer import card_links, card_questions, notices, unknown_cards
from etymon.issuer.card_questions import ASKED_PAGE, Judge, Silent
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.store import card_links as links
from etymon.issuer.store import card_sources as sources
from etymon.issuer.store import derivations
from etymon.issuer.store.card_links import Watched
from etymon.issuer.store.card_sources import CardSource
from etymon.kernel.errors import NotFound
from etymon.storage import jobs
from etymon.storage.database import Transaction

log = structlog.get_logger("etymon.issuer")

SWEEP: Final = "issuer.sweep_cards"
"""Kind of the job; its payload has `source`."""

LINK: Final = "issuer.link_cards"
"""Kind of the job that links what was derived before cards were watched; its payload has `after`."""

PAGES_AT_A_TIME: Final = 100
"""Pages of one job, so that a worker's claim outlives it by far."""

SCHEDULE_EVERY: Final = timedelta(minutes=1)
Progress = Callable[[int], None]
"""Told how many cards of a source have been looked at."""


def schedule(deps: Dependencies) -> int:
    """Have the cards of every source swept whose time has come, and unknown ones asked for again.

    Returns how many sources are swept.
    """
    now = deps.clock.now()
    with deps.database.snapshot() as tx:
        due = sources.due(tx, now, swept_before=now - deps.card_status_every)
    for source in due:
        with deps.database.transaction() as tx:
            go_on(tx, deps, source)
    unknown_cards.schedule(deps)
    return len(due)


def check_now(tx: Transaction, deps: Dependencies, *, actor: str) -> int:
    """Have all cards looked at as soon as a worker can; return at how many sources."""
    wanted = sources.hurry(tx)
    for source in wanted:
        go_on(tx, deps, source)
    record(tx, deps, "card_status:asked", actor=actor, subject="cards", sources=len(wanted))
    return len(wanted)


def all_sources(tx: Transaction) -> list[CardSource]:
    """Return where status is asked, and how that went."""
    return sources.all_of(tx)


def count(tx: Transaction, source: CardSource) -> int:
    """Return how many cards a sweep of a source looks at in all, for whoever shows progress."""
    done = source.checked + source.unknown if source.began_at else 0
    return done + links.count(tx, source.id, after=source.cursor)


def sweep(
    deps: Dependencies, source_id: UUID, *, pages: int = PAGES_AT_A_TIME, progress: Progress | None = None
) -> bool:
    """Look at cards of a source, from where the sweep stands; True once all were looked at, or nobody answers.

    Network, then transactions. Running it twice, or beside another, does no harm.
    """
    with deps.database.transaction() as tx:
        source = _begun(tx, deps, source_id)
        try:
            entry = trust.entry(tx, source.trust_entry) if source else None
        except NotFound:
            entry = None  # its bindings have ended, and what that means was done then
    if source is None or entry is None:
        return True
    try:
        judge, size = card_questions.judge(deps, source, entry)
        for _ in range(pages):
            with deps.database.snapshot() as tx:
                stands = sources.find(tx, source.id)  # with what a page that was broken off had counted already
                page = links.page(tx, source.id, after=source.cursor, limit=size)
            if stands is None or (stands.began_at, stands.cursor) != (source.began_at, source.cursor):
                return True  # another worker has moved it
            moved = _page(deps, stands, page, judge, size)
            if moved is None:
                return True
            source = moved
            if progress is not None:
                progress(source.checked + source.unknown)
            if len(page) < size:
                _finish(deps, source)
                return True
    except Silent:
        _silent(deps, source)
        return True
    log.info("card_status_sweep", trust_entry=source.trust_entry, list=source.list_url, checked=source.checked)
    return False


def link_older(deps: Dependencies, after: UUID | None) -> UUID | None:
    """Link derivations that were there before cards were watched; return the last one looked at, None when done."""
    with deps.database.snapshot() as tx:
        page = derivations.carrying(tx, after=after, limit=ASKED_PAGE)
    for derivation in page:
        with deps.database.transaction() as tx:
            card_links.keep(tx, deps, derivation)
    return page[-1].id if len(page) == ASKED_PAGE else None


def go_on(tx: Transaction, deps: Dependencies, source: UUID) -> None:
    """Have a worker sweep the cards of a source, or what is left of them."""
    payload: dict[str, jobs.JSONValue] = {"source": str(source)}
    jobs.enqueue(tx, deps.clock, deps.entropy, SWEEP, payload, key=f"{SWEEP}:{source}")


def _begun(tx: Transaction, deps: Dependencies, source_id: UUID) -> CardSource | None:
    """Return a source whose sweep is under way; None where there is none, or its host is left alone for now."""
    source = sources.find(tx, source_id)
    if source is None or (source.next_try_at is not None and source.next_try_at > deps.clock.now()):
        return None
    if source.began_at is not None:
        return source
    begun = replace(source, began_at=deps.clock.now(), cursor=None, checked=0, unknown=0)
    values = {"began_at": begun.began_at, "cursor": None, "checked": 0, "unknown": 0}
    moved = sources.move(tx, source, values)
    return begun if moved else None


def _page(deps: Dependencies, source: CardSource, page: list[Watched], judge: Judge, size: int) -> CardSource | None:
    """Do what follows from a page of cards, then move on; None where another worker has moved the sweep meanwhile.

    Findings come first: a process that is killed between finds those again that are left, and each is done once. A card
    that is not watched any more is counted at once, because nobody comes across it again.
    """
    wanted = [watched for watched in page if watched.is_open]
    unknown = card_questions.look(deps, wanted, judge, lambda tx: sources.count_one(tx, source.id))
    if unknown:
        log.warning("card_status_unknown", trust_entry=source.trust_entry, cards=len(unknown))
    if wanted and len(unknown) == len(wanted) and (len(wanted) == size or not source.checked):
        raise Silent  # of some cards it may be the cards; of so many, or of the first ones, nobody answers
    if not page:
        return source
    after = replace(
        source,
        cursor=page[-1].derivation,
        checked=source.checked + len(page) - len(unknown),
        unknown=source.unknown + len(unknown),
    )
    with deps.database.transaction() as tx:
        links.remove(tx, [watched.derivation for watched in page if not watched.is_open])
        if not sources.move(tx, source, {"cursor": after.cursor, "checked": after.checked, "unknown": after.unknown}):
            return None
        card_questions.note(tx, wanted, unknown, deps.clock.now())
    return after


def _finish(deps: Dependencies, source: CardSource) -> None:
    with deps.database.transaction() as tx:
        values = {"began_at": None, "cursor": None, "swept_at": deps.clock.now(), "failures": 0}
        if not sources.move(tx, source, {**values, "silent_since": None, "next_try_at": None}):
            return
        checked, unknown = source.checked, source.unknown
        record(tx, deps, "card_status:swept", actor="worker", subject=source.id, checked=checked, unknown=unknown)
    log.info(
        "card_status_swept",
        trust_entry=source.trust_entry,
        list=source.list_url,
        checked=source.checked,
        unknown=source.unknown,
    )


def _silent(deps: Dependencies, source: CardSource) -> None:
    """Leave the host alone for some time; somebody is told the first time."""
    now = deps.clock.now()
    until = now + card_questions.wait(source.failures)
    with deps.database.transaction() as tx:
        values = {"failures": source.failures + 1, "silent_since": source.silent_since or now, "next_try_at": until}
        if not sources.move(tx, source, values):
            return
        if source.host:
            sources.postpone(tx, source.host, until)
        if source.silent_since is None:
            _alarm(tx, deps, source)
    log.error("card_status_unavailable", trust_entry=source.trust_entry, list=source.list_url, next=until.isoformat())


def _alarm(tx: Transaction, deps: Dependencies, source: CardSource) -> None:
    record(tx, deps, "card_status:unavailable", actor="worker", subject=source.id, trust_entry=source.trust_entry)
    text = (
        f"Whether smart cards of the trust entry {source.trust_entry} were revoked cannot be found out:\n\n"
        f"  {source.list_url or 'OCSP, at the addresses in the cards'}\n\n"
        "Credentials that are there stay as they are, and no new ones are issued with these cards until it answers.\n"
    )
    notices.officers(tx, deps, "The status of smart cards cannot be found out", text)
