# SPDX-License-Identifier: Apache-2.0
"""Every way in which a SCEP message is refused: with the right failInfo, an audit event, and nothing half done."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from etymon.ca import certificates, refused_keys, revocation
from etymon.ca.model import AlternativeNames, RevocationReason
from etymon.issuer.scep import exchange
from etymon.issuer.scep.model import Holder
from etymon.kernel.errors import Malformed, NotFound
from etymon.pki.algorithms import KeyType
from etymon.pki.bad_keys import KeyLists, tail_of
from etymon.pki.certificate import UPN_OTHER_NAME, spki_sha256
from etymon.pki.csr import verify_proof_of_possession
from etymon.wire import ber, scep
from etymon.wire.scep import CertificateIdentity
from support import scep_client, weak_rsa
from support.registration_keys import rsa_key
from support.scep_site import Device, SCEPSite


def name(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


ALICE = (NameOID.COMMON_NAME, "Alice Example")


def ask(device: Device, challenge: str | None = "", **changes: Any) -> tuple[str | None, str]:
    of_request = {key: changes.pop(key) for key in ("names", "subject", "extensions", "key") if key in changes}
    secret = device.site.challenge(connector=device.connector) if challenge == "" else challenge
    content = device.request(secret, **of_request)
    changes = {key: value() if callable(value) else value for key, value in changes.items()}
    return device.refused(device.message(content, **changes))


def stranger(site: SCEPSite) -> Device:
    """Return a device whose key nothing ever certifies."""
    return site.device(key=rsa_key(-100))


# ---- challenges


@pytest.mark.parametrize(
    ("challenge", "code"),
    [("0" * 32, "challenge_wrong"), (None, "challenge_missing"), ("x" * 17_000, "challenge_missing")],
)
def test_without_its_challenge_a_request_is_refused(shared: SCEPSite, challenge: str | None, code: str) -> None:
    assert ask(stranger(shared), challenge) == ("badRequest", code)


def test_another_connectors_challenge_is_none(shared: SCEPSite) -> None:
    shared.connector("other")
    assert ask(stranger(shared), shared.challenge(connector="other")) == ("badRequest", "challenge_wrong")
    elsewhere = shared.device(connector="other")
    assert ask(elsewhere, shared.challenge()) == ("badRequest", "challenge_wrong")


# ---- names


@pytest.mark.parametrize(
    "subject",
    [
        name((NameOID.COMMON_NAME, "Bob Example")),
        name((NameOID.COMMON_NAME, "alice example")),
        name(ALICE, (NameOID.ORGANIZATION_NAME, "Another Agency")),
        name(ALICE, (NameOID.SERIAL_NUMBER, "7f0e6c1a")),
        name(ALICE, (NameOID.COMMON_NAME, "root")),
        name((NameOID.ORGANIZATION_NAME, "Example Agency")),
        name(),
    ],
    ids=lambda subject: subject.rfc4514_string(),
)
def test_a_subject_that_is_not_the_holders_is_refused(shared: SCEPSite, subject: x509.Name) -> None:
    assert ask(stranger(shared), subject=subject) == ("badRequest", "names_differ")


@pytest.mark.parametrize(
    "other",
    [
        x509.RFC822Name("bob@agency.example"),
        x509.DNSName("vpn.agency.example"),
        x509.UniformResourceIdentifier("urn:uuid:7f0e6c1a-0b0b-4d6e-9a43-6a0f6a1c2b3d"),
        x509.OtherName(UPN_OTHER_NAME, b"\x0c\x12bob@agency.example"),
    ],
    ids=str,
)
def test_an_alternative_name_that_is_not_the_holders_is_refused(shared: SCEPSite, other: x509.GeneralName) -> None:
    own = x509.RFC822Name("alice@agency.example")
    assert ask(stranger(shared), names=[own, other]) == ("badRequest", "names_differ")


def test_the_holders_own_names_may_be_asked_for(shared: SCEPSite) -> None:
    upn = x509.OtherName(UPN_OTHER_NAME, b"\x0c\x14alice@agency.example")
    shared.device().enroll(names=[x509.RFC822Name("alice@agency.example"), upn])


# ---- keys and proofs


@pytest.mark.parametrize("bits", [1024, 2047])
def test_a_short_key_is_refused(shared: SCEPSite, bits: int) -> None:
    assert ask(shared.device(key=rsa_key(0, bits))) == ("badAlg", "weak_key")


WEAK = [weak_rsa.prime, weak_rsa.roca, lambda: weak_rsa.sharing(rsa_key(-100))]


@pytest.mark.parametrize("make", WEAK, ids=["a prime for a modulus", "ROCA", "another exponent on a known modulus"])
def test_a_weak_rsa_key_is_refused_for_the_key_though_it_signed_its_request(
    shared: SCEPSite, make: Callable[[], weak_rsa.WeakRSA]
) -> None:
    device = stranger(shared)
    content = make().request(device.request(shared.challenge()))
    assert device.refused(device.message(content)) == ("badAlg", "weak_key")


def test_a_key_on_a_list_is_refused(shared: SCEPSite, tmp_path: Path) -> None:
    device, before = shared.device(), shared.deps
    listed = tmp_path / "blacklist.RSA-2048"
    listed.write_bytes(tail_of(device.key.public_key()) + b"\n")
    shared.deps = replace(before, ca=replace(before.ca, bad_keys=KeyLists.opened([listed], [])))
    try:
        assert ask(device) == ("badAlg", "compromised_key")
    finally:
        shared.deps = before


def test_the_key_of_a_card_and_one_that_was_revoked_as_compromised_are_refused(shared: SCEPSite) -> None:
    device, card = shared.device(), shared.device()
    issued = device.enroll()
    with shared.database.transaction() as tx:
        found = certificates.find_issued(tx, issued)
        assert found is not None
        revocation.revoke(tx, shared.ca.deps, found.id, RevocationReason.KEY_COMPROMISE, actor="officer")
    device.certificate = None
    assert ask(device) == ("badRequest", "key_compromised")
    with shared.database.transaction() as tx:
        refused_keys.note_card(tx, spki_sha256(card.key.public_key()), shared.clock.now())
    assert ask(card) == ("badRequest", "key_of_a_card")


def test_a_size_the_connector_does_not_take_is_refused(shared: SCEPSite) -> None:
    shared.connector("long", key_types=frozenset({KeyType.RSA3072}))
    assert ask(shared.device(key=rsa_key(-100), connector="long")) == ("badAlg", "key_type_not_allowed")


def test_a_signer_whose_key_cannot_open_the_answer_is_refused(shared: SCEPSite) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    device = stranger(shared)
    content = device.request(shared.challenge(), key=key)
    signer = scep_client.self_signed(key, "elliptic")
    message = device.message(content, key=key, signer=signer, named_signature="sha256_ecdsa")
    assert device.refused(message) == ("badAlg", "algorithm_not_allowed")
    by_rsa = device.message(content)
    assert device.refused(by_rsa) == ("badAlg", "algorithm_not_allowed")


def test_a_request_that_its_key_did_not_sign_is_refused(shared: SCEPSite) -> None:
    device = stranger(shared)
    content = bytearray(device.request(shared.challenge()))
    content[-1] ^= 1
    assert device.refused(device.message(bytes(content))) == ("badMessageCheck", "proof_of_possession_failed")


def test_a_request_signed_by_another_key_than_it_is_for_is_refused(shared: SCEPSite) -> None:
    device = stranger(shared)
    content = device.request(shared.challenge(), key=rsa_key(-101))
    assert device.refused(device.message(content)) == ("badMessageCheck", "signer_not_requester")


# ---- renewal


def test_a_certificate_is_not_renewed_on_its_key(shared: SCEPSite) -> None:
    device = shared.device()
    device.enroll()
    for kind in ("17", "19"):
        assert device.refused(device.renewal(device.key, type=kind)) == ("badRequest", "same_key")


def test_a_renewal_signed_with_nothing_but_a_key_is_refused(shared: SCEPSite) -> None:
    device = stranger(shared)
    assert device.refused(device.message(device.request(None), type="17")) == ("badCertId", "certificate_unknown")
    other = device.message(device.request(None, key=rsa_key(-101)), type="17")
    assert device.refused(other) == ("badCertId", "certificate_unknown")


def test_an_expired_certificate_renews_nothing(site: SCEPSite) -> None:
    site.connector("short", lifetime=timedelta(days=1))
    device = Device(site, site.key(), connector="short")
    device.enroll()
    site.turn(days=2)
    assert device.refused(device.renewal(site.key())) == ("badRequest", "certificate_expired")


def test_another_connectors_certificate_renews_nothing(shared: SCEPSite) -> None:
    shared.connector("other")
    device = shared.device(connector="other")
    device.enroll()
    device.connector = "fleet"
    assert device.refused(device.renewal(shared.key())) == ("badCertId", "certificate_unknown")


@pytest.mark.parametrize("profile", ["device-identity", "derived-piv-authentication"])
def test_a_device_identity_or_a_derived_credential_renews_nothing(shared: SCEPSite, profile: str) -> None:
    device = shared.device()
    changes: dict[str, Any] = {"key": verify_proof_of_possession(device.request(None))}
    if profile == "device-identity":
        changes["alternative"] = AlternativeNames(uuid=uuid.uuid4())
    device.certificate = shared.ca.issue(profile, **changes).certificate
    for kind, expected in (
        ("17", ("badCertId", "certificate_unknown")),
        ("19", ("badMessageCheck", "signer_not_requester")),
    ):
        assert device.refused(device.renewal(shared.key(), type=kind)) == expected


def test_a_certificate_that_only_looks_like_ours_renews_nothing(shared: SCEPSite) -> None:
    """Same issuer, same number, same names: only the very bytes count."""
    device = shared.device()
    real = device.enroll()
    forger = shared.device()
    builder = x509.CertificateBuilder(real.issuer, real.subject, forger.key.public_key(), real.serial_number)
    builder = builder.not_valid_before(real.not_valid_before_utc).not_valid_after(real.not_valid_after_utc)
    forger.certificate = builder.sign(forger.key, hashes.SHA256())
    assert forger.refused(forger.renewal(shared.key())) == ("badCertId", "certificate_unknown")


# ---- messages


def test_a_tampered_message_is_refused(shared: SCEPSite) -> None:
    device = stranger(shared)
    message = device.message(device.request(shared.challenge()))
    encoded = message.encode()
    for position in (len(encoded) - 1, encoded.index(message.content[:4]) if message.content[:4] in encoded else -1):
        altered = bytearray(encoded)
        altered[position] ^= 1
        assert device.refused(bytes(altered)) == ("badMessageCheck", "message_signature_wrong")


def test_a_message_whose_content_was_exchanged_is_refused(shared: SCEPSite) -> None:
    device = stranger(shared)
    message = device.message(device.request(shared.challenge()))
    encoded = message.encode()
    ours = message.enveloped()
    start = encoded.index(ours[:30])
    altered = bytearray(encoded)
    altered[start + len(ours) // 2] ^= 1
    assert device.refused(bytes(altered)) == ("badMessageCheck", "message_signature_wrong")


def test_a_message_for_another_recipient_is_refused(shared: SCEPSite) -> None:
    device = stranger(shared)
    other = scep_client.self_signed(rsa_key(-101), "another authority", serial_number=77)
    assert ask(device, recipients=[other]) == ("badMessageCheck", "message_not_opened")


def test_a_content_key_that_does_not_unwrap_says_no_more_than_content_that_does_not_open(shared: SCEPSite) -> None:
    """Two refusals that are told apart would decrypt other people's messages (RFC 3218)."""
    device = stranger(shared)
    content = device.request(shared.challenge())
    wrong_key = device.send(device.message(content, encrypted_key=bytes(range(1, 256)) + b"\x01"))
    wrong_content = device.send(device.message(b"no request at all"))
    unproven = device.send(device.message(content[:-1] + bytes((content[-1] ^ 1,))))
    assert {reply.refusal for reply in (wrong_key, wrong_content, unproven)} == {"badMessageCheck"}
    assert len({reply.text for reply in (wrong_key, wrong_content, unproven)}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "sha1"},
        {"digest": "md5"},
        {"cipher": "des"},
        {"cipher": "tripledes_3key"},
        {"named_signature": "rsassa_pss"},
        {"named_signature": "sha512_rsa"},
    ],
    ids=str,
)
def test_old_and_unknown_algorithms_are_refused(shared: SCEPSite, changes: dict[str, Any]) -> None:
    assert ask(stranger(shared), **changes) == ("badAlg", "algorithm_not_allowed")


