# SPDX-License-Identifier: Apache-2.0
"""Old encryption keys come to a phone when its card, and the mail addresses, have stood for a week."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.directory import bindings, people
from etymon.directory.model import Binding, BindingEnd
from etymon.issuer import key_history
from etymon.issuer.key_history import HistoryRequest, Listed
from etymon.issuer.model import Purpose
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import EtymonError
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.issuer_phone import transport_csr
from support.issuer_rekey import Holder, holder
from support.issuer_site import ADMINISTRATOR, PHONE_ADDRESS, IssuerSite

BOTH: Final = (Purpose.AUTHENTICATION, Purpose.ENCRYPTION)
A_WEEK: Final = timedelta(days=7, seconds=1)


@dataclass
class SparePhone:
    """A phone that was linked with another card of Alice's than her phone before."""

    held: Holder
    binding: Binding
    request: HistoryRequest

    @property
    def site(self) -> IssuerSite:
        return self.held.site

    def looked(self) -> Listed:
        return key_history.listed(self.site.deps, self.held.peer, source=PHONE_ADDRESS)

    def ask(self) -> str:
        """Ask for the old key; say what came of it."""
        try:
            released = key_history.release(self.site.deps, self.request, self.held.peer, source=PHONE_ADDRESS)
        except EtymonError as refused:
            return refused.code
        return f"{len(released)} released"

    def end_card(self, reason: BindingEnd) -> None:
        with self.site.database.transaction() as tx:
            bindings.end(tx, self.site.deps, self.binding.id, reason=reason, actor=ADMINISTRATOR)


def site_of(database: Database, directory: Path) -> IssuerSite:
    """Return a site where Alice has a phone, whose encryption key the next one may ask for."""
    site = IssuerSite(database, TurnedClock(), SystemEntropy(), directory)
    site.save_rule(lifetime=timedelta(days=90), most_derivations=100)
    holder(site, *BOTH, due=False)
    site.turn(days=30)
    return site


def spare_phone(site: IssuerSite, *, linked_after: timedelta = timedelta(0)) -> SparePhone:
    """Have an Administrator bind another card to Alice, and link a phone with it."""
    another = f"spare-{uuid.uuid4().hex[:8]}@agency.example"
    with site.database.transaction() as tx:
        binding = bindings.bind(
            tx, site.deps, trust_entry="cards", identifier=another, person_id=site.alice.id, actor=ADMINISTRATOR
        )
    site.turn(seconds=linked_after.total_seconds())
    site.card = site.cards.issue(site.clock.now(), site.alice.display_name, upn=another)
    held = holder(site, *BOTH, due=False)
    (*_, old) = key_history.listed(site.deps, held.peer, source=PHONE_ADDRESS).keys
    return SparePhone(held, binding, HistoryRequest((old.id,), transport_csr(rsa.generate_private_key(65537, 2048))))


def change_address(site: IssuerSite) -> None:
    with site.database.transaction() as tx:
        new = (f"alice-{uuid.uuid4().hex[:8]}@agency.example",)
        people.update(tx, site.deps, site.alice.id, mail_addresses=new, actor=ADMINISTRATOR)


@pytest.fixture(scope="module")
def shared(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One for the module; every test has a card and a phone of its own."""
    database = sqlite_databases.migrated()
    yield site_of(database, tmp_path_factory.mktemp("wait"))
    sqlite_databases.drop(database)


@pytest.fixture
def site(shared: IssuerSite) -> IssuerSite:
    """Return it with addresses that have stood, and lists that are fresh."""
    shared.settle(shared.alice)
    shared.turn(seconds=1)
    return shared


def test_neither_a_new_card_nor_new_addresses_bring_old_keys_to_a_phone_for_a_week(
    database: Database, tmp_path: Path
) -> None:
    site = site_of(database, tmp_path)
    spare, bound_at = spare_phone(site), site.clock.now()
    assert spare.looked().not_before == bound_at + A_WEEK, "the clock stands at a whole second"
    site.mail()
    assert spare.ask() == "recovery_too_early"
    assert ["not delivered" in str(mail["text"]) for mail in site.mail()] == [True]
    assert site.events("issuer:key_history:refused")[-1].facts["code"] == "recovery_too_early"
    site.turn(days=6)
    change_address(site)
    site.turn(days=1, seconds=1)
    assert spare.ask() == "recovery_too_early"
    assert spare.looked().not_before == bound_at + timedelta(days=6) + A_WEEK
    site.turn(days=6)
    assert spare.looked().not_before is None
    assert spare.ask() == "1 released", "what was refused used nothing up"


def test_what_was_released_comes_again_though_addresses_changed_since(site: IssuerSite) -> None:
    spare = spare_phone(site)
    site.turn(days=7, seconds=1)
    assert spare.ask() == "1 released"
    change_address(site)
    assert spare.ask() == "1 released", "its answer may have been lost"
    spare.end_card(BindingEnd.STOLEN)
    assert spare.ask() == "card_not_bound"


@pytest.mark.parametrize("reason", [BindingEnd.REPLACED, BindingEnd.STOLEN])
def test_a_card_that_was_ended_before_it_stood_for_a_week_brings_nothing_later(
    site: IssuerSite, reason: BindingEnd
) -> None:
    spare = spare_phone(site)
    site.turn(days=6)
    spare.end_card(reason)
    site.turn(days=1, seconds=1)
    assert spare.ask() == "card_not_bound"
    with pytest.raises(EtymonError, match="card_not_bound"):
        spare.looked()


@pytest.mark.parametrize(
    ("linked_after", "reason", "outcome"),
    [
        (0, BindingEnd.LOST, "card_not_bound"),
        (0, BindingEnd.UNSPECIFIED, "card_not_bound"),
        (0, BindingEnd.REPLACED, "1 released"),
        (8, BindingEnd.LOST, "1 released"),
    ],
)
def test_a_card_that_was_ended_later_brings_old_keys_unless_it_was_new_and_in_other_hands(
    site: IssuerSite, linked_after: int, reason: BindingEnd, outcome: str
) -> None:
    spare = spare_phone(site, linked_after=timedelta(days=linked_after))
    site.turn(days=8)
    spare.end_card(reason)
    site.turn(days=8)
    assert spare.ask() == outcome
