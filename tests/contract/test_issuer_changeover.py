# SPDX-License-Identifier: Apache-2.0
"""A planned change of the issuing authority: what the one before certified is rekeyed onto the next."""

from pathlib import Path
from uuid import UUID

import pytest

from etymon.ca import authorities
from etymon.ca.model import RevocationReason
from etymon.directory.model import Role
from etymon.issuer import changeover, follow_ups, holds
from etymon.issuer.changeover import Progress
from etymon.issuer.model import Purpose
from etymon.kernel.errors import Conflict, EtymonError
from etymon.storage.database import Database
from support import derivation_crowd, next_authority
from support.applicants import somebody
from support.issuer_rekey import holder, rekeying_site
from support.issuer_site import IssuerSite


@pytest.fixture
def site(database: Database, tmp_path: Path) -> IssuerSite:
    return rekeying_site(database, tmp_path)


def rekey(
    site: IssuerSite,
    authority: str = "derived",
    comment: str = "Another token.",
    at_most: int = 200,
    after: UUID | None = None,
) -> Progress:
    officer = site.officer.id
    return changeover.rekey_certified(
        site.deps, authority, comment, officer=officer, source="192.0.2.1", at_most=at_most, after=after
    )


def test_what_the_one_before_certified_is_rekeyed_in_batches(site: IssuerSite) -> None:
    phone = holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE, due=False)
    with pytest.raises(EtymonError, match="rekey_not_due"):
        phone.take()
    next_authority.issue_from_a_successor(site)
    calls = [rekey(site, at_most=1) for _ in range(3)]
    assert [(call.credentials, call.remaining) for call in calls] == [(1, 1), (1, 0), (0, 0)]
    with site.database.snapshot() as tx:
        second = authorities.load(tx, "derived-2").certificate
    phone.take().verify_directly_issued_by(second)
    told = site.events("issuer:changeover:rekeyed")
    assert {(event.actor, event.subject) for event in told} == {(f"person:{site.officer.id}", "authority:derived")}
    assert {event.facts["comment"] for event in told} == {"Another token."}
    assert sorted(str(event.facts["remaining"]) for event in told) == ["0", "0", "1"]


def test_a_pass_goes_on_from_the_last_and_counts_at_its_beginning_and_its_end(site: IssuerSite) -> None:
    phone = holder(site, Purpose.AUTHENTICATION, due=False)
    derivation_crowd.add(site.database, phone.link.begun.derivation.id, 4)
    next_authority.issue_from_a_successor(site)
    calls: list[Progress] = []
    after = None
    while not calls or after:
        calls.append(rekey(site, at_most=2, after=after))
        after = calls[-1].following
    assert [(call.credentials, call.remaining) for call in calls] == [(2, 3), (2, None), (1, 0)]
    assert all(credential.rekey_from == site.clock.now() for credential in site.credentials(phone.link.begun).values())
    behind = holder(site, Purpose.AUTHENTICATION, due=False)  # of the successor: nothing is left of the one before
    assert rekey(site, after=UUID(int=2**128 - 1)) == Progress(0, 0)
    assert site.credentials(behind.link.begun)[Purpose.AUTHENTICATION].rekey_from != site.clock.now()


def test_what_is_on_hold_is_rekeyed_once_it_is_restored(site: IssuerSite) -> None:
    phone = holder(site, Purpose.AUTHENTICATION, due=False)
    site.turn(minutes=20)
    follow_ups.sweep(site.deps)
    known = phone.link.begun.derivation.id
    holds.hold(site.deps, known, holds.Order(site.officer.id, "Suspected."))
    next_authority.issue_from_a_successor(site)
    assert [rekey(site) for _ in range(2)] == [Progress(1, 0), Progress(0, 0)]
    site.turn(minutes=1)
    holds.restore(site.deps, known, holds.Order(site.officer.id, "Showed a passport."))
    credential = site.credentials(phone.link.begun)[Purpose.AUTHENTICATION]
    assert credential.rekey_from == site.clock.now()
    with site.database.snapshot() as tx:
        second = authorities.load(tx, "derived-2").certificate
    phone.take().verify_directly_issued_by(second)


def test_what_a_revoked_authority_certified_is_not_restored(site: IssuerSite) -> None:
    phone = holder(site, Purpose.AUTHENTICATION, due=False)
    site.turn(minutes=20)
    follow_ups.sweep(site.deps)
    known = phone.link.begun.derivation.id
    holds.hold(site.deps, known, holds.Order(site.officer.id, "Suspected."))
    before = site.credentials(phone.link.begun)
    with site.database.transaction() as tx:
        authorities.revoke(tx, site.ca.deps, "derived", RevocationReason.CA_COMPROMISE, actor="ceremony")
    with pytest.raises(Conflict, match="authority_revoked"):
        holds.restore(site.deps, known, holds.Order(site.officer.id, "Showed a passport."))
    assert site.credentials(phone.link.begun) == before
    assert not site.events("issuer:derivation:restored")


def test_a_change_that_cannot_be_is_refused(site: IssuerSite) -> None:
    with pytest.raises(EtymonError, match="no_successor"):
        rekey(site)
    next_authority.issue_from_a_successor(site)
    for authority, comment, code in (
        ("derived-3", "Another token.", "authority_not_found"),
        ("derived-root", "Another token.", "root_not_revocable"),
        ("device", "Another token.", "authority_not_of_issuer"),
        ("derived", " ", "reason_missing"),
    ):
        with pytest.raises(EtymonError, match=code):
            rekey(site, authority, comment)
    for role in (None, Role.ADMINISTRATOR, Role.AUDITOR, Role.OPERATOR):
        person = somebody(site, role=role).person
        with pytest.raises(EtymonError, match="officer_required"):
            changeover.rekey_certified(site.deps, "derived", "Mine.", officer=person.id, source="")
    with site.database.transaction() as tx:
        authorities.revoke(tx, site.ca.deps, "derived", RevocationReason.SUPERSEDED, actor="ceremony")
    with pytest.raises(EtymonError, match="authority_revoked"):
        rekey(site)
    assert not site.events("issuer:changeover:rekeyed")
