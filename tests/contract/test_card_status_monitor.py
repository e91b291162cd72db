# SPDX-License-Identifier: Apache-2.0
"""The daily look at cards: one list for all, what follows from a revocation, silence, and a sweep that goes on."""

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509

from etymon.issuer import card_questions, card_status_monitor
from etymon.issuer.model import CardRevocation
from etymon.issuer.store import card_links
from etymon.issuer.store.card_sources import CardSource
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import NotPermitted
from etymon.storage.database import Database
from support import card_crowd
from support.card_lists import ListHost, list_host
from support.clock import TurnedClock
from support.declared_pki import Certified
from support.issuer_site import IssuerSite, Link

CROWD = 5000


@pytest.fixture
def host() -> Iterator[ListHost]:
    with list_host() as host:
        yield host


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path, host: ListHost) -> IssuerSite:
    site = IssuerSite(database, clock, entropy, tmp_path)
    site.deps = dataclasses.replace(site.deps, lists_of=host.lists_of)
    upn = site.alice.user_principal_name
    site.card = site.cards.issue(clock.now(), "Alice", upn=upn, crl_url=host.url)
    say(site, host)
    return site


def say(site: IssuerSite, host: ListHost, *revoked: Certified, reason: x509.ReasonFlags | None = None) -> None:
    extra = [(x509.CRLReason(reason), False)] if reason else []
    certificates = [card.certificate for card in revoked]
    host.body = site.cards.crl(site.clock.now(), *certificates, lasts=timedelta(days=60), entry_extra=extra)


def source(site: IssuerSite) -> CardSource:
    with site.database.snapshot() as tx:
        (found,) = card_status_monitor.all_sources(tx)
    return found


def sweep(site: IssuerSite) -> None:
    card_status_monitor.schedule(site.deps)
    site.work()


def names(site: IssuerSite, *wanted: str) -> list[str]:
    return [event.name for event in reversed(site.events()) if event.name in wanted]


def revoke(site: IssuerSite, host: ListHost, reason: x509.ReasonFlags = x509.ReasonFlags.key_compromise) -> None:
    say(site, host, site.card, reason=reason)


def test_a_card_that_is_revoked_shortly_after_its_use_ends_what_it_made(site: IssuerSite, host: ListHost) -> None:
    link = site.linked()
    certificate = link.enroll().certificate
    sweep(site)
    assert not site.is_revoked(certificate)
    assert source(site).swept_at == site.clock.now()
    site.turn(days=2)
    revoke(site, host)
    sweep(site)
    sweep(site)
    assert site.is_revoked(certificate)
    (found,) = site.events("issuer:card:found_revoked")
    assert (found.facts["reason"], found.facts["credentials"]) == ("keyCompromise", "ended")
    assert len(site.events("issuer:incident:opened")) == 1
    officer = [mail for mail in site.mail() if mail["to"] == ["olivia@agency.example"]]
    assert [mail["subject"] for mail in officer] == ["A smart card was revoked shortly after it was used"]
    assert host.asked == 2  # once a day


def test_a_card_on_hold_ends_nothing_and_is_watched_on(site: IssuerSite, host: ListHost) -> None:
    link = site.linked()
    certificate = link.enroll().certificate
    site.turn(days=2)
    revoke(site, host, x509.ReasonFlags.certificate_hold)
    sweep(site)
    assert not site.is_revoked(certificate)
    (found,) = site.events("issuer:card:found_revoked")
    assert (found.facts["reason"], found.facts["credentials"]) == ("certificateHold", "kept")
    assert site.events("issuer:incident:opened") == []
    site.turn(days=1)
    revoke(site, host)
    sweep(site)
    assert site.is_revoked(certificate), "a revocation that follows the hold counts"


def test_a_card_that_is_revoked_later_leaves_what_it_made_and_opens_nothing(site: IssuerSite, host: ListHost) -> None:
    link = site.linked()
    certificate = link.enroll().certificate
    site.turn(days=7)
    site.work()
    site.turn(days=1)
    revoke(site, host)
    site.card_status.revoked.add(site.card.certificate.serial_number)
    sweep(site)
    assert not site.is_revoked(certificate)
    (found,) = site.events("issuer:card:found_revoked")
    assert found.facts["credentials"] == "kept"
    with pytest.raises(NotPermitted, match="revoked_by_crl"):
        site.present_card()
    assert site.events("issuer:incident:opened") == []


def test_while_nobody_answers_nothing_changes_and_somebody_is_told_once(site: IssuerSite, host: ListHost) -> None:
    link = site.linked()
    certificate = link.enroll().certificate
    revoke(site, host)
    host.body = b""
    for _ in range(3):
        sweep(site)
        sweep(site)  # at once: the host is left alone for a minute, two, four
        site.turn(minutes=5)
    assert host.asked == 3
    assert (source(site).failures, source(site).silent_since is not None) == (3, True)
    assert not site.is_revoked(certificate)
    assert names(site, "issuer:card_status:unavailable", "issuer:card_status:swept") == [
        "issuer:card_status:unavailable"
    ]
    assert sum("cannot be found out" in mail["subject"] for mail in site.mail()) == 1
    site.card_status.answers = False
    with pytest.raises(NotPermitted, match="status_unavailable"):
        site.present_card()  # and no card opens anything
    site.turn(hours=1)
    revoke(site, host)
    sweep(site)
    assert site.is_revoked(certificate)
    assert source(site).silent_since is None


