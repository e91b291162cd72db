# SPDX-License-Identifier: Apache-2.0
"""How the status of watched cards is asked: of their issuer's list, and of a responder where no list comes.

A card about which nobody says anything is unknown. It is asked for again after a wait that grows, each by itself, and
Officers are told of what has been unknown for a day.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from cryptography import x509

from etymon.issuer import card_recheck
from etymon.issuer.card_recheck import FOUND_REVOKED, REVOKED, Finding
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.store import card_links as links
from etymon.issuer.store.card_links import Watched
from etymon.issuer.store.card_sources import CardSource
from etymon.pki import certificate as reading
from etymon.pki import revocation_data
from etymon.pki.errors import NotTrusted
from etymon.pki.revocation_data import Revoked
from etymon.pki.status import names_responder
from etymon.pki.trust_entry import TrustEntry
from etymon.storage.database import Transaction

log = structlog.get_logger("etymon.issuer")

PAGE: Final = 2000
"""Cards that are looked at, against a list, between two commits."""
ASKED_PAGE: Final = 50
"""The same where each is asked for over the network."""

FIRST_RETRY: Final = timedelta(minutes=1)
LAST_RETRY: Final = timedelta(hours=1)

Judge = Callable[[Watched], Finding | None]
"""Tells what is wrong with a card, None where nothing is; raises `Silent`."""


class Silent(Exception):
    """Nobody answers."""


def judge(deps: Dependencies, source: CardSource, entry: TrustEntry) -> tuple[Judge, int]:
    """Return what tells a revoked card of a source, and how many cards make a page. Network."""
    issuer, now = reading.load(source.issuer), deps.clock.now()
    if not source.list_url:
        return lambda watched: _asked(deps, entry, issuer, watched, responder=False), ASKED_PAGE
    found = deps.lists_of(entry).revocation_list(source.list_url, issuer, at=now)
    if found is None:
        log.warning("card_status_list_silent", trust_entry=source.trust_entry, list=source.list_url)
        return lambda watched: _asked(deps, entry, issuer, watched, responder=True), ASKED_PAGE
    listed = revocation_data.revoked_serials(found)
    return lambda watched: _listed(listed, watched), PAGE


def look(
    deps: Dependencies, page: Sequence[Watched], judge: Judge, settled: Callable[[Transaction], None]
) -> list[Watched]:
    """Judge cards and do what follows; return those about which nobody says anything.

    `settled` is called in the transaction that settles a card. Network, then transactions.
    """
    unknown = []
    for watched in page:
        try:
            finding = judge(watched)
        except Silent:
            unknown.append(watched)
            continue
        if finding is not None:
            with deps.database.transaction() as tx:
                if card_recheck.settle(tx, deps, watched.derivation, finding):
                    settled(tx)
    return unknown


def note(tx: Transaction, page: Sequence[Watched], unknown: Sequence[Watched], now: datetime) -> None:
    """Note of which cards that were looked at the status is known now, and when the others are asked for again."""
    for watched in unknown:
        links.note_unknown(tx, watched, now, now + wait(watched.unknown_tries))
    before = {watched.derivation for watched in page if watched.unknown_tries}
    links.note_known(tx, before - {watched.derivation for watched in unknown})


def wait(failures: int) -> timedelta:
    """Return how long whoever did not answer is left alone, having failed so often before."""
    doubled: timedelta = FIRST_RETRY * 2 ** min(failures, 10)
    return min(LAST_RETRY, doubled)


def _listed(listed: Mapping[int, Revoked], watched: Watched) -> Finding | None:
    revoked = listed.get(watched.serial)
    return Finding(FOUND_REVOKED, "revoked_by_crl", "", revoked.reason, revoked.at) if revoked else None


def _asked(
    deps: Dependencies, entry: TrustEntry, issuer: x509.Certificate, watched: Watched, *, responder: bool
) -> Finding | None:
    """Ask for one card; with `responder` only where it names one, because its list was asked for already."""
    with deps.database.snapshot() as tx:
        link = links.find(tx, watched.derivation)
    if link is None or link.certificate is None or not watched.is_open:
        return None
    leaf = reading.load(link.certificate)
    now = deps.clock.now()
    if leaf.not_valid_after_utc < now:
        return None  # no responder has to know it any more
    if responder and not names_responder(leaf):
        raise Silent
    try:
        deps.status_of(entry).status(leaf, issuer, at=now)
    except NotTrusted as refusal:
        if refusal.code not in REVOKED:
            raise Silent from refusal
        found = card_recheck.revoked(refusal)
        return found._replace(revoked_at=found.revoked_at or now)
    return None
