# SPDX-License-Identifier: Apache-2.0
"""Linking a phone to a card session, with every refusal of link.md, on both engines."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from etymon.audit.model import Outcome
from etymon.directory import trust
from etymon.issuer import device_identity, follow_ups, redemption
from etymon.issuer.model import DerivationState, DeviceIdentity, EndReason, Purpose
from etymon.issuer.redemption import Linked
from etymon.issuer.store import card_sessions
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, Expired, NotAuthenticated, NotFound, NotPermitted
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import thumbprint
from etymon.storage.database import Database
from etymon.wire import link_qr
from support import declared_pki
from support.ca_site import rsa_key
from support.clock import TurnedClock
from support.issuer_phone import Phone
from support.issuer_site import DESCRIPTION, PC, IssuerSite, scanned, sha256


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    return IssuerSite(database, clock, entropy, tmp_path)


def test_a_phone_is_linked_and_both_screens_show_the_same_digits(site: IssuerSite) -> None:
    session = site.present_card()
    begun = site.begin(session)
    phone = site.phone()
    linked = site.redeem(phone, begun)
    qr = scanned(begun)
    assert linked.digits == link_qr.six_digits(qr.secret, qr.link, sha256(phone.spki))
    assert (linked.display_name, linked.mail) == ("Alice Example", "a…e@agency.example")
    assert linked.purposes == tuple(Purpose)
    kept = site.derivation(begun)
    assert kept.state is DerivationState.REDEEMED
    assert kept.link is not None
    assert (kept.link.digits, kept.link.key_thumbprint) == (linked.digits, sha256(phone.spki))
    assert site.authorization(phone, begun) is None

    site.confirm(session, begun, phone)
    authorized = site.authorization(phone, begun)
    assert authorized is not None
    assert authorized.expires_at == site.clock.now() + timedelta(minutes=15)
    assert authorized == site.authorization(phone, begun)


def test_the_evidence_of_the_card_is_kept_with_the_derivation(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    with site.database.snapshot() as tx:
        proof = card_sessions.find_proof(tx, site.derivation(begun).proof)
    assert proof is not None
    assert proof.person == site.alice.id
    assert [sha256(der) for der in proof.certificates] == [
        thumbprint(site.card.certificate),
        thumbprint(site.cards.certificate),
    ]
    assert proof.policies == {"2.999.7.13"}
    (evidence,) = proof.evidence
    assert (evidence.kind, evidence.octets) == ("crl", b"a raw CRL")
    assert proof.proved_at == site.clock.now()


def test_the_secret_is_kept_as_a_digest_only(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    secret = scanned(begun).secret.reveal()
    with site.database.snapshot() as tx:
        rows = tx.exec_driver_sql("SELECT * FROM issuer_derivations").all()
    assert secret not in [bytes(value) for row in rows for value in row if isinstance(value, bytes | memoryview)]


# ---- redeeming


def test_the_same_redemption_again_gets_the_same_answer_until_it_is_confirmed(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    assert site.redeem(phone, begun) == site.redeem(phone, begun)
    site.confirm(session, begun, phone)
    with pytest.raises(Conflict, match="link_already_redeemed"):
        site.redeem(phone, begun)


def test_another_phone_is_refused_after_the_first(site: IssuerSite) -> None:
    begun, first = site.begin(site.present_card()), site.phone()
    site.redeem(first, begun)
    with pytest.raises(Conflict, match="link_already_redeemed"):
        site.redeem(site.phone(), begun)
    with pytest.raises(Conflict, match="link_already_redeemed"):  # the same device with another key
        site.redeem(Phone(first.device, first.device_key), begun)
    with pytest.raises(Conflict, match="link_already_redeemed"):  # the same key on another device
        site.redeem(site.phone(key=first.key), begun)
    assert [event.facts["code"] for event in site.events("issuer:link:refused")] == ["link_already_redeemed"] * 3


def test_of_many_phones_at_once_exactly_one_redeems(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    phones = [site.phone() for _ in range(8)]
    together = threading.Barrier(len(phones))

    def redeem(phone: Phone) -> Linked | EtymonError:
        together.wait()
        try:
            return site.redeem(phone, begun)
        except EtymonError as refusal:
            return refusal

    with ThreadPoolExecutor(len(phones)) as threads:
        answers = list(threads.map(redeem, phones))
    refused = [answer.code for answer in answers if isinstance(answer, EtymonError)]
    assert refused == ["link_already_redeemed"] * 7
    (winner,) = [phone for phone, answer in zip(phones, answers, strict=True) if isinstance(answer, Linked)]
    kept = site.derivation(begun).link
    assert kept is not None
    assert kept.key == winner.spki


def test_a_link_that_nobody_made_is_unknown(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    with pytest.raises(NotFound, match="link_unknown"):
        site.redeem(site.phone(), begun, link=site.alice.id)


def test_a_link_is_over_after_ten_minutes(site: IssuerSite) -> None:
    begun, phone = site.begin(site.present_card()), site.phone()
    site.turn(minutes=10, microseconds=-1)
    site.redeem(phone, begun)
    site.turn(microseconds=1)
    with pytest.raises(Expired, match="link_expired"):
        site.redeem(phone, begun)
    with pytest.raises(Expired, match="link_expired"):
        site.authorization(phone, begun)


def test_a_link_ends_with_the_proof_it_stands_on(site: IssuerSite) -> None:
    session = site.present_card()
    site.turn(minutes=4)
    assert site.begin(session).derivation.expires_at == session.proved_at + timedelta(minutes=10)


def test_an_expired_link_stays_expired_after_the_sweep(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    site.turn(minutes=10)
    assert follow_ups.sweep(site.deps) >= 1
    assert site.derivation(begun).state is DerivationState.EXPIRED
    with pytest.raises(Expired, match="link_expired"):
        site.redeem(site.phone(), begun)


def test_five_wrong_secrets_end_the_link(site: IssuerSite) -> None:
    begun, phone = site.begin(site.present_card()), site.phone()
    for _ in range(4):
        with pytest.raises(NotPermitted, match="link_secret_wrong"):
            site.redeem(phone, begun, secret=Secret(bytes(16)))
    site.redeem(phone, begun)  # four do not
    with pytest.raises(NotPermitted, match="link_secret_wrong"):
        site.redeem(phone, begun, secret=Secret(bytes(16)))
    assert site.derivation(begun).state is DerivationState.DENIED
    with pytest.raises(NotPermitted, match="link_denied"):
        site.redeem(phone, begun)
    with pytest.raises(NotPermitted, match="link_denied"):
        site.authorization(phone, begun)
    refused = site.events("issuer:link:refused")
    assert {event.outcome for event in refused} == {Outcome.FAILURE}
    assert Counter(event.facts["code"] for event in refused) == {"link_secret_wrong": 5, "link_denied": 1}


def test_wrong_secrets_at_once_are_each_counted(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    phones = [site.phone() for _ in range(8)]
    together = threading.Barrier(len(phones))

    def guess(phone: Phone) -> str:
        together.wait()
        with pytest.raises(NotPermitted) as refusal:
            site.redeem(phone, begun, secret=Secret(bytes(16)))
        return refusal.value.code

    with ThreadPoolExecutor(len(phones)) as threads:
        answers = sorted(threads.map(guess, phones))
    assert answers == ["link_denied"] * 3 + ["link_secret_wrong"] * 5
    assert site.derivation(begun).wrong_secrets == 5


def test_a_new_code_ends_the_older_one(site: IssuerSite) -> None:
    session = site.present_card()
    older, phone = site.begin(session), site.phone()
    site.begin(session)
    with pytest.raises(NotPermitted, match="link_denied"):
        site.redeem(phone, older)
    assert site.derivation(older).end_reason is EndReason.SUPERSEDED


# ---- which phones


def test_a_phone_without_device_identity_is_told_to_bring_one(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    with pytest.raises(NotAuthenticated, match="device_identity_required"):
        site.redeem(Phone(None), begun)
    with pytest.raises(NotAuthenticated, match="device_identity_required"):  # and learns nothing of links
        site.redeem(Phone(None), begun, link=site.alice.id)


def test_a_phone_nobody_manages_is_linked_where_the_rule_allows(site: IssuerSite) -> None:
    site.save_rule(managed_devices_only=False)
    session = site.present_card()
    begun, phone = site.begin(session), Phone(None)
    assert site.redeem(phone, begun).digits
    site.confirm(session, begun, phone)
    assert site.authorization(phone, begun) is not None
    with pytest.raises(NotPermitted, match="other_device"):
        site.authorization(site.phone(key=phone.key), begun)


def test_a_stranger_s_certificate_is_no_device_identity(site: IssuerSite) -> None:
    strange = declared_pki.root(site.clock.now(), "Strangers").issue(site.clock.now())
    with pytest.raises(NotPermitted, match="unmanaged_device"):
        site.redeem(Phone(strange.certificate), site.begin(site.present_card()))


def test_a_card_is_no_device_identity(site: IssuerSite) -> None:
    with pytest.raises(NotPermitted, match="wrong_certificate_kind"):
        site.redeem(Phone(site.card.certificate), site.begin(site.present_card()))


def test_a_derived_credential_is_no_device_identity(site: IssuerSite) -> None:
    derived = site.linked().enroll().certificate
    with pytest.raises(NotPermitted, match="wrong_certificate_kind"):
        site.redeem(Phone(derived), site.begin(site.present_card(site.bound_card(site.colleague()))))


def test_a_revoked_device_identity_is_refused(site: IssuerSite) -> None:
    begun, phone = site.begin(site.present_card()), site.phone()
    site.revoke_device(phone)
    with pytest.raises(NotPermitted, match="revoked_by_database"):
        site.redeem(phone, begun)


def test_an_expired_device_identity_is_refused(site: IssuerSite) -> None:
    phone = site.phone()
    site.turn(days=366)
    with pytest.raises(NotPermitted, match="expired"):
        site.redeem(phone, site.begin(site.present_card(site.bound_card(site.alice))))


def test_a_device_that_was_judged_a_moment_ago_is_judged_anew(site: IssuerSite) -> None:
    phone = site.phone()
    judged = device_identity.judge(site.deps, phone.peer)
    assert judged == device_identity.judge(site.deps, phone.peer)
    with site.database.transaction() as tx:
        entry = trust.entry(tx, "device")
        trust.remove(tx, site.deps, "device", actor="administrator")
    with pytest.raises(NotPermitted, match="unmanaged_device"):
        device_identity.judge(site.deps, phone.peer)
    with site.database.transaction() as tx:
        trust.save(tx, site.deps, entry, actor="administrator")
    assert judged == device_identity.judge(site.deps, phone.peer)
    site.revoke_device(phone)
    with pytest.raises(NotPermitted, match="revoked_by_database"):
        device_identity.judge(site.deps, phone.peer)


def test_a_device_identity_that_was_judged_ends_to_the_second(site: IssuerSite) -> None:
    phone = site.phone()
    assert phone.device is not None
    site.clock.advance(phone.device.not_valid_after_utc - site.clock.now())
    device_identity.judge(site.deps, phone.peer)
    site.clock.advance(timedelta(seconds=1))
    with pytest.raises(NotPermitted, match="expired"):
        device_identity.judge(site.deps, phone.peer)


# ---- which keys


@pytest.mark.parametrize("kind", ["p384", "rsa2048"])
def test_keys_of_other_kinds_are_linked_too(site: IssuerSite, kind: str) -> None:
    key = rsa_key() if kind == "rsa2048" else ec.generate_private_key(ec.SECP384R1())
    session = site.present_card()
    begun, phone = site.begin(session), site.phone(key=key)
    site.redeem(phone, begun)
    site.confirm(session, begun, phone)
    assert site.authorization(phone, begun) is not None


def test_a_key_the_rule_does_not_take_is_refused(site: IssuerSite) -> None:
    site.save_rule(key_types=frozenset({KeyType.P384}))
    with pytest.raises(NotPermitted, match="key_type_not_allowed"):
        site.redeem(site.phone(), site.begin(site.present_card()))


def test_a_weak_key_is_refused(site: IssuerSite) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
    with pytest.raises(EtymonError, match="weak_key"):
        site.redeem(site.phone(key=weak), site.begin(site.present_card()))


@pytest.mark.parametrize("key", [b"", b"not a key", bytes(2000)])
def test_what_is_no_key_is_refused(site: IssuerSite, key: bytes) -> None:
    begun = site.begin(site.present_card())
    request = redemption.Redemption(begun.derivation.id, scanned(begun).secret, key, DESCRIPTION)
    with pytest.raises(EtymonError, match="malformed_key"):
        redemption.redeem(site.deps, request, DeviceIdentity("device", bytes(32), b""), source=PC)
