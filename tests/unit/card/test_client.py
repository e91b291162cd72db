# SPDX-License-Identifier: Apache-2.0
"""The client: what it reads, what its errors say, and its handles that sign."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
)

from etymon.card.applet import PIVApplet
from etymon.card.card_key import CardKey
from etymon.card.client import PIVClient
from etymon.card.errors import CardError, CardNotPermitted, CardObjectNotFound, CardUnavailable, PINBlocked, WrongPIN
from etymon.card.external_key import Padding, SignatureScheme, SoftwareKey, as_private_key, sign, usual_scheme
from etymon.card.host_padding import digest_in, remove_oaep
from etymon.card.private_keys import CardPrivateKey
from etymon.card.transport import LocalTransport
from etymon.kernel.errors import DecodeError, Malformed, NotFound, NotPermitted
from etymon.kernel.secret import Secret
from etymon.wire.piv import Algorithm, KeyReference, ObjectTag
from etymon.wire.piv_objects import encode_certificate
from support.card_edge import bench, p256, p384
from support.card_issuer import PIN, PUK, CardIssuer, IssuedCard

SHA256 = SignatureScheme(hashes.SHA256())
SHA384 = SignatureScheme(hashes.SHA384())
SHA512 = SignatureScheme(hashes.SHA512())


@pytest.fixture(scope="module")
def issuer() -> CardIssuer:
    return CardIssuer()


@pytest.fixture(scope="module")
def issued(issuer: CardIssuer) -> IssuedCard:
    algorithms = dict.fromkeys((KeyReference.AUTHENTICATION, KeyReference.SIGNATURE), Algorithm.P256)
    return issuer.card(algorithms=algorithms)


def _client(keys: dict[int, CardPrivateKey] | None = None) -> PIVClient:
    return PIVClient(LocalTransport(bench(keys).applet))


def test_reading(issued: IssuedCard) -> None:
    client = issued.client
    assert client.select()[:1] == b"\x61"
    assert client.read_chuid().card_uuid == issued.uuid
    found = client.read_certificate(KeyReference.AUTHENTICATION)
    assert found == issued.certificates[KeyReference.AUTHENTICATION]


def test_what_is_not_there_is_not_found(issued: IssuedCard) -> None:
    with pytest.raises(CardObjectNotFound) as caught:
        issued.client.read_certificate(KeyReference.CARD_AUTHENTICATION)
    assert isinstance(caught.value, NotFound)
    assert caught.value.status_word == 0x6A82


def test_an_emptied_certificate_is_not_found_either() -> None:
    client = PIVClient(LocalTransport(bench(objects={ObjectTag.AUTHENTICATION_CERTIFICATE: b""}).applet))
    with pytest.raises(CardObjectNotFound):
        client.read_certificate(KeyReference.AUTHENTICATION)


def test_a_certificate_that_is_none_is_a_decode_error() -> None:
    objects = {int(ObjectTag.AUTHENTICATION_CERTIFICATE): encode_certificate(b"\x30\x00")}
    client = PIVClient(LocalTransport(bench(objects=objects).applet))
    with pytest.raises(DecodeError):
        client.read_certificate(KeyReference.AUTHENTICATION)


def test_pin_life() -> None:
    client = _client()
    assert client.tries_left() == 3
    with pytest.raises(WrongPIN) as wrong:
        client.verify_pin(Secret("000000"))
    assert (wrong.value.tries_left, wrong.value.status_word) == (2, 0x63C2)
    assert isinstance(wrong.value, NotPermitted)
    client.verify_pin(PIN)
    assert client.tries_left() is None
    client.change_pin(PIN, Secret("97531864"))
    with pytest.raises(WrongPIN):
        client.change_pin(PIN, Secret("000000"))
    for _ in range(2):
        with pytest.raises(WrongPIN):
            client.verify_pin(PIN)
    assert client.tries_left() == 0
    with pytest.raises(PINBlocked) as blocked:
        client.verify_pin(Secret("97531864"))
    assert (blocked.value.tries_left, blocked.value.status_word) == (0, 0x6983)
    client.change_puk(PUK, Secret("11223344"))
    with pytest.raises(WrongPIN):
        client.reset_retry_counter(PUK, PIN)
    client.reset_retry_counter(Secret("11223344"), PIN)
    client.verify_pin(PIN)


def test_an_error_names_no_secret() -> None:
    with pytest.raises(WrongPIN) as wrong:
        _client().verify_pin(Secret("864209"))
    assert "864209" not in repr(wrong.value) + str(wrong.value) + str(wrong.value.facts)


def test_a_key_wants_the_pin() -> None:
    with pytest.raises(CardNotPermitted) as caught:
        _client({0x9A: p256()}).sign(0x9A, Algorithm.P256, bytes(32))
    assert caught.value.status_word == 0x6982


def test_an_empty_slot_refuses() -> None:
    with pytest.raises(CardError) as caught:
        _client().sign(0x9A, Algorithm.P256, bytes(32))
    assert caught.value.status_word == 0x6A86


class Answers:
    """A card that says the same whatever it is asked."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def transmit(self, command: bytes) -> bytes:
        del command
        return self._answer


