# SPDX-License-Identifier: Apache-2.0
import contextlib
import hashlib

import pytest
from asn1crypto import cms, core
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError, TooLarge
from etymon.wire import ber, der, pkcs10, scep, scep_envelope, scep_message
from etymon.wire.cms import decode_certificates, encode_certificates
from etymon.wire.scep import CertificateIdentity, FailInfo, PKIStatus
from etymon.wire.scep_message import Attributes

NAME = der.sequence(der.encode(der.SET, der.sequence(der.object_identifier("2.5.4.3"), der.encode(0x0C, b"signer"))))
RSA = der.sequence(der.object_identifier(scep_message.RSA_ENCRYPTION), der.null())
KEY = der.sequence(RSA, der.bit_string(b"no key, and nobody looks"))
VALIDITY = der.sequence(der.encode(der.UTC_TIME, b"260101000000Z"), der.encode(der.UTC_TIME, b"270101000000Z"))
CERTIFICATE = der.sequence(
    der.sequence(der.explicit(0, der.integer(2)), der.integer(77), RSA, NAME, VALIDITY, NAME, KEY),
    RSA,
    der.bit_string(b"signature"),
)
IDENTITY = der.sequence(NAME, der.integer(77))
USUAL = Attributes("19", b"0A1B", b"n" * 16)
ANSWER = Attributes("3", b"0A1B", b"m" * 16, b"n" * 16, PKIStatus.FAILURE, FailInfo.BAD_TIME, "too late: späte Sache")


def message(
    attributes: Attributes = USUAL, content: bytes = b"an envelope", digest: str = scep_message.SHA256
) -> bytes:
    signed = scep_message.signed_attributes(attributes, content, digest)
    return scep_message.encode(
        signed, content, digest=digest, signature=b"s" * 256, signer=IDENTITY, carried=CERTIFICATE
    )


@pytest.mark.parametrize("attributes", [USUAL, ANSWER], ids=["request", "answer"])
@pytest.mark.parametrize("content", [b"an envelope", b""])
@pytest.mark.parametrize("digest", [scep_message.SHA256, scep_message.SHA512])
def test_a_message_is_read_as_it_was_written(attributes: Attributes, content: bytes, digest: str) -> None:
    read = scep_message.decode(message(attributes, content, digest))
    assert (read.attributes, read.content, read.digest, read.is_whole) == (attributes, content, digest, True)
    assert read.signed == scep_message.signed_attributes(attributes, content, digest)
    assert (read.signature, read.algorithm) == (b"s" * 256, scep_message.RSA_ENCRYPTION)
    assert (read.signer.der, read.signer.issuer, read.signer.public_key) == (CERTIFICATE, NAME, KEY)


def test_another_codec_reads_the_message() -> None:
    read = cms.ContentInfo.load(message(ANSWER), strict=True)["content"]
    (info,) = read["signer_infos"]
    values = {each["type"].dotted: each["values"][0] for each in info["signed_attrs"]}
    assert values[scep_message.MESSAGE_DIGEST].native == hashlib.sha256(b"an envelope").digest()
    assert info["sid"].chosen["serial_number"].native == 77
    assert info["signature_algorithm"]["algorithm"].native == "rsassa_pkcs1v15"


def test_a_message_with_another_digest_is_not_whole() -> None:
    assert not scep_message.decode(message().replace(b"an envelope", b"an Envelope")).is_whole
    unknown = message().replace(
        der.object_identifier(scep_message.SHA256), der.object_identifier("2.16.840.1.101.3.4.2.9")
    )
    assert not scep_message.decode(unknown).is_whole


@pytest.mark.parametrize(
    "missing",
    [scep_message.MESSAGE_TYPE, scep_message.TRANSACTION_ID, scep_message.SENDER_NONCE, scep_message.CONTENT_TYPE],
)
def test_what_an_answer_needs_may_not_be_missing(missing: str) -> None:
    other = der.object_identifier(missing)
    with pytest.raises(DecodeError, match="pki_message_malformed"):
        scep_message.decode(message().replace(other, other[:-1] + b"\x7f"))


