# SPDX-License-Identifier: Apache-2.0
"""The issuer proves the card itself: what is no card, or is not good now, proves nothing."""

from collections.abc import Iterator

import pytest

from etymon.issuer.model import Purpose
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import NotPermitted
from support import declared_pki
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.declared_pki import Certified
from support.issuer_site import IssuerSite


@pytest.fixture(scope="module")
def site(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One for all, on one engine: what a card proves does not depend on it."""
    database = sqlite_databases.migrated()
    yield IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("authorities"))
    database.close()


def test_nothing_but_a_card_proves_a_card(site: IssuerSite) -> None:
    """A derived credential stands for the same person, and binds nothing (SP 800-157r1, 2.2.3)."""
    known = len(site.events("issuer:card:refused"))
    link = site.linked()
    assert link.phone.device is not None
    for shown, code in (
        (link.enroll().certificate, "wrong_certificate_kind"),
        (link.enroll(Purpose.SIGNATURE).certificate, "untrusted_root"),
        (link.phone.device, "wrong_certificate_kind"),
    ):
        with pytest.raises(NotPermitted, match=code):
            site.present_card(Certified(shown, declared_pki.key()))
    assert len(site.events("issuer:card:refused")) == known + 3


def test_a_revoked_card_or_one_of_unknown_status_proves_nothing(site: IssuerSite) -> None:
    site.card_status.revoked.add(site.card.certificate.serial_number)
    with pytest.raises(NotPermitted, match="revoked_by_crl"):
        site.present_card()
    site.card_status.revoked.clear()
    site.card_status.answers = False
    with pytest.raises(NotPermitted, match="status_unavailable"):
        site.present_card()
    site.card_status.answers = True
    assert site.present_card().person == site.alice.id


def test_a_card_of_nobody_proves_nothing(site: IssuerSite) -> None:
    strange = site.cards.issue(site.clock.now(), "Somebody", upn="somebody@agency.example")
    with pytest.raises(NotPermitted, match="card_not_bound"):
        site.present_card(strange)
