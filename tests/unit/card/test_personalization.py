# SPDX-License-Identifier: Apache-2.0
"""A blank card becomes somebody's card."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.card.applet import PIVApplet
from etymon.card.client import PIVClient
from etymon.card.content_signing import verify_chuid, verify_security_object
from etymon.card.errors import CardNotPermitted, WrongPIN
from etymon.card.external_key import SoftwareKey
from etymon.card.personalization import Cardholder, Certify, personalize
from etymon.card.state import ManagementKey, manufacture
from etymon.card.transport import LocalTransport
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.wire import fascn
from etymon.wire.piv import Algorithm, KeyReference, ObjectTag
from etymon.wire.piv_objects import decode_security_object
from support.card_issuer import PIN, PUK, CardIssuer, IssuedCard, authority, common_name

SMALL = {KeyReference.AUTHENTICATION: Algorithm.P256}
ALL_SLOTS = {
    KeyReference.AUTHENTICATION: Algorithm.P256,
    KeyReference.SIGNATURE: Algorithm.P384,
    KeyReference.KEY_MANAGEMENT: Algorithm.P256,
    KeyReference.CARD_AUTHENTICATION: Algorithm.P256,
}


@pytest.fixture(scope="module")
def issuer() -> CardIssuer:
    return CardIssuer()


@pytest.fixture(scope="module")
def card(issuer: CardIssuer) -> IssuedCard:
    return issuer.card(algorithms=ALL_SLOTS)


@pytest.mark.parametrize("slot", ALL_SLOTS)
def test_each_certificate_on_the_card_is_for_the_key_in_the_card(card: IssuedCard, slot: KeyReference) -> None:
    certificate = card.client.read_certificate(slot)
    held = card.applet.state.keys[slot].public_key()
    assert certificate == card.certificates[slot]
    assert certificate.public_key() == held


def test_the_card_names_itself_the_same_everywhere(card: IssuedCard) -> None:
    chuid = card.client.read_chuid()
    names = card.certificates[KeyReference.AUTHENTICATION].extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert chuid.card_uuid == card.uuid
    assert f"urn:uuid:{card.uuid}" in names.value.get_values_for_type(x509.UniformResourceIdentifier)
    assert names.value.get_values_for_type(x509.OtherName)[0].value == b"\x04\x19" + fascn.encode(chuid.fascn)


def test_the_issuer_signed_the_chuid_and_the_other_objects(card: IssuedCard, issuer: CardIssuer) -> None:
    client = card.client
    signer = verify_chuid(client.read_object(ObjectTag.CHUID))
    covered = (
        ObjectTag.CARD_CAPABILITY_CONTAINER,
        ObjectTag.DISCOVERY,
        ObjectTag.KEY_HISTORY,
        ObjectTag.CHUID,
    )
    security = decode_security_object(client.read_object(ObjectTag.SECURITY_OBJECT))
    found = verify_security_object(security, {tag: client.read_object(tag) for tag in covered}, signer)
    assert signer == issuer.content_signer.certificate
    assert found == frozenset(covered)


def test_the_pin_given_is_the_cards_pin(card: IssuedCard) -> None:
    client = card.client
    with pytest.raises(WrongPIN):
        client.verify_pin(Secret("000000"))
    client.verify_pin(PIN)


def test_card_authentication_names_no_person(card: IssuedCard) -> None:
    subject = card.certificates[KeyReference.CARD_AUTHENTICATION].subject
    assert subject.rfc4514_string() == f"2.5.4.5={card.uuid}"


def _personalize(
    issuer: CardIssuer,
    *,
    management_key: ManagementKey | None = None,
    puk: Secret[str] = PUK,
    certify: Certify | None = None,
    days: int = 1000,
) -> PIVApplet:
    entropy = SystemEntropy()
    state = manufacture(pin=Secret("000000"), puk=PUK, entropy=entropy)
    applet = PIVApplet(state, lambda _: None, entropy)
    personalize(
        PIVClient(LocalTransport(applet)),
        cardholder=Cardholder("Bob Brown"),
        fascn=fascn.non_federal(),
        uuid=issuer.card(algorithms=SMALL).uuid,
        pin=PIN,
        puk=puk,
        management_key=management_key or state.management_key,
        certify=certify or issuer.certify,
        content_signer=issuer.content_signer,
        expires=(datetime.now(UTC) + timedelta(days=days)).date(),
        algorithms=SMALL,
    )
    return applet


def test_another_management_key_personalizes_nothing(issuer: CardIssuer) -> None:
    wrong = ManagementKey(Algorithm.AES_256, Secret(bytes(32)))
    with pytest.raises(CardNotPermitted):
        _personalize(issuer, management_key=wrong)


def test_a_wrong_puk_personalizes_nothing(issuer: CardIssuer) -> None:
    with pytest.raises(WrongPIN) as caught:
        _personalize(issuer, puk=Secret("00000000"))
    assert caught.value.tries_left == 2


def test_a_certificate_for_another_key_is_not_written(issuer: CardIssuer) -> None:
    other = issuer.card(algorithms=SMALL).certificates[KeyReference.AUTHENTICATION]
    with pytest.raises(Malformed, match="certificate_key"):
        _personalize(issuer, certify=lambda _: other)


def test_a_certificate_may_not_outlive_the_card(issuer: CardIssuer) -> None:
    with pytest.raises(Malformed, match="certificate_outlives_card"):
        _personalize(issuer, days=30)


def test_a_certificate_may_not_outlive_its_content_signer(issuer: CardIssuer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder().subject_name(common_name("Short-lived")).public_key(key.public_key())
    short = issuer.issuing.issue(builder, end=datetime.now(UTC) + timedelta(days=1))
    hurried = CardIssuer()
    hurried.content_signer = replace(issuer.content_signer, certificate=short, key=SoftwareKey(key))
    with pytest.raises(Malformed, match="certificate_outlives_signer"):
        hurried.card(algorithms=SMALL)


def test_a_content_signer_has_the_key_of_its_certificate(issuer: CardIssuer) -> None:
    with pytest.raises(Malformed, match="content_signer"):
        replace(issuer.content_signer, certificate=authority("Another").certificate)
