# SPDX-License-Identifier: Apache-2.0
import contextlib
import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from asn1crypto import cms
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.wire import der, key_package
from etymon.wire.key_package import Enveloped, Signed

MOMENT = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
RSA_KEY = der.sequence(
    der.integer(0),
    der.sequence(der.object_identifier("1.2.840.113549.1.1.1"), der.null()),
    der.octet_string(b"not a key, and nobody looks"),
)
PACKAGE = key_package.encode_package([RSA_KEY])
NAME = der.sequence(
    der.encode(der.SET, der.sequence(der.object_identifier("2.5.4.3"), der.encode(0x0C, b"key generation")))
)
CERTIFICATE = der.sequence(der.integer(1))
ECDSA_SHA256 = "1.2.840.10045.4.3.2"

ENVELOPED = Enveloped(
    recipient=b"i" * 20, encrypted_key=b"k" * 256, initialization_vector=b"v" * 16, ciphertext=b"c" * 64
)


def signed(package: bytes = PACKAGE) -> Signed:
    return Signed(
        package=package,
        digest=key_package.SHA256,
        attributes=key_package.signed_attributes(package, key_package.SHA256, MOMENT),
        algorithm=ECDSA_SHA256,
        signature=b"s" * 70,
        signer=key_package.issuer_and_serial_number(NAME, 77),
        certificates=(CERTIFICATE,),
    )


def encode(value: Signed) -> bytes:
    return key_package.encode_signed(value, algorithm=der.sequence(der.object_identifier(value.algorithm)))


def bare(content_info: bytes) -> bytes:
    return der.elements(der.elements(der.only(content_info, der.SEQUENCE).content)[1].content)[0].encoded


def test_what_is_written_is_read_back() -> None:
    assert key_package.decode_package(PACKAGE) == (RSA_KEY,)
    assert key_package.decode_signed(encode(signed())) == signed()
    assert key_package.decode_enveloped(key_package.encode_enveloped(ENVELOPED)) == ENVELOPED


def test_signed_data_without_its_wrapping_is_read_too() -> None:
    assert key_package.decode_signed(bare(encode(signed()))) == signed()


def test_another_library_reads_the_signed_package() -> None:
    message = cms.ContentInfo.load(encode(signed()), strict=True)
    content = message["content"]
    assert message["content_type"].native == "signed_data"
    assert content["version"].native == "v3"
    assert content["encap_content_info"]["content_type"].dotted == key_package.KEY_PACKAGE
    assert content["encap_content_info"]["content"].contents.endswith(PACKAGE)
    (signer,) = content["signer_infos"]
    assert signer["sid"].chosen["serial_number"].native == 77
    attributes = {each["type"].native: each["values"][0].native for each in signer["signed_attrs"]}
    assert attributes["message_digest"] == hashlib.sha256(PACKAGE).digest()
    assert attributes["signing_time"] == MOMENT


def test_another_library_reads_the_envelope() -> None:
    message = cms.ContentInfo.load(key_package.encode_enveloped(ENVELOPED), strict=True)
    content = message["content"]
    (recipient,) = content["recipient_infos"]
    transport = recipient.chosen
    assert transport["rid"].chosen.native == ENVELOPED.recipient
    assert transport["key_encryption_algorithm"]["algorithm"].native == "rsaes_oaep"
    parameters = transport["key_encryption_algorithm"]["parameters"]
    assert parameters["hash_algorithm"]["algorithm"].native == "sha256"
    assert parameters["mask_gen_algorithm"]["parameters"]["algorithm"].native == "sha256"
    sealed = content["encrypted_content_info"]
    assert sealed["content_encryption_algorithm"]["algorithm"].native == "aes256_cbc"
    assert sealed["encrypted_content"].native == ENVELOPED.ciphertext


def test_a_package_that_was_changed_after_signing_is_refused() -> None:
    other = key_package.encode_package([RSA_KEY.replace(b"nobody", b"anyone")])
    with pytest.raises(DecodeError) as refusal:
        key_package.decode_signed(encode(replace(signed(), package=other)))
    assert refusal.value.code == "key_package_altered"


def test_a_signature_over_another_type_of_content_is_refused() -> None:
    attributes = signed().attributes.replace(
        der.object_identifier(key_package.KEY_PACKAGE), der.object_identifier("2.16.840.1.101.2.1.2.78.6")
    )
    with pytest.raises(DecodeError):
        key_package.decode_signed(encode(replace(signed(), attributes=attributes)))


def test_an_attribute_given_twice_is_refused() -> None:
    content = der.only(signed().attributes, der.SET).content
    first = der.elements(content)[0].encoded
    with pytest.raises(DecodeError):
        key_package.decode_signed(encode(replace(signed(), attributes=der.encode(der.SET, first + content))))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (key_package.AES_256_CBC, "2.16.840.1.101.3.4.1.2"),  # AES-128-CBC
        (key_package.RSAES_OAEP, "1.2.840.113549.1.1.1"),  # PKCS #1 v1.5
        (key_package.SHA256, "2.16.840.1.101.3.4.2.3"),
    ],
)
def test_another_algorithm_is_refused(old: str, new: str) -> None:
    message = key_package.encode_enveloped(ENVELOPED).replace(der.object_identifier(old), der.object_identifier(new))
    with pytest.raises(DecodeError):
        key_package.decode_enveloped(message)


@pytest.mark.parametrize(
    "enveloped",
    [
        replace(ENVELOPED, ciphertext=b""),
        replace(ENVELOPED, ciphertext=b"c" * 63),
        replace(ENVELOPED, initialization_vector=b"v" * 15),
    ],
)
def test_a_ciphertext_no_cipher_gives_is_refused(enveloped: Enveloped) -> None:
    with pytest.raises(DecodeError):
        key_package.decode_enveloped(key_package.encode_enveloped(enveloped))


def test_what_is_too_long_is_refused_unread() -> None:
    for decode in (key_package.decode_enveloped, key_package.decode_signed, key_package.decode_package):
        with pytest.raises(DecodeError) as refusal:
            decode(bytes(key_package.LIMIT_BYTES + 1))
        assert refusal.value.code == "key_package_too_large"


@pytest.mark.parametrize("package", [b"", der.sequence(), der.sequence(der.integer(0)), der.sequence(der.sequence())])
def test_a_package_without_a_key_is_refused(package: bytes) -> None:
    with pytest.raises(DecodeError):
        key_package.decode_package(package)
    with pytest.raises(ValueError, match="at least one"):
        key_package.encode_package([])


MESSAGES = (encode(signed()), bare(encode(signed())), key_package.encode_enveloped(ENVELOPED), PACKAGE)


@given(
    message=st.sampled_from(MESSAGES),
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=4),
    length=st.integers(0, 2**10),
    cut=st.booleans(),
)
def test_any_bytes_are_read_or_refused(
    message: bytes, changes: list[tuple[int, int]], length: int, *, cut: bool
) -> None:
    octets = bytearray(message)
    for position, value in changes:
        octets[position % len(octets)] = value
    data = bytes(octets[:length] if cut else octets)
    for decode in (key_package.decode_enveloped, key_package.decode_signed, key_package.decode_package):
        with contextlib.suppress(DecodeError):
            decode(data)


@given(st.binary(max_size=512))
def test_bytes_of_nobody_are_refused(data: bytes) -> None:
    for decode in (key_package.decode_enveloped, key_package.decode_signed):
        with pytest.raises(DecodeError):
            decode(data)
