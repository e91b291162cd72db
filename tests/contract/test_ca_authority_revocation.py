# SPDX-License-Identifier: Apache-2.0
"""An authority that its root revoked: on the root's list, issues nothing any more, still tells of what it issued."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from etymon.audit import trail
from etymon.ca import authorities, ceremony, certificates, crl, holds, issuance, responder, revocation
from etymon.ca.ceremony import deployment
from etymon.ca.model import CertificateState, IssuedCertificate, PlannedCertificate, RevocationReason
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


@pytest.mark.parametrize("name", ["derived", "derived-middle"])
def test_what_is_held_is_not_restored_below_a_revoked_authority(site: CASite, name: str) -> None:
    issued = issue_below_a_middle(site) if name == "derived-middle" else site.issue()
    who = {"requested_by": "person:9", "actor": "officer:7"}
    with site.deps.database.transaction() as tx:
        holds.hold(tx, site.deps, issued.id, **who)
    revoke(site, name)
    with pytest.raises(Conflict, match="authority_revoked"), site.deps.database.transaction() as tx:
        holds.restore(tx, site.deps, issued.id, **who, identity_evidence="card-session:12")
    with site.deps.database.snapshot() as tx:
        assert issuance.find_record(tx, issued.id).state is CertificateState.HELD
        assert not trail.page(tx, name="ca:certificate:restore_requested", subject=str(issued.id))


def test_what_is_worthless_is_known_by_its_authority_and_those_above(site: CASite) -> None:
    below, beside = issue_below_a_middle(site).id, site.issue().id
    waiting = planned(site).id
    every = [below, beside, waiting]

    def revoked() -> dict[UUID, str]:
        with site.deps.database.snapshot() as tx:
            found = authorities.revoked_of(tx, every)
        return {certificate: authority.name for certificate, authority in found.items()}

    assert revoked() == {}
    revoke(site, "derived-middle")
    assert revoked() == {below: "derived-middle"}
    with site.deps.database.snapshot() as tx:
        assert set(authorities.not_relied_on(tx)) == {"derived-middle", "below"}
        assert authorities.revoked_of(tx, []) == {}
    revoke(site)
    assert revoked() == {below: "derived-middle", beside: "derived", waiting: "derived"}


def issue_below_a_middle(site: CASite) -> IssuedCertificate:
    """Return a certificate of an authority that stands two below its root."""
    root, like = [new for new in deployment(ORGANIZATION) if new.name.startswith("derived")]
    made = (
        replace(
            like,
            name="derived-middle",
            profile="intermediate-ca",
            profiles=frozenset({"issuing-ca"}),
            subject=replace(root.subject, common_name="Middle CA"),
        ),
        replace(like, name="below", parent="derived-middle", subject=replace(like.subject, common_name="Below CA")),
    )
    ceremony.create(site.deps, site.keys, made, actor=CEREMONY)
    return site.issue(ca="below")


@pytest.mark.parametrize("profile", ["derived-piv-authentication", "ocsp-responder"])
def test_what_is_being_signed_while_it_is_revoked_is_given_up(site: CASite, profile: str) -> None:
    signer = site.keys["derived"]

    class OvertakenSigner:
        public_key, algorithm = signer.public_key, signer.algorithm

        def sign(self, tbs: bytes) -> bytes:
            revoke(site)
            return signer.sign(tbs)

    with site.deps.database.transaction() as tx:
        waiting = issuance.plan(tx, site.deps, site.request(profile, ca="derived"))
    overtaken = replace(site.deps, signers={"derived": OvertakenSigner()})
    if profile == "ocsp-responder":  # whoever asks is still told
        assert issuance.complete(overtaken, waiting.id).certificate.serial_number
        return
    with pytest.raises(Conflict, match="certificate_abandoned"):
        issuance.complete(overtaken, waiting.id)
    with site.deps.database.snapshot() as tx:
        left = issuance.find_record(tx, waiting.id)
        told = sorted(found.event.name for found in trail.page(tx, subject=str(waiting.id)))
    assert told == ["ca:certificate:abandoned", "ca:certificate:planned"]
    assert (left.state, left.der) == (CertificateState.ABANDONED, None)
    with pytest.raises(Conflict, match="certificate_abandoned"):
        issuance.complete(site.deps, waiting.id)


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
