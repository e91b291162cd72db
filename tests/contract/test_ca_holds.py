# SPDX-License-Identifier: Apache-2.0
"""Certificate holds: revoked for everybody while they last, restored or revoked for good, and never for authorities."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as client

from etymon.audit import trail
from etymon.ca import ceremony, certificates, crl, holds, issuance, ocsp, revocation
from etymon.ca.dependencies import MAXIMUM_HOLD
from etymon.ca.model import CertificateState, Hold, IssuedCertificate, RevocationReason
from etymon.ca.status import DatabaseStatusSource
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, Expired, NotFound, NotPermitted
from etymon.pki.errors import NotTrusted
from etymon.storage.database import Database
from support.ca_site import ORGANIZATION, CASite
from support.clock import TurnedClock

WHO = {"requested_by": "person:9", "actor": "officer:7"}
SECOND = timedelta(seconds=1)


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> CASite:
    return CASite(database, clock, entropy, tmp_path, hierarchy=ceremony.deployment(ORGANIZATION)[:2])


def hold(site: CASite, issued: IssuedCertificate | UUID) -> Hold:
    with site.deps.database.transaction() as tx:
        return holds.hold(tx, site.deps, issued if isinstance(issued, UUID) else issued.id, **WHO)


def restore(site: CASite, issued: IssuedCertificate, evidence: str = "card-session:12") -> None:
    with site.deps.database.transaction() as tx:
        holds.restore(tx, site.deps, issued.id, **WHO, identity_evidence=evidence)


def revoke(site: CASite, issued: IssuedCertificate, reason: RevocationReason = RevocationReason.KEY_COMPROMISE) -> None:
    with site.deps.database.transaction() as tx:
        revocation.revoke(tx, site.deps, issued.id, reason, actor="officer:7")


def state(site: CASite, issued: IssuedCertificate) -> CertificateState:
    with site.deps.database.snapshot() as tx:
        found = certificates.find(tx, issued.id)
    assert found is not None
    return found.state


def entry(site: CASite, issued: IssuedCertificate) -> tuple[str, object] | None:
    """Return reason and date of a certificate on the next list."""
    listed = x509.load_der_x509_crl(crl.refresh(site.deps, "derived").der)
    found = listed.get_revoked_certificate_by_serial_number(issued.certificate.serial_number)
    if found is None:
        return None
    reasons = [extension.value for extension in found.extensions if isinstance(extension.value, x509.CRLReason)]
    return reasons[0].reason.name if reasons else "", found.revocation_date_utc


def answered(site: CASite, issued: IssuedCertificate) -> client.OCSPResponse:
    asked = client.OCSPRequestBuilder().add_certificate(issued.certificate, issued.chain[0], hashes.SHA256()).build()
    return client.load_der_ocsp_response(
        ocsp.answer(site.deps, "derived", asked.public_bytes(serialization.Encoding.DER)).der
    )


def trust(site: CASite, issued: IssuedCertificate, clock: TurnedClock) -> None:
    DatabaseStatusSource(site.deps.database).status(issued.certificate, issued.chain[0], at=clock.now())


def names(site: CASite, issued: IssuedCertificate) -> list[tuple[str, str]]:
    with site.deps.database.snapshot() as tx:
        return [(found.event.name, found.event.actor) for found in trail.page(tx, subject=str(issued.id))]


def test_what_is_held_is_revoked_for_everybody_who_asks(site: CASite, clock: TurnedClock) -> None:
    issued, other = site.issue(), site.issue()
    assert answered(site, issued).certificate_status is client.OCSPCertStatus.GOOD
    found = hold(site, issued)
    assert (found.held_at, found.until) == (clock.now(), clock.now() + MAXIMUM_HOLD)
    assert (found.ca, found.serial) == ("derived", issued.certificate.serial_number)
    assert entry(site, issued) == ("certificate_hold", clock.now())
    assert entry(site, other) is None
    answer = answered(site, issued)
    assert (answer.certificate_status, answer.revocation_reason) == (
        client.OCSPCertStatus.REVOKED,
        x509.ReasonFlags.certificate_hold,
    )
    with pytest.raises(NotTrusted) as refused:
        trust(site, issued, clock)
    assert refused.value.code == "held_by_database"
    with pytest.raises(Conflict, match="certificate_held"):
        issuance.complete(site.deps, issued.id)


def test_what_is_restored_is_as_if_it_had_never_been_held(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    hold(site, issued)
    assert entry(site, issued) is not None
    assert answered(site, issued).certificate_status is client.OCSPCertStatus.REVOKED
    clock.advance(timedelta(hours=1))
    restore(site, issued)
    assert entry(site, issued) is None  # of a full list a serial number is simply left out: no removeFromCRL
    assert answered(site, issued).certificate_status is client.OCSPCertStatus.GOOD
    trust(site, issued, clock)
    assert issuance.complete(site.deps, issued.id) == issued


def test_a_hold_that_becomes_a_revocation_counts_from_its_beginning(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    began = hold(site, issued).held_at
    clock.advance(timedelta(hours=5))
    revoke(site, issued)
    assert entry(site, issued) == ("key_compromise", began)
    assert state(site, issued) is CertificateState.REVOKED


def test_a_hold_ends_in_revocation_when_nobody_restores_it(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    found = hold(site, issued)
    clock.advance(MAXIMUM_HOLD - SECOND)
    site.seal()
    assert holds.end_overdue(site.deps) == 0
    assert state(site, issued) is CertificateState.HELD
    clock.advance(SECOND)
    with pytest.raises(Expired, match="hold_over"):  # also before the worker has come by
        restore(site, issued)
    assert (holds.end_overdue(site.deps), holds.end_overdue(site.deps)) == (1, 0)
    assert entry(site, issued) == ("", found.held_at)  # unspecified: nobody said more than that it was held
    with pytest.raises(Conflict, match="certificate_not_held"):
        restore(site, issued)
    assert ("ca:certificate:revoked", "worker") in names(site, issued)


def test_the_longest_hold_is_a_setting_and_never_outlasts_the_certificate(site: CASite, clock: TurnedClock) -> None:
    short = site.issue(not_after=clock.now() + timedelta(days=2))
    assert hold(site, short).until == short.certificate.not_valid_after_utc
    site.deps = replace(site.deps, maximum_hold=timedelta(days=3))
    assert hold(site, site.issue()).until == clock.now() + timedelta(days=3)
    ended = site.issue(not_after=clock.now() + timedelta(days=1))
    clock.advance(timedelta(days=1, seconds=1))
    with pytest.raises(Expired, match="certificate_expired"):
        hold(site, ended)


def test_who_asked_who_acted_and_by_what_evidence_is_written_down(site: CASite) -> None:
    issued = site.issue()
    hold(site, issued)
    restore(site, issued, "card-session:12")
    told = [
        found for found in names(site, issued) if found[0].startswith("ca:certificate:") and "issued" not in found[0]
    ]
    assert set(told) >= {
        ("ca:certificate:hold_requested", "person:9"),
        ("ca:certificate:held", "officer:7"),
        ("ca:certificate:restore_requested", "person:9"),
        ("ca:certificate:restored", "officer:7"),
    }
    with site.deps.database.snapshot() as tx:
        (restored,) = trail.page(tx, name="ca:certificate:restored")
    assert restored.event.facts["identity_evidence"] == "card-session:12"
    with pytest.raises(NotPermitted, match="identity_not_established"):
        restore(site, issued, "")


@pytest.mark.parametrize(
    ("before", "act", "code"),
    [
        ((hold,), hold, "certificate_held"),
        ((revoke,), hold, "certificate_revoked"),
        ((), restore, "certificate_not_held"),
        ((revoke,), restore, "certificate_not_held"),
        ((hold, restore), restore, "certificate_not_held"),
        ((hold, revoke), restore, "certificate_not_held"),
    ],
    ids=["held twice", "revoked", "never held", "restore revoked", "restored twice", "revoked since"],
)
def test_a_move_from_another_state_is_a_conflict_and_changes_nothing(
    before: tuple[Callable[..., object], ...], act: Callable[..., object], code: str, site: CASite
) -> None:
    issued = site.issue()
    for earlier in before:
        earlier(site, issued)
    stood, told = state(site, issued), names(site, issued)
    with pytest.raises(Conflict, match=code):
        act(site, issued)
    assert (state(site, issued), names(site, issued)) == (stood, told)


def test_authorities_and_responders_are_never_held(site: CASite) -> None:
    with site.deps.database.snapshot() as tx:
        authority = certificates.find_issued(tx, site.authorities["derived"].certificate)
    assert authority is not None
    with site.deps.database.snapshot() as tx:
        responders = [
            found.event.subject
            for found in trail.page(tx, name="ca:certificate:issued", limit=50)
            if found.event.facts["profile"] == "ocsp-responder"
        ]
    for certificate in (authority.id, *map(UUID, responders)):
        with pytest.raises(NotPermitted, match="hold_not_permitted"):
            hold(site, certificate)
    assert responders


def test_what_was_never_issued_is_not_held(site: CASite) -> None:
    with site.deps.database.transaction() as tx:
        planned = issuance.plan(tx, site.deps, site.request())
    with pytest.raises(Conflict, match="certificate_not_issued"):
        hold(site, planned.id)
    with pytest.raises(NotFound):
        hold(site, uuid4())


def test_of_many_who_hold_and_revoke_at_once_each_move_is_made_once(site: CASite) -> None:
    issued = site.issue()
    gate = threading.Barrier(6)

    def run(act: Callable[..., object]) -> str:
        gate.wait(timeout=30)
        try:
            act(site, issued)
        except EtymonError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(run, act) for act in (hold, hold, hold, hold, revoke, revoke)]
        outcomes = [future.result(timeout=60) for future in done]
    assert outcomes[:4].count("done") <= 1
    assert outcomes[4:] == ["done", "done"]
    assert state(site, issued) is CertificateState.REVOKED  # whoever was first
    with site.deps.database.snapshot() as tx:
        told = [found.event.name for found in trail.page(tx, subject=str(issued.id))]
    assert told.count("ca:certificate:revoked") == 1
    assert told.count("ca:certificate:held") == outcomes[:4].count("done")
