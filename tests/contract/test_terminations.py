# SPDX-License-Identifier: Apache-2.0
"""An account that ended: nothing is issued after it, and its end is over when everybody can see it (F-4, 18 hours)."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from cryptography import x509

from etymon.audit import trail
from etymon.ca import crl, issuance, ocsp
from etymon.ca.tables import ocsp_answers
from etymon.directory import people, terminations
from etymon.directory.model import Termination, TerminationReason
from etymon.issuer import completion, invalidation
from etymon.issuer import terminations as watching
from etymon.issuer.model import EndReason, Purpose
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import EtymonError, NotPermitted
from etymon.kernel.secret import Secret
from etymon.pki import revocation_data
from etymon.pki.keys import KeyDirectory
from etymon.storage.database import Database
from support.applicants import unconfirmed_officer
from support.clock import TurnedClock
from support.issuer_site import ADMINISTRATOR, IssuerSite


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    return IssuerSite(database, clock, entropy, tmp_path)


def termination(site: IssuerSite) -> Termination:
    with site.database.snapshot() as tx:
        found = terminations.find(tx, site.alice.id)
    assert found is not None
    return found


def terminate(site: IssuerSite, reason: TerminationReason = TerminationReason.SEPARATION) -> None:
    with site.database.transaction() as tx:
        people.end_account(tx, site.deps, site.alice.id, reason=reason, actor=ADMINISTRATOR)


def publish(site: IssuerSite) -> None:
    crl.refresh(site.ca.deps, "derived")


def look(site: IssuerSite) -> bool:
    site.turn(minutes=1)
    site.work()
    return termination(site).closed_at is not None


def test_an_end_is_over_once_the_published_list_says_so(site: IssuerSite) -> None:
    link = site.linked()
    link.enroll()
    link.enroll(Purpose.SIGNATURE)
    publish(site)
    terminate(site)
    ended = termination(site)
    assert ended.due_at - ended.reported_at == timedelta(hours=18)
    assert not watching.close(site.deps, site.alice.id)  # nothing was done yet
    invalidation.account_ended(site.deps, site.alice.id, ended.reason)
    assert not look(site)  # revoked here, and not yet for whoever reads the list
    publish(site)
    assert look(site)
    (closed,) = site.events("directory:termination:closed")
    assert closed.facts == {"certificates": 2}
    assert site.work() == 0  # and nobody looks any more


def test_an_end_without_certificates_is_over_at_once(site: IssuerSite) -> None:
    terminate(site)
    site.account_ended(site.alice)
    assert look(site)


def test_a_list_that_nobody_would_believe_closes_nothing(site: IssuerSite) -> None:
    site.linked().enroll()
    terminate(site)
    site.account_ended(site.alice)
    publish(site)
    site.clock.advance(crl.ONLINE_LIFETIME)
    assert not watching.close(site.deps, site.alice.id)


def test_a_responder_that_does_not_say_so_leaves_it_open(site: IssuerSite, tmp_path: Path) -> None:
    site.linked().enroll()
    terminate(site)
    site.account_ended(site.alice)
    publish(site)
    no_keys = KeyDirectory(tmp_path / "elsewhere", Secret(b"correct horse battery staple"))
    silent = dataclasses.replace(site.deps, ca=dataclasses.replace(site.ca.deps, signers=no_keys))
    assert not watching.close(silent, site.alice.id)
    assert look(site)


@dataclasses.dataclass
class KeptAnswers:
    """A responder that gives kept answers to everybody, and what it has kept."""

    site: IssuerSite

    def __post_init__(self) -> None:
        without_nonces = dataclasses.replace(self.site.ca.deps, ocsp_nonces=False)
        self.site.deps = dataclasses.replace(self.site.deps, ca=without_nonces)

    def ask(self, certificate: x509.Certificate) -> None:
        with self.site.database.snapshot() as tx:
            issuer = issuance.find_authority(tx, "derived").certificate
        ocsp.answer(self.site.deps.ca, "derived", revocation_data.ocsp_request(certificate, issuer, bytes(16)))

    def take(self) -> list[dict[str, Any]]:
        with self.site.database.transaction() as tx:
            rows = [row._asdict() for row in tx.execute(sa.select(ocsp_answers))]
            tx.execute(ocsp_answers.delete())
        return rows

    def put(self, rows: list[dict[str, Any]]) -> None:
        self.take()
        with self.site.database.transaction() as tx:
            tx.execute(ocsp_answers.insert(), rows)


def test_a_responder_that_still_says_good_leaves_it_open(site: IssuerSite) -> None:
    kept, certificate = KeptAnswers(site), site.linked().enroll().certificate
    kept.ask(certificate)
    good = kept.take()
    terminate(site)
    site.account_ended(site.alice)
    publish(site)
    kept.put(good)
    assert not watching.close(site.deps, site.alice.id)
    kept.take()
    assert look(site)


def test_an_answer_that_nobody_would_believe_closes_nothing(site: IssuerSite) -> None:
    kept, certificate = KeptAnswers(site), site.linked().enroll().certificate
    terminate(site)
    site.account_ended(site.alice)
    publish(site)
    kept.ask(certificate)
    (revoked,) = kept.take()
    forged = revoked["der"][:-1] + bytes([revoked["der"][-1] ^ 1])  # the signature of the responder's certificate
    kept.put([{**revoked, "der": forged}])
    assert not watching.close(site.deps, site.alice.id)
    kept.put([revoked])
    assert look(site)


def test_officers_are_told_daily_of_an_end_that_takes_twelve_hours(site: IssuerSite) -> None:
    site.linked().enroll()
    unconfirmed_officer(site)  # whom nobody tells
    terminate(site)
    site.turn(hours=12, seconds=-1)
    assert watching.alarm(site.deps) == 0
    site.turn(seconds=1)
    with structlog.testing.capture_logs() as logs, site.database.snapshot() as tx:
        assert watching.count(tx, site.deps) == (1, 1)
    with structlog.testing.capture_logs() as logs:
        assert [watching.alarm(site.deps), watching.alarm(site.deps)] == [1, 0]
    assert [(line["event"], line["log_level"]) for line in logs] == [("termination_late", "error")]
    (told,) = [mail for mail in site.mail() if "takes too long" in mail["subject"]]
    assert told["to"] == ["olivia@agency.example"]
    assert len(site.events("directory:termination:late")) == 1
    site.turn(days=1, seconds=-1)
    assert watching.alarm(site.deps) == 0
    site.turn(seconds=1)
    assert [watching.alarm(site.deps), watching.alarm(site.deps)] == [1, 0]
    (again,) = [mail for mail in site.mail() if "takes too long" in mail["subject"]]
    assert str(site.alice.id) in again["text"]
    site.account_ended(site.alice)
    publish(site)
    assert look(site)
    site.turn(days=2)
    assert watching.alarm(site.deps) == 0
    with site.database.snapshot() as tx:
        assert watching.count(tx, site.deps) == (0, 0)


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        (TerminationReason.SEPARATION, EndReason.AFFILIATION_CHANGED),
        (TerminationReason.FRAUD, EndReason.PRIVILEGE_WITHDRAWN),
    ],
)
def test_credentials_end_for_the_reason_of_the_account(
    site: IssuerSite, reason: TerminationReason, end: EndReason
) -> None:
    link = site.linked()
    link.enroll()
    terminate(site, reason)
    invalidation.account_ended(site.deps, site.alice.id, reason)
    assert site.credentials(link.begun)[Purpose.AUTHENTICATION].end_reason is end


@pytest.mark.parametrize("purpose", [Purpose.AUTHENTICATION, Purpose.SIGNATURE])
def test_nothing_is_issued_after_the_end_of_an_account(site: IssuerSite, purpose: Purpose) -> None:
    """Beside each other: whatever was issued was issued before, and is revoked."""
    link = site.linked()
    link.phone.body(purpose)
    site.clock.tick()
    together = threading.Barrier(2)

    def enroll() -> x509.Certificate | EtymonError:
        together.wait()
        try:
            return link.enroll(purpose).certificate
        except EtymonError as refusal:
            return refusal

    def end() -> None:
        together.wait()
        terminate(site)

    with ThreadPoolExecutor(2) as threads:
        given, ended = threads.submit(enroll), threads.submit(end)
        ended.result()
        answer = given.result()
    with site.database.snapshot() as tx:
        events = [one.event.name for one in reversed(list(trail.page(tx, limit=200)))]
    if "issuer:credential:issued" in events:
        assert events.index("issuer:credential:issued") < events.index("directory:person:ended")
    site.account_ended(site.alice)
    if isinstance(answer, x509.Certificate):
        assert site.is_revoked(answer)
    publish(site)
    assert look(site)


def test_what_was_planned_before_the_end_is_not_issued_after_it(site: IssuerSite) -> None:
    """The worker, too, finishes nothing for an account that has ended."""
    link = site.linked()
    link.enroll()
    (credential,) = site.credentials(link.begun).values()
    terminate(site)
    with pytest.raises(NotPermitted, match="credential_ended"):
        completion.finish(site.deps, credential.id)
    with pytest.raises(EtymonError):
        link.enroll(Purpose.SIGNATURE)
    assert len(site.credentials(link.begun)) == 1