@pytest.mark.parametrize("changes", [{"digest": "md5"}, {"cipher": "des"}], ids=str)
def test_md5_and_single_des_are_refused_even_where_old_clients_are_let_in(
    shared: SCEPSite, changes: dict[str, Any]
) -> None:
    shared.connector("museum", legacy_algorithms=True)
    assert ask(shared.device(key=rsa_key(-100), connector="museum"), **changes) == ("badAlg", "algorithm_not_allowed")


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_a_request_signed_with_an_old_hash_is_refused(shared: SCEPSite, digest: str) -> None:
    device = stranger(shared)
    content = device.request(shared.challenge(), digest=digest)
    assert device.refused(device.message(content)) == ("badAlg", "algorithm_not_allowed")


@pytest.mark.parametrize("kind", ["3", "18", "99", "0"])
def test_a_kind_of_message_that_no_client_sends_is_refused(shared: SCEPSite, kind: str) -> None:
    assert ask(stranger(shared), type=kind) == ("badRequest", "message_type_unknown")


def test_the_time_that_a_client_signs_along_does_not_matter(shared: SCEPSite) -> None:
    shared.device().enroll(signing_time=datetime(1999, 1, 1, tzinfo=UTC))


# ---- what has no answer of SCEP's


def unanswered(site: SCEPSite, message: bytes) -> str:
    device = site.device()
    before = site.kept()
    with pytest.raises(Malformed) as refused:
        device.send(message)
    (recorded,) = site.refusals(device.address)
    assert recorded.facts["code"] == refused.value.code
    assert site.kept() == before
    return refused.value.code


