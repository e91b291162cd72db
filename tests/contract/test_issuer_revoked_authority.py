# SPDX-License-Identifier: Apache-2.0
"""What is told of credentials whose authority was revoked, before anybody has ended one of them."""

import re
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from etymon.graph.representations import derivations as representations
from etymon.graph.representations.managed_certificates import managed_certificate
from etymon.issuer import eligibility, holds, incidents, management, revoked_authorities
from etymon.issuer.holds import Order as HoldOrder
from etymon.issuer.incidents import Suspect
from etymon.issuer.model import EndReason, Purpose
from etymon.issuer.officers import Order
from etymon.issuer.scep import managed_certificates
from etymon.issuer.scep.model import EnrollmentState, Holder
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, Unavailable
from etymon.pki.certificate import thumbprint
from etymon.storage.database import Database
from support import next_authority
from support.clock import TurnedClock
from support.issuer_site import IssuerSite, Link
from support.scep_site import SCEPSite

PURPOSES = (Purpose.AUTHENTICATION, Purpose.SIGNATURE)
NEVER = (datetime(2000, 1, 1, tzinfo=UTC), uuid.UUID(int=0))


@pytest.fixture
def site(database: Database, tmp_path: Path) -> SCEPSite:
    found = SCEPSite(database, TurnedClock(), SystemEntropy(), tmp_path)
    found.save_rule(purposes=PURPOSES, most_derivations=1)
    return found


def worthless(site: IssuerSite) -> dict[str, list[str]]:
    """Return which revoked authority certified what, under its name, with the states that are kept; "" for none."""
    found: dict[str, list[str]] = {}
    with site.database.snapshot() as tx:
        for derived in incidents.of_person(tx, site.alice.id):
            for each in derived.certificates:
                name = derived.revoked[each.id].name if each.id in derived.revoked else ""
                found.setdefault(name, []).append(each.state.value)
    return found


def set_up(site: IssuerSite) -> Link:
    link = site.linked()
    for purpose in PURPOSES:
        link.enroll(purpose)
    return link


def test_it_is_told_at_once_and_nothing_is_kept_of_it(site: SCEPSite) -> None:
    link = set_up(site)
    assert link.phone.device is not None
    device = thumbprint(link.phone.device)
    assert worthless(site) == {"": ["active", "active"]}
    site.turn(days=340)  # a rekey is due
    assert len(management.due_for_rekey(site.deps, site.client, after=NEVER)[0]) == 2
    next_authority.revoke(site, "derived")
    assert worthless(site) == {"derived": ["active", "active"]}
    with site.database.snapshot() as tx:
        (listed,) = (representations.derivation(each, None) for each in incidents.of_person(tx, site.alice.id))
    told = {(each["state"], each["revokedAuthority"]) for each in listed["credentials"]}
    assert told == {("authorityRevoked", "derived")}
    found, revoked, _ = management.page(site.deps, site.client, device=device, person=None, after=None)
    assert {revoked[each.id].revoked_at for each in found} == {site.clock.now()}
    assert {management.reason_of_revoked(revoked[each.id]) for each in found} == {EndReason.UNSPECIFIED}
    assert management.due_for_rekey(site.deps, site.client, after=NEVER) == ((), None), "nobody rekeys with it"
    with pytest.raises(Conflict, match="credentials_not_in_force"):
        holds.hold(site.deps, link.begun.derivation.id, HoldOrder(site.officer.id, "Suspected."))


def test_a_person_sets_up_the_phone_anew_as_soon_as_a_successor_issues(site: SCEPSite) -> None:
    set_up(site)
    with pytest.raises(Conflict, match="too_many_derivations"):
        site.begin(site.present_card())
    next_authority.revoke(site, "derived")
    with pytest.raises(Unavailable, match="authority_revoked"):
        site.begin(site.present_card())
    next_authority.issue_from_a_successor(site)
    set_up(site)
    assert worthless(site) == {"": ["active", "active"], "derived": ["active", "active"]}
    with site.database.snapshot() as tx:
        assert eligibility.devices_in_use(tx, site.clock, site.alice.id) == 1
    with pytest.raises(Conflict, match="too_many_derivations"):
        site.begin(site.present_card())


def test_officers_are_told_once_with_the_command_that_ends_it(site: SCEPSite) -> None:
    site.linked().enroll()
    site.mail()
    for name in ("derived", "managed", "device"):  # of one nothing is left, of the other nothing is ended here
        next_authority.revoke(site, name)
    site.work()
    (notice,) = [mail for mail in site.mail() if "was revoked" in mail["subject"]]
    assert notice["to"] == ["olivia@agency.example"]
    assert notice["subject"] == "The issuing authority derived was revoked"
    (event,) = site.events("issuer:revoked_authority:told")
    assert event.subject == "authority:derived"
    command = re.search(r"end-authorized --authority (\S+) --since (\S+) ", notice["text"])
    assert command is not None
    suspect = Suspect(datetime.fromisoformat(command[2]), authority=command[1])
    done = incidents.end_authorized(site.deps, suspect, Order(site.officer.id, EndReason.SUPERSEDED, "As told."))
    assert (done.derivations, done.remaining) == (1, 0)
    assert worthless(site) == {"": ["ended"]}, "what has ended is told as that"
    with site.database.transaction() as tx:
        revoked_authorities.was_revoked(tx, site.deps, "derived")
    site.work()
    assert not [mail for mail in site.mail() if "was revoked" in mail["subject"]], "nothing is left of it"


def test_what_connectors_gave_out_is_told_of_too(site: SCEPSite) -> None:
    kiosk = site.device(connector="fleet", common_name="kiosk")
    kiosk.enroll(site.challenge(Holder(None, uuid.uuid4(), "kiosk"), "fleet"))
    with site.database.snapshot() as tx:
        found = managed_certificates.page(tx, limit=10)
        assert revoked_authorities.of_enrollments(tx, found) == {}
    next_authority.revoke(site, "managed")
    site.work()
    with site.database.snapshot() as tx:
        revoked = revoked_authorities.of_enrollments(tx, found)
    assert [(each.state, revoked[each.id].name) for each in found] == [(EnrollmentState.ACTIVE, "managed")]
    listed = managed_certificate(found[0], None, revoked[found[0].id])
    assert (listed["state"], listed["revokedAuthority"]) == ("authorityRevoked", "managed")
    assert "The issuing authority managed was revoked" in {mail["subject"] for mail in site.mail()}