@pytest.mark.parametrize("answer", [b"x" * 200 + b"\x61\x00", b"\x61\x00"])
def test_an_answer_without_end_is_given_up(answer: bytes) -> None:
    with pytest.raises(CardUnavailable):
        PIVClient(Answers(answer)).select()


@pytest.mark.parametrize("answer", [b"", b"\x90", b"\x53\x01\x90\x00", b"\x54\x00\x90\x00", b"\x90\x00"])
def test_an_answer_that_is_none_is_a_decode_error(answer: bytes) -> None:
    with pytest.raises(DecodeError):
        PIVClient(Answers(answer)).read_object(ObjectTag.CHUID)


def test_an_unexpected_status_is_an_error_with_its_word() -> None:
    client = PIVClient(Answers(b"\x6f\x00"))
    with pytest.raises(CardError) as first:
        client.tries_left()
    with pytest.raises(CardError) as second:
        client.put_object(ObjectTag.CHUID, bytes(1000))
    assert first.value.status_word == second.value.status_word == 0x6F00


def test_key_agreement_and_deciphering(rsa_2048: rsa.RSAPrivateKey) -> None:
    own, peer = p384(), p384()
    client = _client({0x9D: own, 0x82: rsa_2048})
    client.verify_pin(PIN)
    point = peer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert client.key_agreement(0x9D, Algorithm.P384, point) == own.exchange(ec.ECDH(), peer.public_key())
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    for message in (b"", b"content key", b"\x00\x01" * 20):
        ciphertext = rsa_2048.public_key().encrypt(message, oaep)
        assert remove_oaep(client.decipher(0x82, Algorithm.RSA_2048, ciphertext)) == message


def test_a_block_that_was_not_made_with_oaep_is_refused(rsa_2048: rsa.RSAPrivateKey) -> None:
    client = _client({0x9D: rsa_2048})
    client.verify_pin(PIN)
    ciphertext = rsa_2048.public_key().encrypt(b"content key", padding.PKCS1v15())
    with pytest.raises(DecodeError):
        remove_oaep(client.decipher(0x9D, Algorithm.RSA_2048, ciphertext))
    with pytest.raises(DecodeError):
        remove_oaep(bytes(20))


def test_a_generated_key_is_told() -> None:
    card = bench()
    client = PIVClient(LocalTransport(card.applet))
    client.authenticate_management(card.applet.state.management_key)
    for algorithm in (Algorithm.P256, Algorithm.P384, Algorithm.RSA_2048):
        found = client.generate_key(KeyReference.AUTHENTICATION, algorithm)
        assert found == card.applet.state.keys[0x9A].public_key()


@pytest.mark.parametrize(
    "template",
    ["7f4900", "7f490486020400", "7f490b8103010001820301 0001", "7f4943864104" + "00" * 64, "7e00", "7f49020000"],
)
@pytest.mark.parametrize("algorithm", [Algorithm.P256, Algorithm.RSA_2048])
def test_a_public_key_that_is_none_is_a_decode_error(template: str, algorithm: Algorithm) -> None:
    with pytest.raises(DecodeError):
        PIVClient(Answers(bytes.fromhex(template) + b"\x90\x00")).generate_key(0x9A, algorithm)


# Handles.


@pytest.mark.parametrize("scheme", [SHA256, SHA384, SHA512])
@pytest.mark.parametrize("make", [p256, p384])
def test_curve_keys_sign_with_every_hash(make: type[ec.EllipticCurvePrivateKey], scheme: SignatureScheme) -> None:
    key = make()
    client = _client({0x9E: key})
    signature = sign(CardKey(client, 0x9E, public_key=key.public_key()), b"data", scheme)
    key.public_key().verify(signature, b"data", ec.ECDSA(scheme.hash))