def test_what_is_no_message_is_told_by_http_and_recorded(shared: SCEPSite) -> None:
    assert unanswered(shared, b"\x30\x03\x02\x01\x00") == "pki_message_malformed"
    assert unanswered(shared, b"not DER") == "ber_cut_off"
    assert unanswered(shared, b"\x30\x80" * 30_000) == "ber_too_deep"
    assert unanswered(shared, b"\x30\x84\x00\x01\x80\x00" + b"\x05\x00" * 49_152)[:9] == "message_t"
    assert unanswered(shared, bytes(scep.MESSAGE_LIMIT_BYTES + 1)) == "message_too_large"
    deep = b"\x30\x00"
    for _ in range(ber.DEEPEST + 1):
        deep = b"\x30" + bytes((len(deep),)) + deep
    assert unanswered(shared, deep) == "ber_too_deep"


def test_nothing_is_answered_at_a_connector_that_is_not_in_force(shared: SCEPSite) -> None:
    for unknown in ("nobody", "", "fleet' --"):
        with pytest.raises(NotFound, match="scep_connector_unknown"):
            exchange.answer(shared.deps, unknown, b"", source="192.0.2.9")


# ---- certificates and CRLs that are asked for


def test_a_certificate_is_given_to_the_holder_of_its_key_alone(shared: SCEPSite) -> None:
    device, other = shared.device(), shared.device()
    certificate = device.enroll()
    asked = scep.encode_certificate_identity(
        CertificateIdentity(certificate.issuer.public_bytes(), certificate.serial_number)
    )
    assert device.send(device.message(asked, type="21")).certificate == certificate
    assert other.refused(other.message(asked, type="21")) == ("badCertId", "certificate_unknown")
    other.enroll()
    assert other.refused(other.message(asked, type="21")) == ("badCertId", "certificate_unknown")
    elsewhere = scep.encode_certificate_identity(CertificateIdentity(certificate.subject.public_bytes(), 1))
    for kind in ("21", "22"):
        assert device.refused(device.message(elsewhere, type=kind)) == ("badCertId", "certificate_unknown")
        assert device.refused(device.message(b"\x04\x00", type=kind))[0] == "badMessageCheck"


def test_the_crl_is_given_to_whoever_asks(shared: SCEPSite) -> None:
    device = shared.device()
    issuer = shared.ca.authorities["managed"].certificate.subject.public_bytes()
    reply = device.send(device.message(scep.encode_certificate_identity(CertificateIdentity(issuer, 1)), type="22"))
    (found,) = cms.ContentInfo.load(reply.content)["content"]["crls"]
    crl = x509.load_der_x509_crl(found.chosen.dump())
    assert crl.is_signature_valid(shared.ca.authorities["managed"].certificate.public_key())  # type: ignore[arg-type]  # an EC key


def test_a_holder_that_is_only_a_number_is_not_compared_with_names(shared: SCEPSite) -> None:
    number = uuid.uuid4()
    certificate = shared.device(common_name="whatever the phone says").enroll(shared.challenge(Holder(None, number)))
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == str(number)
