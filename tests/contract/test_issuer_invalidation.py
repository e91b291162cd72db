# SPDX-License-Identifier: Apache-2.0
"""Credentials end: by their person, by a notice's link, with the account, or because the card was stolen."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from etymon.ca.certificates import find_issued
from etymon.ca.model import RevocationReason
from etymon.ca.revocation import PUBLISH_CRL
from etymon.directory import bindings
from etymon.issuer import invalidation
from etymon.issuer.model import CredentialState, DerivationState, EndReason, Purpose
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import EtymonError, NotFound, Unavailable
from etymon.pki.certificate import card_uuid
from etymon.storage import jobs
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.issuer_site import PC, IssuerSite, Link


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    return IssuerSite(database, clock, entropy, tmp_path)


@pytest.fixture
def link(site: IssuerSite) -> Link:
    """A phone with an authentication and an encryption certificate."""
    link = site.linked()
    link.enroll(Purpose.AUTHENTICATION)
    link.enroll(Purpose.ENCRYPTION)
    site.mail()
    return link


def test_all_certificates_of_a_device_end_at_once(site: IssuerSite, link: Link) -> None:
    certificates = [link.enroll(purpose).certificate for purpose in (Purpose.AUTHENTICATION, Purpose.ENCRYPTION)]
    site.mail()
    site.end_own(link.begun, EndReason.CESSATION_OF_OPERATION)
    for certificate in certificates:
        with site.database.snapshot() as tx:
            found = find_issued(tx, certificate)
        assert found is not None
        assert found.reason is RevocationReason.CESSATION_OF_OPERATION
    kept = site.derivation(link.begun)
    assert (kept.state, kept.end_reason) == (DerivationState.ENDED, EndReason.CESSATION_OF_OPERATION)
    assert {one.state for one in site.credentials(link.begun).values()} == {CredentialState.ENDED}
    assert jobs.claim(site.database, site.clock, [PUBLISH_CRL])
    (notice,) = site.mail()
    assert notice["subject"] == "Credentials on your phone were ended"
    assert "because they are no longer needed" in notice["text"]
    assert "/undo/" not in notice["text"]


def test_ending_twice_changes_and_tells_nothing_more(site: IssuerSite, link: Link) -> None:
    site.end_own(link.begun)
    site.mail()
    site.end_own(link.begun, EndReason.CESSATION_OF_OPERATION)
    assert site.derivation(link.begun).end_reason is EndReason.KEY_COMPROMISE
    assert site.mail() == []
    assert len(site.events("issuer:credential:ended")) == 2


def test_an_ended_authentication_certificate_stands_for_nobody(site: IssuerSite, link: Link) -> None:
    uuid = card_uuid(site.credential_certificate(link.begun, Purpose.AUTHENTICATION))
    with site.database.snapshot() as tx:
        assert bindings.person_for(tx, "derived", str(uuid)) is not None
    site.end_own(link.begun)
    with site.database.snapshot() as tx:
        assert bindings.person_for(tx, "derived", str(uuid)) is None


def test_nobody_ends_what_is_another_s(site: IssuerSite, link: Link) -> None:
    with pytest.raises(NotFound, match="derivation_unknown"):
        invalidation.end_own(site.deps, site.officer.id, link.begun.derivation.id, EndReason.KEY_COMPROMISE, source=PC)
    with pytest.raises(NotFound, match="derivation_unknown"):
        invalidation.undo(site.deps, link.begun.derivation.id, source=PC)


def test_an_undo_ends_a_link_that_has_fetched_nothing(site: IssuerSite) -> None:
    link = site.linked()
    invalidation.undo(site.deps, site.derivation(link.begun).undo, source=PC)
    assert site.derivation(link.begun).state is DerivationState.ENDED
    with pytest.raises(EtymonError, match="authorization_unknown"):
        link.enroll()


def test_everything_ends_with_the_account(site: IssuerSite, link: Link) -> None:
    certificate = link.enroll().certificate
    site.save_rule(most_derivations=2)
    waiting = site.begin(site.present_card())
    site.mail()
    site.end_account(site.alice)
    site.account_ended(site.alice)
    site.account_ended(site.alice)  # a job runs at least once
    assert site.is_revoked(certificate)
    for begun in (link.begun, waiting):
        kept = site.derivation(begun)
        assert (kept.state, kept.end_reason) == (DerivationState.ENDED, EndReason.AFFILIATION_CHANGED)
    (notice,) = [mail for mail in site.mail() if "phone" in mail["subject"]]
    assert "because your account has ended" in notice["text"]


def test_another_person_keeps_everything(site: IssuerSite, link: Link) -> None:
    site.account_ended(site.officer)
    assert site.derivation(link.begun).state is DerivationState.ISSUING


def test_an_issuance_beside_the_end_leaves_no_live_certificate(site: IssuerSite) -> None:
    """Whoever is first: the certificate is never given, or it is revoked."""
    link = site.linked()
    link.phone.body(Purpose.AUTHENTICATION)
    together = threading.Barrier(2)

    def enroll() -> object:
        together.wait()
        try:
            return link.enroll().certificate
        except EtymonError as refusal:
            return refusal

    def end() -> object:
        together.wait()
        site.end_own(link.begun)
        return None

    with ThreadPoolExecutor(2) as threads:
        given, _ = (one.result() for one in (threads.submit(enroll), threads.submit(end)))
    if not isinstance(given, EtymonError):
        assert site.is_revoked(given)  # type: ignore[arg-type]  # a certificate, then
    assert {one.state for one in site.credentials(link.begun).values()} <= {CredentialState.ENDED}


# ---- seven days later


def test_a_card_that_is_still_good_after_a_week_changes_nothing(site: IssuerSite, link: Link) -> None:
    site.turn(days=6, hours=23)
    site.work()
    assert site.events("issuer:card:checked_again") == []
    site.turn(hours=1)
    assert site.work() == 1
    (checked,) = site.events("issuer:card:checked_again")
    assert checked.subject == str(link.begun.derivation.id)
    assert site.credentials(link.begun)[Purpose.AUTHENTICATION].state is CredentialState.ACTIVE


def test_a_card_found_revoked_within_a_week_ends_what_it_made(site: IssuerSite, link: Link) -> None:
    certificate = link.enroll().certificate
    site.mail()
    site.card_status.revoked.add(site.card.certificate.serial_number)
    site.turn(days=7)
    site.work()
    assert site.is_revoked(certificate)
    assert site.derivation(link.begun).end_reason is EndReason.KEY_COMPROMISE
    (found,) = site.events("issuer:card:found_revoked")
    assert found.facts["code"] == "revoked_by_crl"
    told = [mail["to"] for mail in site.mail()]
    assert sorted(told) == [["alice@agency.example"], ["olivia@agency.example"]]  # and the Officer, of an incident
    assert len(site.events("issuer:incident:opened")) == 1


def test_a_card_whose_status_nobody_tells_is_looked_at_again(site: IssuerSite, link: Link) -> None:
    site.card_status.answers = False
    site.turn(days=7)
    with pytest.raises(Unavailable, match="status_unavailable"):
        site.work()
    site.card_status.answers = True
    site.turn(minutes=3)
    assert site.work() == 1
    assert len(site.events("issuer:card:checked_again")) == 1
    assert site.derivation(link.begun).state is DerivationState.ISSUING


def test_what_has_ended_is_not_looked_at(site: IssuerSite, link: Link) -> None:
    site.end_own(link.begun)
    site.card_status.answers = False
    site.turn(days=7)
    site.work()
    assert site.events("issuer:card:checked_again") == []
