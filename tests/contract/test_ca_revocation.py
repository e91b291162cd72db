# SPDX-License-Identifier: Apache-2.0
"""Revocation and CRLs: at once for ourselves, numbered lists for everybody, and nothing slips between two lists."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509

from etymon.audit import trail
from etymon.ca import certificates, crl, issuance, revocation, store
from etymon.ca.crl import OFFLINE_LIFETIME, ONLINE_AGE, ONLINE_LIFETIME, RevocationList
from etymon.ca.model import CertificateState, IssuedCertificate, RevocationReason
from etymon.ca.status import DatabaseStatusSource
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, NotFound, Unavailable
from etymon.pki.errors import NotTrusted
from etymon.pki.path_validation import validate
from etymon.pki.status import StatusKind
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.storage import jobs
from etymon.storage.database import Database
from support.ca_site import CASite
from support.clock import TurnedClock


class Halt(Exception):
    """What a use case raises halfway."""


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> CASite:
    return CASite(database, clock, entropy, tmp_path)


def revoke(site: CASite, issued: IssuedCertificate, reason: RevocationReason = RevocationReason.SUPERSEDED) -> None:
    with site.deps.database.transaction() as tx:
        revocation.revoke(tx, site.deps, issued.id, reason, actor="officer:7")


def read(published: RevocationList) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(published.der)


def serials(published: RevocationList) -> set[int]:
    return {entry.serial_number for entry in read(published)}


@pytest.mark.parametrize("reason", list(RevocationReason))
def test_a_revoked_certificate_is_on_the_next_list_with_its_reason(
    reason: RevocationReason, site: CASite, clock: TurnedClock
) -> None:
    issued, other = site.issue(), site.issue()
    revoke(site, issued, reason)
    found = read(crl.refresh(site.deps, "derived"))
    entry = found.get_revoked_certificate_by_serial_number(issued.certificate.serial_number)
    assert entry is not None
    assert entry.revocation_date_utc == clock.now()
    assert found.get_revoked_certificate_by_serial_number(other.certificate.serial_number) is None
    if reason is RevocationReason.UNSPECIFIED:
        assert not list(entry.extensions)
    else:
        code = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        assert code.name == reason.name.lower()


def test_a_list_is_what_rfc_5280_asks_for(site: CASite, clock: TurnedClock) -> None:
    found, authority = read(crl.refresh(site.deps, "derived")), site.authorities["derived"].certificate
    assert found.issuer.public_bytes() == authority.subject.public_bytes()
    assert (found.last_update_utc, found.next_update_utc) == (clock.now(), clock.now() + ONLINE_LIFETIME)
    names = {extension.oid._name: extension.critical for extension in found.extensions}  # noqa: SLF001 - for the message
    assert names == {"authorityKeyIdentifier": False, "cRLNumber": False}


def test_an_offline_authoritys_list_lasts_until_its_key_comes_back(site: CASite, clock: TurnedClock) -> None:
    found = crl.refresh(site.deps, "derived-root")
    assert found.next_update - found.this_update == OFFLINE_LIFETIME
    away = replace(site.deps, signers={})
    clock.advance(timedelta(days=36))
    assert crl.current(away, "derived-root") == found
    with pytest.raises(Unavailable, match="ca_key_unavailable"):
        crl.refresh(away, "derived-root")
    site.seal()
    assert crl.refresh(site.deps, "derived-root").number == found.number + 1


def test_a_new_list_is_made_only_when_it_is_due(site: CASite, clock: TurnedClock) -> None:
    first = crl.refresh(site.deps, "derived")
    clock.advance(ONLINE_AGE - timedelta(seconds=1))
    assert crl.refresh(site.deps, "derived") == first
    clock.advance(timedelta(seconds=1))
    second = crl.refresh(site.deps, "derived")
    assert (second.number, second.this_update) == (first.number + 1, clock.now())
    revoke(site, _fresh(site))
    third = crl.refresh(site.deps, "derived")
    assert third.number == second.number + 1
    assert crl.refresh(site.deps, "derived") == third


def _fresh(site: CASite) -> IssuedCertificate:
    site.seal()
    return site.issue()


def test_a_revocation_enqueues_its_publication_with_the_change(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    before = crl.refresh(site.deps, "derived").number
    revoke(site, issued)
    revoke(site, issued)
    claimed = jobs.claim(site.deps.database, clock, [revocation.PUBLISH_CRL])
    assert [job.payload for job in claimed] == [{"ca": "derived"}]
    for _ in range(2):  # a job may run twice
        assert crl.refresh(site.deps, str(claimed[0].payload["ca"])).number == before + 1


def test_a_revocation_that_rolls_back_never_was(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    with contextlib.suppress(Halt), site.deps.database.transaction() as tx:
        revocation.revoke(tx, site.deps, issued.id, RevocationReason.SUPERSEDED, actor="officer")
        raise Halt
    assert issuance.complete(site.deps, issued.id) == issued
    assert jobs.claim(site.deps.database, clock, [revocation.PUBLISH_CRL]) == []


def test_revoking_again_changes_nothing(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    with site.deps.database.transaction() as tx:
        first = revocation.revoke(tx, site.deps, issued.id, RevocationReason.KEY_COMPROMISE, actor="officer")
    clock.advance(timedelta(seconds=30))
    with site.deps.database.transaction() as tx:
        serial = issued.certificate.serial_number
        again = revocation.revoke_serial(
            tx, site.deps, "derived", serial, RevocationReason.SUPERSEDED, actor="somebody else"
        )
    assert again == first
    with site.deps.database.snapshot() as tx:
        events = [found.event for found in trail.page(tx, subject=str(issued.id))]
    assert [event.actor for event in events if event.name == "ca:certificate:revoked"] == ["officer"]


def test_many_who_revoke_at_once_revoke_once(site: CASite) -> None:
    issued = site.issue()
    gate = threading.Barrier(5)

    def run() -> object:
        gate.wait(timeout=30)
        with site.deps.database.transaction() as tx:
            return revocation.revoke(tx, site.deps, issued.id, RevocationReason.SUPERSEDED, actor="officer")

    with ThreadPoolExecutor(5) as pool:
        found = [future.result(timeout=60) for future in [pool.submit(run) for _ in range(5)]]
    assert len(set(found)) == 1
    with site.deps.database.snapshot() as tx:
        authority = store.find_authority(tx, "derived")
    assert authority is not None
    assert authority.revocations == 1


def test_a_revocation_that_commits_while_a_list_is_made_is_on_the_one_after(site: CASite) -> None:
    """The list is made from what was committed; the count it covers tells that something is missing."""
    early, late = site.issue(), site.issue()
    revoke(site, early)

    signer = site.keys["derived"]

    class SlowSigner:
        public_key, algorithm = signer.public_key, signer.algorithm

        def sign(self, tbs: bytes) -> bytes:
            revoke(site, late)
            return signer.sign(tbs)

    overtaken = replace(site.deps, signers={"derived": SlowSigner()})
    made = crl.publish(overtaken, "derived")
    assert made is not None
    assert serials(made) == {early.certificate.serial_number}
    assert serials(crl.refresh(site.deps, "derived")) == {
        early.certificate.serial_number,
        late.certificate.serial_number,
    }


def test_of_many_publishers_one_makes_the_next_number(site: CASite) -> None:
    before = crl.refresh(site.deps, "derived").number
    gate = threading.Barrier(4)

    def run() -> RevocationList | None:
        gate.wait(timeout=30)
        return crl.publish(site.deps, "derived")

    with ThreadPoolExecutor(4) as pool:
        made = [future.result(timeout=60) for future in [pool.submit(run) for _ in range(4)]]
    numbers = sorted(found.number for found in made if found)
    assert numbers == list(range(before + 1, before + 1 + len(numbers)))
    assert crl.refresh(site.deps, "derived").number == numbers[-1]


def test_a_revoked_certificate_stays_until_one_list_after_its_end(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue(not_after=clock.now() + timedelta(days=2))
    revoke(site, issued)
    serial = issued.certificate.serial_number
    seen = []
    for _ in range(4):
        seen.append(serial in serials(crl.refresh(site.deps, "derived")))
        clock.advance(timedelta(days=1))
    assert seen == [True, True, True, False]  # made on day 0, 1 and, after its end, 2


def test_what_was_planned_is_given_up_instead(site: CASite) -> None:
    with site.deps.database.transaction() as tx:
        planned = issuance.plan(tx, site.deps, site.request())
        revocation.revoke(tx, site.deps, planned.id, RevocationReason.UNSPECIFIED, actor="officer")
    with pytest.raises(Conflict, match="certificate_abandoned"):
        issuance.complete(site.deps, planned.id)
    with site.deps.database.transaction() as tx:
        record = certificates.find(tx, planned.id)
        assert record is not None
        assert record.state is CertificateState.ABANDONED
        revocation.revoke(tx, site.deps, planned.id, RevocationReason.UNSPECIFIED, actor="officer")
        assert certificates.find(tx, planned.id) == record, "once given up it stays so, and is on no list"


def test_what_does_not_exist_is_not_revoked(site: CASite) -> None:
    serial = site.issue().certificate.serial_number
    for ca, wrong in (("derived", 1), ("device", serial), ("nobody", serial)):
        with pytest.raises(NotFound), site.deps.database.transaction() as tx:
            revocation.revoke_serial(tx, site.deps, ca, wrong, RevocationReason.SUPERSEDED, actor="officer")


def test_there_is_no_list_of_an_unknown_authority(site: CASite) -> None:
    with pytest.raises(NotFound):
        crl.refresh(site.deps, "nobody")


def _entry(site: CASite, issued: IssuedCertificate) -> TrustEntry:
    return TrustEntry(
        name="derived",
        kind=TrustKind.DERIVED,
        anchors=(issued.chain[-1],),
        intermediates=issued.chain[:-1],
        policies=frozenset({site.deps.policy_oids["derived-piv-authentication"]}),
        identifier=IdentifierKind.UUID,
    )


def test_our_own_doors_read_the_database_and_close_with_the_revocation(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    entry, source = _entry(site, issued), DatabaseStatusSource(site.deps.database)
    path = validate(issued.certificate, entry, at=clock.now(), status=source)
    assert [evidence.kind for evidence in path.evidence] == [StatusKind.DATABASE] * 2
    revoke(site, issued)
    with pytest.raises(NotTrusted) as caught:
        validate(issued.certificate, entry, at=clock.now(), status=source)
    assert caught.value.code == "revoked_by_database"


def test_a_revoked_authority_takes_its_subscribers_along(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    with site.deps.database.transaction() as tx:
        serial = issued.chain[0].serial_number
        revocation.revoke_serial(
            tx, site.deps, "derived-root", serial, RevocationReason.CA_COMPROMISE, actor="administrator"
        )
    assert serials(crl.refresh(site.deps, "derived-root")) == {issued.chain[0].serial_number}
    with pytest.raises(NotTrusted) as caught:
        validate(
            issued.certificate,
            _entry(site, issued),
            at=clock.now(),
            status=DatabaseStatusSource(site.deps.database),
        )
    assert caught.value.code == "revoked_by_database"


def test_the_database_has_no_status_for_certificates_of_others(site: CASite, clock: TurnedClock) -> None:
    issued, device = site.issue(), site.issue("device-identity")
    source = DatabaseStatusSource(site.deps.database)
    for certificate, issuer in ((issued.chain[-1], issued.chain[-1]), (issued.certificate, device.chain[0])):
        with pytest.raises(NotTrusted) as caught:
            source.status(certificate, issuer, at=clock.now())
        assert caught.value.code == "status_unavailable"


@pytest.mark.parametrize("expected", list(CertificateState))
@pytest.mark.parametrize("new", list(CertificateState))
def test_a_certificate_makes_no_move_that_is_not_written_down(
    expected: CertificateState, new: CertificateState, database: Database
) -> None:
    allowed = {
        (CertificateState.PLANNED, CertificateState.ISSUED),
        (CertificateState.PLANNED, CertificateState.ABANDONED),
        (CertificateState.ISSUED, CertificateState.REVOKED),
        (CertificateState.ISSUED, CertificateState.HELD),
        (CertificateState.HELD, CertificateState.ISSUED),
        (CertificateState.HELD, CertificateState.REVOKED),
    }
    with database.transaction() as tx:
        if (expected, new) in allowed:
            assert not store.move(tx, UUID(int=1), expected, new)  # nothing stands there
        else:
            with pytest.raises(ValueError, match="never moves"):
                store.move(tx, UUID(int=1), expected, new)