@pytest.mark.parametrize(
    "attributes",
    [
        Attributes("19", b"", b"n" * 16),
        Attributes("19", b"t" * 256, b"n" * 16),
        Attributes("19", b"t", b"n" * 65),
        Attributes("190", b"t", b"n" * 16),
        Attributes("19", b"t", b"n", b"r" * 65),
    ],
    ids=str,
)
def test_attributes_out_of_bounds_are_refused(attributes: Attributes) -> None:
    with pytest.raises(DecodeError):
        scep_message.decode(message(attributes))


def test_a_message_too_long_is_not_looked_at() -> None:
    with pytest.raises(TooLarge):
        scep_message.decode(bytes(scep.MESSAGE_LIMIT_BYTES + 1))


@given(st.integers(0, len(message()) - 1), st.integers(1, 255))
def test_an_altered_message_is_refused_or_read(position: int, change: int) -> None:
    data = bytearray(message())
    data[position] ^= change
    with contextlib.suppress(DecodeError):
        scep_message.decode(bytes(data))


@given(st.binary(max_size=2048))
def test_any_bytes_are_refused_in_order(data: bytes) -> None:
    for decode in (scep_message.decode, scep_envelope.decode, pkcs10.decode, scep.decode_certificate_identity):
        with contextlib.suppress(DecodeError):
            decode(data)


# ---- envelopes


def test_an_envelope_is_read_as_it_was_written() -> None:
    encoded = scep_envelope.encode(
        recipient=IDENTITY,
        encrypted_key=b"k" * 256,
        cipher="2.16.840.1.101.3.4.1.42",
        vector=b"v" * 16,
        ciphertext=b"c" * 64,
    )
    read = scep_envelope.decode(encoded)
    (recipient,) = read.recipients
    assert (recipient.serial_number, recipient.key_identifier, recipient.encrypted_key) == (77, None, b"k" * 256)
    assert (read.initialization_vector, read.ciphertext) == (b"v" * 16, b"c" * 64)
    other = cms.ContentInfo.load(encoded, strict=True)["content"]
    assert other["encrypted_content_info"]["encrypted_content"].native == b"c" * 64


# ---- BER


def test_der_stays_as_it_is() -> None:
    assert ber.definite(message()) == message()
    assert ber.definite(CERTIFICATE) == CERTIFICATE


@given(
    st.recursive(
        st.binary(max_size=40).map(der.octet_string),
        lambda inner: st.lists(inner, max_size=3).map(lambda each: der.sequence(*each)),
        max_leaves=8,
    )
)
def test_indefinite_lengths_become_what_der_would_have_been(encoded: bytes) -> None:
    assert ber.definite(indefinite(encoded)) == encoded


def indefinite(encoded: bytes) -> bytes:
    """Return a DER element as BER: every length indefinite, every string in two pieces."""
    (element,) = der.elements(encoded)
    if element.tag == der.OCTET_STRING:
        half = len(element.content) // 2
        pieces = der.octet_string(element.content[:half]) + der.octet_string(element.content[half:])
        return b"\x24\x80" + pieces + b"\x00\x00"
    return b"\x30\x80" + b"".join(indefinite(each.encoded) for each in der.elements(element.content)) + b"\x00\x00"