def test_a_list_that_is_not_to_be_believed_says_nothing(site: IssuerSite, host: ListHost) -> None:
    certificate = site.linked().enroll().certificate
    forger = dataclasses.replace(site.cards, key=site.card.key)
    for failures, (signer, lasts) in enumerate(
        [
            (forger, timedelta(days=1)),
            (site.card, timedelta(days=1)),  # of somebody else
            (site.cards, timedelta(minutes=30)),  # over
        ],
        start=1,
    ):
        host.body = signer.crl(site.clock.now() - timedelta(hours=1), site.card.certificate, lasts=lasts)
        sweep(site)
        assert source(site).failures == failures
        assert not site.is_revoked(certificate)
        site.turn(minutes=10)
    host.body = site.cards.crl(site.clock.now(), site.card.certificate)
    sweep(site)
    assert site.is_revoked(certificate)


def test_cards_without_a_list_are_asked_for_one_by_one(site: IssuerSite) -> None:
    site.card = site.cards.issue(site.clock.now(), "Alice", upn=site.alice.user_principal_name)
    certificate = site.linked().enroll().certificate
    site.card_status.answers = False
    sweep(site)
    assert source(site).silent_since is not None
    site.card_status.answers = True
    site.card_status.revoked.add(site.card.certificate.serial_number)
    site.turn(minutes=2)
    sweep(site)
    assert site.is_revoked(certificate)


def test_one_list_serves_a_crowd_and_a_sweep_goes_on_where_it_was(site: IssuerSite, host: ListHost) -> None:
    pattern = site.linked().begun.derivation.id
    serials = (1, 2500, CROWD)
    revoked = card_crowd.add(site.database, pattern, CROWD, revoked=serials)
    cards = [dataclasses.replace(site.card, certificate=_Serial(serial)) for serial in serials]  # type: ignore[arg-type]  # a serial is all that a list takes
    say(site, host, *cards, reason=x509.ReasonFlags.key_compromise)
    seen: list[int] = []
    assert not card_status_monitor.sweep(site.deps, source(site).id, pages=1, progress=seen.append)
    assert source(site).checked == seen[-1] == card_questions.PAGE
    cursor = source(site).cursor
    assert cursor is not None
    assert card_status_monitor.sweep(site.deps, source(site).id, progress=seen.append)
    assert seen == [2000, 4000, CROWD + 1]
    assert {UUID(event.subject) for event in site.events("issuer:card:found_revoked")} == set(revoked)
    (swept,) = site.events("issuer:card_status:swept")
    assert swept.facts["checked"] == CROWD + 1
    assert host.asked == 2


class _Breaking(dict[str, CardRevocation]):
    """What a revocation means, told once; then the process ends."""

    def get(self, reason: str, default: object = None) -> Any:
        if reason in self:
            raise KeyboardInterrupt
        self[reason] = CardRevocation.END
        return default


def test_a_sweep_that_ends_within_a_page_counts_each_card_once(site: IssuerSite, host: ListHost) -> None:
    pattern = site.linked().begun.derivation.id
    serials = (1, 2, 3)
    revoked = card_crowd.add(site.database, pattern, 10, revoked=serials)
    cards = [dataclasses.replace(site.card, certificate=_Serial(serial)) for serial in serials]  # type: ignore[arg-type]  # a serial is all that a list takes
    say(site, host, *cards, reason=x509.ReasonFlags.key_compromise)
    with pytest.raises(KeyboardInterrupt):
        card_status_monitor.sweep(dataclasses.replace(site.deps, card_revocation=_Breaking()), source(site).id)
    assert source(site).cursor is None
    assert source(site).checked == 1
    with site.database.snapshot() as tx:
        assert card_status_monitor.count(tx, source(site)) == 11
    assert card_status_monitor.sweep(site.deps, source(site).id)
    assert sorted(UUID(one.subject) for one in site.events("issuer:card:found_revoked")) == sorted(revoked)  # each once
    (swept,) = site.events("issuer:card_status:swept")
    assert swept.facts["checked"] == 11


def test_links_of_what_is_over_are_forgotten_and_older_derivations_are_linked(site: IssuerSite) -> None:
    link: Link = site.linked()
    link.enroll()
    with site.database.transaction() as tx:
        card_links.remove(tx, [link.begun.derivation.id])
    assert card_status_monitor.link_older(site.deps, None) is None
    with site.database.snapshot() as tx:
        assert card_status_monitor.count(tx, card_status_monitor.all_sources(tx)[0]) == 1
    site.end_own(link.begun)
    sweep(site)
    with site.database.snapshot() as tx:
        assert card_status_monitor.count(tx, card_status_monitor.all_sources(tx)[0]) == 0


def test_an_officer_has_cards_looked_at_now(site: IssuerSite, host: ListHost) -> None:
    site.linked()
    sweep(site)
    sweep(site)
    assert host.asked == 1
    with site.database.transaction() as tx:
        assert card_status_monitor.check_now(tx, site.deps, actor="person:officer") == 1
    site.work()
    assert host.asked == 2


@dataclasses.dataclass(frozen=True)
class _Serial:
    serial_number: int
