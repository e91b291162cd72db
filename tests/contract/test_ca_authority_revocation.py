# SPDX-License-Identifier: Apache-2.0
"""An authority that its root revoked: on the root's list, issues nothing any more, still tells of what it issued."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from etymon.audit import trail
from etymon.ca import authorities, ceremony, certificates, crl, issuance, responder, revocation
from etymon.ca.ceremony import deployment
from etymon.ca.model import CertificateState, PlannedCertificate, RevocationReason
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, NotFound, NotPermitted, Unavailable
from etymon.pki.certificate import to_der
from etymon.storage.database import Database
from etymon.wire import cms
from support.ca_site import ORGANIZATION, CASite
from support.clock import TurnedClock

CEREMONY = "ceremony:6f1d6f20"


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> CASite:
    wanted = [new for new in deployment(ORGANIZATION) if new.name.startswith("derived")]
    return CASite(database, clock, entropy, tmp_path, hierarchy=wanted)


def revoke(site: CASite, name: str = "derived") -> None:
    with site.deps.database.transaction() as tx:
        authorities.revoke(tx, site.deps, name, RevocationReason.CA_COMPROMISE, actor=CEREMONY)


def planned(site: CASite) -> PlannedCertificate:
    with site.deps.database.transaction() as tx:
        return issuance.plan(tx, site.deps, site.request())


def test_the_roots_next_list_has_it_with_the_reason(site: CASite) -> None:
    with site.deps.database.snapshot() as tx:
        before = authorities.load(tx, "derived")
        assert certificates.issued_authorities(tx, "derived-root") == cms.encode_certificates(
            [to_der(before.certificate)]
        )
    assert (before.revoked_at, before.reason) == (None, None)
    revoke(site)
    made = x509.load_der_x509_crl(crl.refresh(site.deps, "derived-root").der)
    entry = made.get_revoked_certificate_by_serial_number(before.certificate.serial_number)
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.ca_compromise
    with site.deps.database.snapshot() as tx:
        after = authorities.load(tx, "derived")
        assert authorities.revoked(tx) == {"derived"}
        assert certificates.issued_authorities(tx, "derived-root") == cms.encode_certificates([])
        (told,) = trail.page(tx, name="ca:authority:revoked", subject="derived")
    assert (after.revoked_at, after.reason) == (site.deps.clock.now(), RevocationReason.CA_COMPROMISE)
    assert (told.event.actor, told.event.facts["reason"]) == (CEREMONY, "ca_compromise")


def test_it_issues_nothing_and_log_and_trail_say_so(site: CASite) -> None:
    waiting, request = planned(site), site.request()
    revoke(site)
    with capture_logs() as logs, pytest.raises(Unavailable, match="authority_revoked"):
        planned(site)
    assert [(line["event"], line["authority"]) for line in logs] == [("authority_revoked", "derived")]
    with pytest.raises(Unavailable, match="authority_revoked"):
        issuance.issue(site.deps, request)
    with site.deps.database.snapshot() as tx:
        (refused,) = trail.page(tx, name="ca:certificate:refused", subject=request.request_key)
    assert refused.event.facts["code"] == "authority_revoked"
    for _ in range(2):
        with pytest.raises(Conflict, match="certificate_abandoned"):
            issuance.complete(site.deps, waiting.id)
    with site.deps.database.snapshot() as tx:
        assert issuance.find_record(tx, waiting.id).state is CertificateState.ABANDONED


def test_its_successor_issues(site: CASite) -> None:
    revoke(site)
    (like,) = [new for new in deployment(ORGANIZATION) if new.name == "derived"]
    second = [replace(like, name="derived-2", subject=replace(like.subject, common_name="Derived CA 2"))]
    ceremony.create(site.deps, site.keys, second, actor=CEREMONY)
    with site.deps.database.snapshot() as tx:
        assert authorities.current(tx, "derived").name == "derived-2"
    issued = site.issue(ca="derived-2")
    issued.certificate.verify_directly_issued_by(issued.chain[0])


def test_list_and_responder_go_on(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    revoke(site)
    clock.advance(timedelta(days=100))
    site.seal()
    assert responder.renew(site.deps, site.keys, "derived", actor="worker")
    with site.deps.database.transaction() as tx:
        revocation.revoke(tx, site.deps, issued.id, RevocationReason.SUPERSEDED, actor="officer")
    listed = x509.load_der_x509_crl(crl.refresh(site.deps, "derived").der)
    assert listed.get_revoked_certificate_by_serial_number(issued.certificate.serial_number) is not None


def test_a_root_another_and_a_second_time_are_refused(site: CASite) -> None:
    with pytest.raises(NotPermitted, match="root_not_revocable"):
        revoke(site, "derived-root")
    with pytest.raises(NotFound, match="authority_not_found"):
        revoke(site, "device")
    revoke(site)
    with pytest.raises(Conflict, match="authority_revoked"):
        revoke(site)
    with site.deps.database.snapshot() as tx:
        assert len(trail.page(tx, name="ca:authority:revoked")) == 1
