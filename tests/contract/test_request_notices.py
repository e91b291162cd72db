# SPDX-License-Identifier: Apache-2.0
"""Of whose requests Officers are told, where Officers are applicants too."""

from pathlib import Path

import pytest

from etymon.directory.model import Role
from etymon.issuer.model import Approval, Purpose
from etymon.kernel.entropy import Entropy
from etymon.storage.database import Database
from support.applicants import Applicant, somebody
from support.appointments import appoint_officer
from support.clock import TurnedClock
from support.issuer_site import IssuerSite

OLIVIA = "olivia@agency.example"
"""The site's own Officer."""


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    site = IssuerSite(database, clock, entropy, tmp_path)
    site.save_rule(approval=Approval.SECOND_PERSON, purposes=(Purpose.AUTHENTICATION,))
    return site


def told(site: IssuerSite, applicant: Applicant) -> set[str]:
    """Have somebody ask; return which Officers are told."""
    site.mail()
    applicant.ask()
    return {one["to"][0] for one in site.mail() if one["subject"] == "A request for credentials waits for you"}


def test_what_officers_ask_for_themselves_keeps_no_request_of_others_from_being_told(site: IssuerSite) -> None:
    officer, coming = somebody(site, role=Role.OFFICER), somebody(site)
    with site.database.transaction() as tx:
        appoint_officer(tx, site.deps, coming.person)
    others = {OLIVIA, *officer.person.mail_addresses}
    assert told(site, officer) == {OLIVIA}
    assert told(site, coming) == others
    assert told(site, somebody(site)) == others
    assert told(site, somebody(site)) == set()
    assert told(site, somebody(site, role=Role.OFFICER)) == set()


def test_the_only_officer_who_asks_first_is_told_of_the_next_request(site: IssuerSite) -> None:
    only = Applicant(site, site.officer, site.bound_card(site.officer))
    site.join(site.officer)
    assert told(site, only) == set()
    assert told(site, somebody(site)) == {OLIVIA}
