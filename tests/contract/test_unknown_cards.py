# SPDX-License-Identifier: Apache-2.0
"""Cards about which nobody says anything while others are answered for, and how long silent hosts are left alone."""

import dataclasses
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from etymon.issuer import card_questions, card_status_monitor, unknown_cards
from etymon.issuer.card_questions import ASKED_PAGE
from etymon.issuer.model import CardLinkState
from etymon.issuer.store import card_links as card_link_store
from etymon.issuer.store import card_sources
from etymon.issuer.store.card_sources import CardSource
from etymon.issuer.tables import card_links
from etymon.kernel.entropy import Entropy
from etymon.pki.certificate import to_der
from etymon.storage.database import Database
from support import card_crowd
from support.card_lists import ListHost, list_host
from support.clock import TurnedClock
from support.issuer_site import IssuerSite, Link

TOLD = "The status of single smart cards has been unknown for a day"


@pytest.fixture
def host() -> Iterator[ListHost]:
    with list_host() as host:
        yield host


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    return IssuerSite(database, clock, entropy, tmp_path)


def sources_of(site: IssuerSite) -> list[CardSource]:
    with site.database.snapshot() as tx:
        return card_status_monitor.all_sources(tx)


def sweep(site: IssuerSite) -> None:
    card_status_monitor.schedule(site.deps)
    site.work()


def unknown(site: IssuerSite) -> int:
    with site.database.snapshot() as tx:
        return unknown_cards.count(tx)


def silent_card(site: IssuerSite, *, known: int) -> Link:
    """Link a phone to a card that nobody tells the status of; behind as many others there are known ones."""
    link = site.linked()
    serial = site.card.certificate.serial_number
    site.card_status.unknown.add(serial)
    card_crowd.add(site.database, link.begun.derivation.id, known, ids=lambda serial: uuid.UUID(int=serial))
    return link


def told(site: IssuerSite) -> list[str]:
    return [str(mail["text"]) for mail in site.mail() if mail["subject"] == TOLD]


def test_an_unknown_card_is_counted_apart_and_asked_for_again_before_the_next_sweep(site: IssuerSite) -> None:
    certificate = silent_card(site, known=3).enroll().certificate
    sweep(site)
    (swept,) = site.events("issuer:card_status:swept")
    assert (swept.facts["checked"], swept.facts["unknown"]) == (3, 1)
    (source,) = sources_of(site)
    assert (source.checked, source.unknown, source.failures, source.silent_since) == (3, 1, 0, None)
    assert unknown(site) == 1
    site.card_status.unknown.clear()
    site.card_status.revoked.add(site.card.certificate.serial_number)
    sweep(site)  # at once: it is left alone for a minute
    assert not site.is_revoked(certificate)
    site.turn(minutes=1)
    sweep(site)
    assert site.is_revoked(certificate)
    assert unknown(site) == 0
    assert len(site.events("issuer:card_status:swept")) == 1


def test_an_unknown_card_is_left_alone_for_longer_each_time(site: IssuerSite) -> None:
    silent_card(site, known=1)
    sweep(site)
    asked = len(site.card_status.asked)
    for minutes in (1, 2, 4):
        site.turn(minutes=minutes, seconds=-1)
        sweep(site)
        assert len(site.card_status.asked) == asked
        site.turn(seconds=1)
        sweep(site)
        asked += 1
        assert len(site.card_status.asked) == asked
    site.card_status.unknown.clear()
    site.turn(minutes=8)
    sweep(site)
    assert unknown(site) == 0