def test_another_codec_agrees_about_pieces() -> None:
    pieces = b"\x24\x80\x04\x02ab\x24\x80\x04\x03cde\x00\x00\x00\x00"
    assert ber.definite(pieces) == der.octet_string(core.OctetString.load(pieces).native) == der.octet_string(b"abcde")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "ber_cut_off"),
        (b"\x30", "ber_cut_off"),
        (b"\x30\x80", "ber_cut_off"),
        (b"\x30\x80\x00", "ber_cut_off"),
        (b"\x30\x05\x04\x01", "ber_cut_off"),
        (b"\x30\x89" + b"\x00" * 9, "ber_cut_off"),
        (b"\x04\x80\x00\x00", "ber_length"),
        (b"\x30\x00\x00", "ber_trailing_bytes"),
        (b"\x1f\x81\x01\x00", "ber_tag"),
        (b"\x30\x02\x00\x00", "ber_tag"),
        (b"\x23\x02\x03\x00", "ber_string"),
        (b"\x30\x80" * (ber.DEEPEST + 2), "ber_too_deep"),
        (der.sequence(der.null() * ber.MOST_ELEMENTS), "ber_too_deep"),
        (b"\x24\x02\x05\x00", "der_unexpected_tag"),
    ],
)
def test_what_is_no_ber_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(DecodeError, match=code):
        ber.definite(data)


@given(st.binary(max_size=2048))
def test_any_bytes_become_der_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        once = ber.definite(data)
        assert ber.definite(once) == once


# ---- what travels in addresses and envelopes


@pytest.mark.parametrize(
    ("query", "octets"),
    [
        ("operation=PKIOperation&message=+/+/", b"\xfb\xff\xbf"),
        ("message=%2B%2F%2b%2f", b"\xfb\xff\xbf"),
        ("message=%20/%20/&x=y", b"\xfb\xff\xbf"),
        ("message=QQ%3D%3D", b"A"),
        ("message=QQ", b"A"),
        ("message=Q%0D%0AQ%3d=", b"A"),
    ],
)
def test_a_message_in_an_address_is_read(query: str, octets: bytes) -> None:
    assert scep.decode_address_message(query) == octets


@pytest.mark.parametrize(
    "query", ["", "message=", "message", "xmessage=QQ", "message=Q", "message=QQ%00", "message=Q-_Q"]
)
def test_an_address_without_a_message_is_refused(query: str) -> None:
    with pytest.raises(DecodeError):
        scep.decode_address_message(query)


def test_a_certificate_is_named_and_a_crl_is_carried() -> None:
    identity = CertificateIdentity(NAME, 77)
    assert scep.decode_certificate_identity(scep.encode_certificate_identity(identity)) == identity
    carried = encode_certificates([], revocation_list=der.sequence())
    assert decode_certificates(carried) == ()
    assert len(cms.ContentInfo.load(carried)["content"]["crls"]) == 1
    for wrong in (b"", der.sequence(), der.sequence(NAME), der.sequence(NAME, NAME)):
        with pytest.raises(DecodeError):
            scep.decode_certificate_identity(wrong)
    with pytest.raises(DecodeError):
        scep.decode_issuer_and_subject(der.sequence(NAME, der.integer(1)))


def test_capabilities_differ_where_old_clients_are_let_in() -> None:
    assert b"DES3" not in scep.encode_capabilities(legacy=False)
    assert scep.encode_capabilities(legacy=True).split() == [
        *scep.encode_capabilities(legacy=False).split(),
        b"DES3",
        b"SHA-1",
    ]


# ---- certification requests


def request(*attributes: bytes, subject: bytes = NAME) -> bytes:
    information = der.sequence(der.integer(0), subject, KEY, der.encode(0xA0, b"".join(attributes)))
    return der.sequence(information, RSA, der.bit_string(b"s"))


def attribute(oid: str, value: bytes) -> bytes:
    return der.sequence(der.object_identifier(oid), der.encode(der.SET, value))


def extension(oid: str, value: bytes) -> bytes:
    inner = der.sequence(der.object_identifier(oid), der.octet_string(value))
    return attribute("1.2.840.113549.1.9.14", der.sequence(inner))


