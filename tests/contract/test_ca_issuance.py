# SPDX-License-Identifier: Apache-2.0
"""Issuance in two transactions: one certificate for one authorization, whoever completes it and however often."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.audit import trail
from etymon.ca import certificates, issuance, revocation, store
from etymon.ca.issuance import ABANDONED_AFTER, LEFT_BEHIND_AFTER
from etymon.ca.model import (
    BACKDATE,
    AlternativeNames,
    CertificateState,
    IssuedCertificate,
    PlannedCertificate,
    RevocationReason,
)
from etymon.ca.profiles import profile_named
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, NotFound, Unavailable
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import card_uuid, mail, policies, spki_sha256, to_der, upn
from etymon.pki.csr import HeldKey
from etymon.storage.database import Database
from support.ca_site import ORGANIZATION, CASite, every_kind, fresh_key, proven_key, rsa_key, subscriber_profiles
from support.clock import TurnedClock

Result = TypeVar("Result")


class Halt(Exception):
    """What a use case raises halfway."""


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> CASite:
    return CASite(database, clock, entropy, tmp_path)


def plan_code(site: CASite, **changes: object) -> str:
    """Return the code with which a request is refused; nothing may be left of it."""
    request = site.request(**changes)  # type: ignore[arg-type]  # the tests name fields of the request
    with pytest.raises(EtymonError) as caught, site.deps.database.transaction() as tx:
        issuance.plan(tx, site.deps, request)
    with site.deps.database.snapshot() as tx:
        assert store.find_by_request_key(tx, request.request_key) is None
    return caught.value.code


def together(count: int, act: Callable[[], Result]) -> list[Result]:
    """Run an act in several threads that start at once."""
    gate = threading.Barrier(count)

    def run() -> Result:
        gate.wait(timeout=30)
        return act()

    with ThreadPoolExecutor(count) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run) for _ in range(count)]]


def test_every_profile_is_issued_with_the_names_of_the_records(
    database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path
) -> None:
    site = CASite(database, clock, entropy, tmp_path, hierarchy=every_kind())
    for profile in subscriber_profiles():
        request = site.request(profile)
        with site.deps.database.transaction() as tx:
            planned = issuance.plan(tx, site.deps, request)
        issued = issuance.complete(site.deps, planned.id)
        certificate, wanted = issued.certificate, profile_named(profile)
        assert policies(certificate) == {site.deps.policy_oids[wanted.policy or ""]}
        assert spki_sha256(certificate) == request.key.spki_sha256
        assert upn(certificate) == request.alternative.upn
        assert mail(certificate) == ((request.alternative.mail,) if request.alternative.mail else ())
        assert "requester's own idea" not in certificate.subject.rfc4514_string()
        certificate.verify_directly_issued_by(issued.chain[0])
        assert issued.chain[-1].issuer == issued.chain[-1].subject


def test_a_derived_credential_has_a_uuid_of_its_own_every_time(site: CASite) -> None:
    uuids = {card_uuid(site.issue().certificate) for _ in range(3)}
    assert len(uuids) == 3
    assert {found.version for found in uuids if found} == {4}


def test_validity_begins_a_little_earlier_and_ends_as_asked(site: CASite, clock: TurnedClock) -> None:
    longest = site.issue().certificate
    assert longest.not_valid_before_utc == clock.now() - BACKDATE
    assert longest.not_valid_after_utc - longest.not_valid_before_utc == timedelta(days=3 * 365, seconds=-1)
    ends = clock.now() + timedelta(days=30)
    assert site.issue(not_after=ends).certificate.not_valid_after_utc == ends


def test_a_certificate_never_outlives_its_authority(site: CASite, clock: TurnedClock) -> None:
    clock.advance(timedelta(days=9 * 365))
    site.seal()
    issued = site.issue()
    assert issued.certificate.not_valid_after_utc == issued.chain[0].not_valid_after_utc


def test_a_small_rsa_key_is_not_certified_beyond_2030(database: Database, entropy: Entropy, tmp_path: Path) -> None:
    clock = TurnedClock(datetime(2029, 6, 1, tzinfo=UTC))
    site = CASite(database, clock, entropy, tmp_path)
    issued = site.issue(key=proven_key(rsa_key(KeyType.RSA2048)))
    assert issued.certificate.not_valid_after_utc == datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)
    long_ago = replace(site.request().key, public_key=rsa_key(KeyType.RSA2048).public_key())
    for moment in (datetime(2030, 12, 2, 12, tzinfo=UTC), datetime(2031, 1, 20, tzinfo=UTC)):
        clock.advance(moment - clock.now())  # a month before the end such keys are refused, not certified for days
        site.seal()
        assert plan_code(site, key=long_ago) == "weak_key"
    assert plan_code(site, not_after=clock.now() + timedelta(days=9999)) == "lifetime_too_long"


def test_what_profile_and_authority_do_not_allow_is_refused(site: CASite) -> None:
    common = replace(ORGANIZATION, common_name="Al")
    cases: list[tuple[str, dict[str, object]]] = [
        ("authority_not_found", {"ca": "nobody"}),
        ("profile_not_found", {"profile": "derived-anything"}),
        ("profile_not_allowed", {"ca": "device"}),
        ("profile_not_allowed", {"ca": "derived-root"}),
        ("profile_not_allowed", {"profile": "issuing-ca"}),
        ("name_missing", {"subject": ORGANIZATION}),
        ("name_not_allowed", {"alternative": AlternativeNames(dns=("phone.example",))}),
        ("name_malformed", {"subject": replace(common, common_name="x" * 65)}),
        ("name_malformed", {"subject": replace(common, country="USA")}),
        ("name_malformed", {"alternative": AlternativeNames(mail="Ärger@agency.example")}),
        ("weak_key", {"key": HeldKey(ec.generate_private_key(ec.SECP521R1()).public_key()), "ca": "tls"}),
    ]
    for code, changes in cases:
        request = site.request("tls-server" if changes.get("ca") == "tls" else "derived-piv-authentication")
        with pytest.raises(EtymonError) as caught, site.deps.database.transaction() as tx:
            issuance.plan(tx, site.deps, replace(request, **changes))  # type: ignore[arg-type]  # fields of the request
        assert (code, changes) == (caught.value.code, changes)


def test_whoever_asks_may_not_choose_the_uuid_of_a_derived_credential(site: CASite) -> None:
    names = AlternativeNames(uuid=card_uuid(site.issue("device-identity").certificate))
    assert plan_code(site, alternative=names) == "name_not_allowed"


def test_a_lifetime_beyond_the_profile_or_already_over_is_refused(site: CASite, clock: TurnedClock) -> None:
    assert plan_code(site, not_after=clock.now() + timedelta(days=1100)) == "lifetime_too_long"
    assert plan_code(site, not_after=clock.now()) == "lifetime_over"


def test_a_key_without_proof_of_possession_is_not_certified_for_signing(site: CASite) -> None:
    assert plan_code(site, key=fresh_key(proven=False)) == "proof_of_possession_missing"


def test_a_key_type_outside_the_profile_is_refused(site: CASite) -> None:
    assert plan_code(site, key=proven_key(rsa_key(KeyType.RSA4096))) == "weak_key"


def test_a_policy_that_was_not_configured_stops_issuance(site: CASite) -> None:
    site.deps = replace(site.deps, policy_oids={})
    assert plan_code(site) == "policy_not_configured"


def test_a_policy_outside_the_authoritys_own_fails_the_lints(site: CASite) -> None:
    foreign = {**site.deps.policy_oids, "derived-piv-authentication": "2.16.840.1.101.3.2.1.3.40"}
    site.deps = replace(site.deps, policy_oids=foreign)
    assert plan_code(site) == "lint_failed"


def test_a_status_address_on_the_loopback_needs_its_named_exception(site: CASite) -> None:
    site.deps = replace(site.deps, lint_exceptions=frozenset())
    assert plan_code(site) == "lint_failed"
    site.deps = replace(site.deps, status_url="https://status.agency.example")
    assert plan_code(site) == "lint_failed"
    site.deps = replace(site.deps, status_url="http://status.agency.example")
    site.issue()


def test_the_same_request_is_the_same_certificate(site: CASite) -> None:
    request = site.request()
    issued = []
    for _ in range(2):
        with site.deps.database.transaction() as tx:
            planned = issuance.plan(tx, site.deps, request)
        issued += [issuance.complete(site.deps, planned.id) for _ in range(2)]
    assert {to_der(found.certificate) for found in issued} == {to_der(issued[0].certificate)}


def test_one_authorization_is_not_good_for_another_key_or_profile(site: CASite) -> None:
    request = site.request()
    with site.deps.database.transaction() as tx:
        issuance.plan(tx, site.deps, request)
    others = [
        replace(request, key=fresh_key()),
        replace(request, profile="derived-digital-signature", alternative=AlternativeNames(mail="a@agency.example")),
    ]
    for other in others:
        with pytest.raises(Conflict) as caught, site.deps.database.transaction() as tx:
            issuance.plan(tx, site.deps, other)
        assert caught.value.code == "request_key_used"


def test_a_key_is_certified_once_for_one_holder_even_after_revocation(site: CASite) -> None:
    request = site.request("device-identity")
    with site.deps.database.transaction() as tx:
        planned = issuance.plan(tx, site.deps, request)
    issued = issuance.complete(site.deps, planned.id)
    assert plan_code(site, key=request.key) == "key_already_certified"
    with site.deps.database.transaction() as tx:
        revocation.revoke(tx, site.deps, issued.id, RevocationReason.SUPERSEDED, actor="officer")
    assert plan_code(site, key=request.key) == "key_already_certified"


def test_a_plan_that_fails_in_its_transaction_leaves_nothing(site: CASite) -> None:
    request = site.request()
    with contextlib.suppress(Halt), site.deps.database.transaction() as tx:
        issuance.plan(tx, site.deps, request)
        raise Halt
    with site.deps.database.snapshot() as tx:
        assert store.find_by_request_key(tx, request.request_key) is None
    with site.deps.database.transaction() as tx:
        issuance.plan(tx, site.deps, request)  # and the key is still free


def test_many_who_plan_the_same_get_the_same(site: CASite) -> None:
    request = site.request()

    def plan() -> object:
        with site.deps.database.transaction() as tx:
            return issuance.plan(tx, site.deps, request).id

    assert len(set(together(6, plan))) == 1


def test_of_many_who_plan_one_key_one_wins(site: CASite) -> None:
    key = fresh_key()
    requests = iter([site.request(key=key) for _ in range(6)])
    lock = threading.Lock()

    def plan() -> str:
        with lock:
            request = next(requests)
        try:
            with site.deps.database.transaction() as tx:
                issuance.plan(tx, site.deps, request)
        except Conflict as refused:
            return refused.code
        return "planned"

    assert sorted(together(6, plan)) == ["key_already_certified"] * 5 + ["planned"]


def test_of_many_who_plan_one_authorization_with_keys_of_their_own_one_wins(site: CASite) -> None:
    first = site.request()
    requests = iter([replace(first, key=fresh_key()) for _ in range(6)])
    lock = threading.Lock()

    def plan() -> str:
        with lock:
            request = next(requests)
        try:
            with site.deps.database.transaction() as tx:
                issuance.plan(tx, site.deps, request)
        except Conflict as refused:
            return refused.code
        return "planned"

    assert sorted(together(6, plan)) == ["planned"] + ["request_key_used"] * 5


def test_many_who_complete_the_same_plan_get_the_same_certificate(site: CASite) -> None:
    with site.deps.database.transaction() as tx:
        planned = issuance.plan(tx, site.deps, site.request())
    issued = together(6, lambda: issuance.complete(site.deps, planned.id))
    assert len({to_der(found.certificate) for found in issued}) == 1
    assert _names(site, planned.id) == ["ca:certificate:issued", "ca:certificate:planned"]


def test_a_certificate_is_found_by_itself_and_only_exactly(site: CASite) -> None:
    issued = site.issue()
    with site.deps.database.snapshot() as tx:
        record = certificates.find_issued(tx, issued.certificate)
        assert record is not None
        assert (record.id, record.state, record.der) == (issued.id, CertificateState.ISSUED, to_der(issued.certificate))
        assert certificates.find(tx, issued.id) == record
        assert certificates.find_issued(tx, issued.chain[-1]) is None
        assert issuance.find_issued(tx, issued.id) == issued


def test_completing_what_is_not_planned_is_refused(site: CASite) -> None:
    with pytest.raises(NotFound):
        issuance.complete(site.deps, site.issue().id.__class__(int=1))
    revoked = site.issue()
    with site.deps.database.transaction() as tx:
        revocation.revoke(tx, site.deps, revoked.id, RevocationReason.KEY_COMPROMISE, actor="officer")
    with pytest.raises(Conflict, match="certificate_revoked"):
        issuance.complete(site.deps, revoked.id)


def _planned(site: CASite) -> PlannedCertificate:
    with site.deps.database.transaction() as tx:
        return issuance.plan(tx, site.deps, site.request())


def test_a_plan_survives_a_key_that_is_away_and_is_finished_by_the_sweep(site: CASite, clock: TurnedClock) -> None:
    planned = _planned(site)
    without_key = replace(site.deps, signers={})
    with pytest.raises(Unavailable, match="ca_key_unavailable"):
        issuance.complete(without_key, planned.id)
    with site.deps.database.snapshot() as tx, pytest.raises(Conflict, match="certificate_not_issued"):
        issuance.find_issued(tx, planned.id)
    assert issuance.sweep(site.deps) == 0  # its completer may still be at work
    clock.advance(LEFT_BEHIND_AFTER + timedelta(seconds=1))
    assert issuance.sweep(without_key) == 0
    assert issuance.sweep(site.deps) == 1
    assert issuance.sweep(site.deps) == 0
    assert isinstance(issuance.complete(site.deps, planned.id), IssuedCertificate)


def test_a_plan_that_cannot_be_finished_for_a_day_is_given_up(site: CASite, clock: TurnedClock) -> None:
    planned, without_key = _planned(site), replace(site.deps, signers={})
    clock.advance(ABANDONED_AFTER + timedelta(seconds=1))
    assert issuance.sweep(without_key) == 1
    with pytest.raises(Conflict, match="certificate_abandoned"):
        issuance.complete(site.deps, planned.id)
    assert issuance.sweep(site.deps) == 0


def test_the_key_of_a_plan_that_was_given_up_is_free_again(site: CASite) -> None:
    request = site.request()
    with site.deps.database.transaction() as tx:
        planned = issuance.plan(tx, site.deps, request)
    with site.deps.database.transaction() as tx:
        revocation.revoke(tx, site.deps, planned.id, RevocationReason.UNSPECIFIED, actor="officer")
    site.issue(key=request.key)


def test_another_authoritys_key_does_not_sign_in_its_place(site: CASite) -> None:
    planned = _planned(site)
    swapped = replace(site.deps, signers={"derived": site.keys["device"]})
    with pytest.raises(Unavailable, match="signature_failed"):
        issuance.complete(swapped, planned.id)
    issuance.complete(site.deps, planned.id)


def test_issuance_stops_while_the_audit_trail_is_not_sealed(site: CASite, clock: TurnedClock) -> None:
    request = site.request()
    clock.advance(timedelta(seconds=61))
    with pytest.raises(Unavailable, match="audit_not_sealed"), site.deps.database.transaction() as tx:
        issuance.plan(tx, site.deps, request)
    site.seal()
    with site.deps.database.transaction() as tx:
        issuance.plan(tx, site.deps, request)


def test_the_trail_tells_who_authorized_what(site: CASite) -> None:
    issued = site.issue(authorized_by="officer:42")
    with site.deps.database.snapshot() as tx:
        events = [found.event for found in trail.page(tx, subject=str(issued.id))]
    assert {event.actor for event in events} == {"officer:42"}
    assert {event.facts["serial"] for event in events} == {f"{issued.certificate.serial_number:x}"}


def _names(site: CASite, subject: object) -> list[str]:
    with site.deps.database.snapshot() as tx:
        return sorted(found.event.name for found in trail.page(tx, subject=str(subject)))