@pytest.mark.parametrize("hash_algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize("kind", list(Padding))
@pytest.mark.parametrize("size", ["rsa_2048", "rsa_3072"])
def test_rsa_keys_sign_with_every_hash_and_padding(
    request: pytest.FixtureRequest, size: str, kind: Padding, hash_algorithm: hashes.SHA256
) -> None:
    key: rsa.RSAPrivateKey = request.getfixturevalue(size)
    handle = CardKey(_client({0x9E: key}), 0x9E, public_key=key.public_key())
    signature = sign(handle, b"data", SignatureScheme(hash_algorithm, kind))
    pss = padding.PSS(padding.MGF1(hash_algorithm), hash_algorithm.digest_size)
    judged = pss if kind is Padding.PSS else padding.PKCS1v15()
    key.public_key().verify(signature, b"data", judged, hash_algorithm)


def test_the_signature_key_is_given_the_pin_each_time(issued: IssuedCard) -> None:
    with pytest.raises(Malformed, match="card_pin_always"):
        CardKey(issued.client, KeyReference.SIGNATURE)
    handle = CardKey(issued.client, KeyReference.SIGNATURE, pin=PIN)
    assert sign(handle, b"one", SHA256)
    assert sign(handle, b"two", SHA256)


def test_a_wrong_pin_in_a_handle_costs_one_try_a_signature(issued: IssuedCard) -> None:
    handle = CardKey(issued.client, KeyReference.AUTHENTICATION, pin=Secret("000000"))
    with pytest.raises(WrongPIN) as wrong:
        sign(handle, b"data", SHA256)
    assert wrong.value.tries_left == 2
    issued.client.verify_pin(PIN)


def test_a_handle_notices_that_the_card_holds_another_key() -> None:
    client = _client({0x9E: p256()})
    handle = CardKey(client, 0x9E, public_key=p256().public_key())
    with pytest.raises(CardUnavailable, match="card_signature"):
        sign(handle, b"data", SHA256)


def test_a_handle_checks_what_it_signs(issued: IssuedCard, rsa_2048: rsa.RSAPrivateKey) -> None:
    with pytest.raises(Malformed, match="digest_length"):
        CardKey(issued.client, KeyReference.AUTHENTICATION).sign_digest(bytes(48), SHA256)
    handle = CardKey(_client({0x9E: rsa_2048}), 0x9E, public_key=rsa_2048.public_key())
    with pytest.raises(Malformed, match="digest_length"):
        handle.sign_digest(bytes(20), SHA256)


@pytest.mark.parametrize("fixture", ["rsa_2048", "p256", "p384"])
def test_the_librarys_builders_take_an_external_key(request: pytest.FixtureRequest, fixture: str) -> None:
    key: CardPrivateKey = (
        request.getfixturevalue(fixture) if fixture.startswith("rsa") else {"p256": p256, "p384": p384}[fixture]()
    )
    handle = as_private_key(CardKey(_client({0x9E: key}), 0x9E, public_key=key.public_key()))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Alice")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    assert builder.sign(handle, usual_scheme(key.public_key()).hash).is_signature_valid
    assert handle.public_key() == key.public_key()
    assert handle.key_size == key.key_size
    if isinstance(handle, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        assert builder.sign(handle, hashes.SHA256(), rsa_padding=pss).is_signature_valid


def test_an_external_key_signs_cms(issued: IssuedCard) -> None:
    handle = as_private_key(CardKey(issued.client, KeyReference.SIGNATURE, pin=PIN))
    certificate = issued.certificates[KeyReference.SIGNATURE]
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"letter").add_signer(certificate, handle, hashes.SHA256())
    assert builder.sign(Encoding.DER, [])


@pytest.mark.parametrize("fixture", ["rsa_2048", "p256"])
def test_an_external_key_does_nothing_but_sign(request: pytest.FixtureRequest, fixture: str) -> None:
    key = request.getfixturevalue(fixture) if fixture.startswith("rsa") else p256()
    handle = as_private_key(SoftwareKey(key))
    with pytest.raises(Malformed, match="external_key"):
        handle.private_numbers()
    with pytest.raises(Malformed, match="external_key"):
        handle.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    if isinstance(handle, rsa.RSAPrivateKey):
        with pytest.raises(Malformed):
            handle.decrypt(bytes(256), padding.PKCS1v15())
        with pytest.raises(Malformed, match="external_key_hash"):
            handle.sign(b"x", padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - refused
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        with pytest.raises(Malformed, match="external_key_padding"):
            handle.sign(b"x", oaep, hashes.SHA256())
    else:
        with pytest.raises(Malformed):
            handle.exchange(ec.ECDH(), p256().public_key())


@pytest.mark.parametrize("wrong", [b"", bytes(32), bytes.fromhex("3031300d060960864801650304020105000420") + bytes(31)])
def test_a_digest_info_is_recognized(wrong: bytes) -> None:
    info = bytes.fromhex("3041300d060960864801650304020205000430") + bytes(48)
    digest, found = digest_in(info)
    assert (digest, found.name) == (bytes(48), "sha384")
    with pytest.raises(Malformed):
        digest_in(wrong)


def test_an_applet_shows_its_state() -> None:
    card = bench()
    assert isinstance(card.applet, PIVApplet)
    assert "Secret(…)" in repr(card.applet.state)