def test_the_waits_double_up_to_an_hour() -> None:
    waits = [card_questions.wait(failures) // timedelta(minutes=1) for failures in (0, 1, 2, 3, 4, 5, 6, 7, 10**6)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_officers_are_told_once_a_day_of_a_card_that_was_unknown_for_a_day(site: IssuerSite) -> None:
    link = silent_card(site, known=2)
    site.mail()
    sweep(site)
    site.turn(hours=23, minutes=59)
    sweep(site)
    assert told(site) == []
    site.turn(hours=1)
    sweep(site)
    (text,) = told(site)
    assert str(link.begun.derivation.id) in text
    assert len(site.events("issuer:card_status:unknown")) == 1
    site.turn(hours=2)
    sweep(site)
    assert told(site) == []
    site.turn(days=1)
    sweep(site)
    assert len(told(site)) == 1
    site.card_status.unknown.clear()
    site.turn(hours=2)
    sweep(site)
    assert unknown(site) == 0
    site.turn(days=2)
    sweep(site)
    assert told(site) == []


def test_a_card_alone_on_its_page_does_not_stop_the_sweep(site: IssuerSite) -> None:
    silent_card(site, known=ASKED_PAGE)
    sweep(site)
    (source,) = sources_of(site)
    assert (source.checked, source.unknown, source.silent_since) == (ASKED_PAGE, 1, None)
    assert source.swept_at == site.clock.now()


def test_a_whole_page_of_unknown_cards_is_a_silent_host(site: IssuerSite) -> None:
    link = silent_card(site, known=ASKED_PAGE)
    der = to_der(site.card.certificate)
    ids = lambda serial: uuid.UUID(int=(1 << 64) + serial)  # noqa: E731 - the second page
    card_crowd.add(site.database, link.begun.derivation.id, ASKED_PAGE, ids=ids, certificate=der)
    sweep(site)
    (source,) = sources_of(site)
    assert (source.checked, source.unknown, source.swept_at) == (ASKED_PAGE, 0, None)
    assert source.silent_since == site.clock.now()
    assert len(site.events("issuer:card_status:unavailable")) == 1


def test_what_is_over_is_not_asked_for_again(site: IssuerSite) -> None:
    link = silent_card(site, known=1)
    sweep(site)
    site.end_own(link.begun)
    asked = len(site.card_status.asked)
    site.turn(minutes=1)
    sweep(site)
    assert (len(site.card_status.asked), unknown(site)) == (asked, 0)


def test_a_card_that_was_found_revoked_is_not_unknown_whatever_was_noted_of_it(site: IssuerSite) -> None:
    site.save_rule(most_derivations=2)
    links = [site.linked(), silent_card(site, known=1)]
    sweep(site)
    assert unknown(site) == 2
    settled, waits = (link.begun.derivation.id for link in links)
    with site.database.transaction() as tx:  # as if a sweep that asked before had noted it after
        row = card_links.c.derivation_id == settled
        tx.execute(card_links.update().where(row).values(state=CardLinkState.REVOKED.value))
    (source,) = sources_of(site)
    site.turn(days=2)
    now = site.clock.now()
    with site.database.snapshot() as tx:
        assert (unknown(site), card_sources.with_unknown(tx, now)) == (1, [source.id])
    site.mail()
    unknown_cards.ask_again(site.deps, source.id)
    (text,) = told(site)
    assert str(waits) in text
    assert str(settled) not in text
    with site.database.transaction() as tx:
        card_link_store.note_known(tx, [waits])
    with site.database.snapshot() as tx:
        assert (unknown(site), card_sources.with_unknown(tx, now)) == (0, [])


def with_list(site: IssuerSite, host: ListHost, path: str = "", *, ocsp: str | None = None) -> Link:
    upn = site.alice.user_principal_name
    site.deps = dataclasses.replace(site.deps, lists_of=host.lists_of)
    site.card = site.cards.issue(site.clock.now(), "Alice", upn=upn, crl_url=host.url + path, ocsp_url=ocsp)
    return site.linked()


def test_where_a_list_does_not_come_the_cards_responder_is_asked(site: IssuerSite, host: ListHost) -> None:
    certificate = with_list(site, host, ocsp="http://ocsp.example/").enroll().certificate
    site.card_status.answers = False
    sweep(site)
    assert sources_of(site)[0].silent_since is not None  # neither of them says anything
    site.card_status.answers = True
    site.card_status.revoked.add(site.card.certificate.serial_number)
    site.turn(minutes=1)
    sweep(site)
    assert site.is_revoked(certificate)
    (source,) = sources_of(site)
    assert (source.silent_since, source.failures, host.asked) == (None, 0, 2)


def test_where_a_list_does_not_come_a_card_that_names_no_responder_is_unknown(site: IssuerSite, host: ListHost) -> None:
    with_list(site, host)
    asked = len(site.card_status.asked)
    sweep(site)
    assert sources_of(site)[0].silent_since is not None
    assert len(site.card_status.asked) == asked


def test_a_silent_host_is_left_alone_for_longer_each_time_with_all_its_lists(site: IssuerSite, host: ListHost) -> None:
    site.save_rule(most_derivations=2)
    with_list(site, host)
    with_list(site, host, "?second")
    first, second = (source.id for source in sources_of(site))
    for failures, minutes in enumerate((1, 2, 4, 8, 16, 32, 60, 60), start=1):
        assert card_status_monitor.sweep(site.deps, first)
        assert card_status_monitor.sweep(site.deps, second)  # not asked: it is the same host
        assert host.asked == failures
        until = site.clock.now() + timedelta(minutes=minutes)
        assert [(source.failures, source.next_try_at) for source in sources_of(site)] == [
            (failures, until),
            (0, until),
        ]
        assert card_status_monitor.sweep(site.deps, first)  # nor again meanwhile
        assert host.asked == failures
        site.turn(minutes=minutes)
    with site.database.transaction() as tx:
        until = site.clock.now() + timedelta(hours=1)
        card_sources.postpone(tx, host.address, until)
        card_sources.postpone(tx, host.address, until - timedelta(minutes=1))
    assert {source.next_try_at for source in sources_of(site)} == {until}