@pytest.mark.parametrize(
    ("tag", "octets", "text"),
    [
        (0x0C, "grün".encode(), "grün"),
        (0x13, b"plain", "plain"),
        (0x16, b"a@b", "a@b"),
        (0x14, b"gr\xfcn", "grün"),
        (0x1E, "grün".encode("utf-16-be"), "grün"),
        (0x1C, "grün".encode("utf-32-be"), "grün"),
        (0x13, b"x" * 5000, "x" * 5000),
    ],
)
def test_a_challenge_password_of_any_string_type_and_length_is_read(tag: int, octets: bytes, text: str) -> None:
    read = pkcs10.decode(request(attribute(pkcs10.CHALLENGE_PASSWORD, der.encode(tag, octets))))
    assert read.challenge_password is not None
    assert read.challenge_password.reveal() == text
    assert text not in repr(read)


@pytest.mark.parametrize(
    "value", [der.encode(0x13, b"\xff"), der.encode(0x0C, b"a\x00"), der.integer(1), b"", der.null() * 2]
)
def test_a_challenge_password_that_is_no_text_is_refused(value: bytes) -> None:
    with pytest.raises(DecodeError):
        pkcs10.decode(request(attribute(pkcs10.CHALLENGE_PASSWORD, value)))


def test_what_comes_twice_is_refused() -> None:
    password = attribute(pkcs10.CHALLENGE_PASSWORD, der.encode(0x13, b"a"))
    usage = extension(pkcs10.KEY_USAGE, b"\x03\x02\x05\xa0")
    for twice in (password, usage):
        with pytest.raises(DecodeError):
            pkcs10.decode(request(twice, twice))


def test_requested_extensions_are_read() -> None:
    names = der.sequence(
        der.encode(0x81, b"a@b.example"),
        der.encode(0x82, b"host"),
        der.encode(0x86, b"urn:x"),
        der.encode(0x87, b"\x7f\x00\x00\x01"),
        der.encode(0xA0, der.object_identifier("1.3.6.1.4.1.311.20.2.3") + der.explicit(0, der.encode(0x0C, b"a@b"))),
    )
    read = pkcs10.decode(request(extension(pkcs10.SUBJECT_ALTERNATIVE_NAME, names)))
    assert [(name.kind, name.value) for name in pkcs10.alternative_names(read)] == [
        ("mail", "a@b.example"),
        ("dns", "host"),
        ("uri", "urn:x"),
        ("ip", "7f000001"),
        ("1.3.6.1.4.1.311.20.2.3", "a@b"),
    ]
    assert pkcs10.key_usage(pkcs10.decode(request(extension(pkcs10.KEY_USAGE, b"\x03\x02\x05\xa0")))) == {0, 2}
    purposes = der.sequence(der.object_identifier("1.3.6.1.5.5.7.3.2"))
    assert pkcs10.extended_key_usage(pkcs10.decode(request(extension(pkcs10.EXTENDED_KEY_USAGE, purposes)))) == {
        "1.3.6.1.5.5.7.3.2"
    }
    empty = pkcs10.decode(request())
    assert not pkcs10.alternative_names(empty)
    assert not pkcs10.key_usage(empty)
    assert not pkcs10.extended_key_usage(empty)


@pytest.mark.parametrize(
    "names",
    [
        der.sequence(der.encode(0xA4, NAME)),
        der.sequence(der.encode(0x82, b"\xff")),
        der.sequence(*[der.encode(0x82, b"a")] * 65),
        b"\x30",
    ],
)
def test_alternative_names_that_cannot_be_read_are_refused(names: bytes) -> None:
    read = pkcs10.decode(request(extension(pkcs10.SUBJECT_ALTERNATIVE_NAME, names)))
    with pytest.raises(DecodeError):
        pkcs10.alternative_names(read)


def test_a_request_too_long_is_not_looked_at() -> None:
    with pytest.raises(DecodeError, match="csr_too_large"):
        pkcs10.decode(bytes(pkcs10.LIMIT_BYTES + 1))
