# SPDX-License-Identifier: Apache-2.0
"""What a profile says stops what breaks it: nothing is signed, nothing is kept, and the trail tells."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.audit import trail
from etymon.audit.model import Outcome, RecordedEvent
from etymon.ca import authorities, ceremony, crl, issuance, refused_keys, responder, revocation, status_store, store
from etymon.ca.authorities import NewAuthority
from etymon.ca.model import RevocationReason
from etymon.ca.policies import EXAMPLE_POLICY_OIDS
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import EtymonError, NotFound
from etymon.pki import csr
from etymon.pki.algorithms import KeyType
from etymon.pki.bad_keys import KeyLists
from etymon.pki.certificate import spki_sha256
from etymon.pki.csr import ProvenCSR
from etymon.storage.database import Database
from support import weak_rsa
from support.ca_site import ORGANIZATION, CASite, every_kind
from support.clock import TurnedClock

FEDERAL = "2.16.840.1.101.3.2.1.3"


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> CASite:
    return CASite(database, clock, entropy, tmp_path, hierarchy=every_kind())


def refusals(site: CASite) -> list[RecordedEvent]:
    with site.deps.database.snapshot() as tx:
        return trail.page(tx, name="ca:certificate:refused")


def code(site: CASite, profile: str, **changes: object) -> str:
    request = site.request(profile, **changes)
    with pytest.raises(EtymonError) as caught:
        issuance.issue(site.deps, request)
    with site.deps.database.snapshot() as tx:
        assert store.find_by_request_key(tx, request.request_key) is None
    return caught.value.code


def test_a_certificate_in_a_card_ends_with_the_card(site: CASite, clock: TurnedClock) -> None:
    for profile in ("piv-authentication", "card-authentication", "piv-digital-signature", "piv-key-management"):
        assert code(site, profile, not_after=None) == "card_end_missing"
        ends = clock.now() + timedelta(days=90)
        assert site.issue(profile, not_after=ends).certificate.not_valid_after_utc == ends


@pytest.mark.parametrize(
    ("profile", "policy"),
    [("device", "device-identity"), ("derived-piv-authentication-hardware", "derived-piv-authentication-hardware")],
)
def test_a_profile_that_is_only_judged_is_not_issued(site: CASite, profile: str, policy: str) -> None:
    below = NewAuthority(
        name="odd",
        parent="derived-root",
        profile="issuing-ca",
        subject=replace(ORGANIZATION, common_name="Odd CA"),
        key_type=KeyType.P256,
        profiles=frozenset({profile}),
        policies=(policy,),
    )
    authorities.create_issuing(site.deps, site.keys, below, actor="init")
    request = replace(site.request("device-identity", ca="odd"), profile=profile)
    with pytest.raises(EtymonError, match="profile_not_allowed"):
        issuance.issue(site.deps, request)


def test_a_hardware_policy_is_signed_for_no_software_key_whatever_is_configured(
    database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path
) -> None:
    claimed = {"derived-piv-authentication": f"{FEDERAL}.41", "subscriber": f"{FEDERAL}.16"}
    site = CASite(database, clock, entropy, tmp_path, policy_oids={**EXAMPLE_POLICY_OIDS, **claimed})
    for profile in ("derived-piv-authentication", "derived-digital-signature", "derived-key-management"):
        assert code(site, profile) == "lint_failed"
    found = [str(event.event.facts["findings"]) for event in refusals(site)]
    assert len(found) == 3
    assert all(finding.startswith("hardware_is_not_claimed: ") and ";" not in finding for finding in found), found


def test_a_finding_stops_every_kind_of_signature_and_is_recorded(site: CASite, clock: TurnedClock) -> None:
    site.deps = replace(site.deps, lint_exceptions=frozenset())  # the status address is on the loopback
    assert code(site, "tls-server") == "lint_failed"
    new = [replace(found, name=f"new-{found.name}") for found in ceremony.deployment(ORGANIZATION)[:1]]
    below = NewAuthority(
        name="below",
        parent="derived-root",
        profile="issuing-ca",
        subject=replace(ORGANIZATION, common_name="Below CA"),
        key_type=KeyType.P256,
        profiles=frozenset({"tls-server"}),
    )
    for create, made in ((authorities.create_root, new[0]), (authorities.create_issuing, below)):
        with pytest.raises(EtymonError, match="lint_failed"):
            create(site.deps, site.keys, made, actor="init")
    clock.advance(timedelta(days=100))
    site.seal()
    with pytest.raises(EtymonError, match="lint_failed"):
        responder.renew(site.deps, site.keys, "derived", actor="worker")
    with site.deps.database.snapshot() as tx:
        for missing in ("new-derived-root", "below"):
            with pytest.raises(NotFound):
                authorities.load(tx, missing)
    found = refusals(site)
    assert [event.event.outcome for event in found] == [Outcome.FAILURE] * 4
    assert {str(event.event.facts["code"]) for event in found} == {"lint_failed"}
    assert all("uri_host_is_a_public_name" in str(event.event.facts["findings"]) for event in found)


def test_a_finding_stops_a_revocation_list(site: CASite) -> None:
    with site.deps.database.transaction() as tx:
        kept = crl.find(tx, "device")
        assert kept is not None
        values = {name: getattr(kept, name) for name in ("covers", "this_update", "next_update", "der")}
        assert status_store.replace_list(tx, "device", after=kept.number, **{**values, "covers": -1})
        tx.exec_driver_sql("UPDATE ca_revocation_lists SET number = -7 WHERE ca = 'device'")
    with pytest.raises(EtymonError, match="lint_failed"):
        crl.refresh(site.deps, "device")
    (event,) = refusals(site)
    assert "list_extensions_listed" in str(event.event.facts["findings"])


def test_a_key_that_was_revoked_as_compromised_is_refused_for_ever(site: CASite) -> None:
    for reason, expected in (
        (RevocationReason.KEY_COMPROMISE, "key_compromised"),
        (RevocationReason.SUPERSEDED, "key_already_certified"),
    ):
        request = site.request()
        issued = issuance.issue(site.deps, request)
        with site.deps.database.transaction() as tx:
            revocation.revoke(tx, site.deps, issued.id, reason, actor="officer")
        assert code(site, "derived-piv-authentication", key=request.key) == expected


def test_a_cards_key_is_certified_for_nobody(site: CASite, clock: TurnedClock) -> None:
    request = site.request()
    for _ in range(2):  # a card is proved as often as its holder likes
        with site.deps.database.transaction() as tx:
            refused_keys.note_card(tx, request.key.spki_sha256, clock.now())
    assert code(site, "derived-piv-authentication", key=request.key) == "key_of_a_card"
    (event,) = refusals(site)
    assert event.event.facts["code"] == "key_of_a_card"


def test_a_key_whose_modulus_is_a_prime_is_not_certified_however_it_got_here(site: CASite) -> None:
    weak = rsa.RSAPublicNumbers(65537, weak_rsa.prime().modulus).public_key()
    assert code(site, "derived-piv-authentication", key=ProvenCSR(weak, b"")) == "weak_key"
    with pytest.raises(EtymonError, match="weak_key"):
        csr.hold(weak)


def test_a_listed_key_is_certified_at_no_door(site: CASite, tmp_path: Path) -> None:
    keys = {profile: site.request(profile).key for profile in ("device-identity", "tls-server")}
    listed = tmp_path / "compromised"
    listed.write_text("".join(f"{key.spki_sha256.hex()}\n" for key in keys.values()))
    site.deps = replace(site.deps, bad_keys=KeyLists.opened([], [listed]))
    for profile, key in keys.items():
        assert code(site, profile, key=key) == "compromised_key"
    own = site.keys.generate("new-root", KeyType.P256)
    listed.write_text(spki_sha256(own.public_key).hex())
    root = replace(ceremony.deployment(ORGANIZATION)[0], name="new-root")
    with pytest.raises(EtymonError, match="compromised_key"):
        authorities.create_root(site.deps, site.keys, root, actor="init")
