# SPDX-License-Identifier: Apache-2.0
"""DER, OCSP, CRL and certs-only CMS: judged by OpenSSL and the certificate library, bounded, and never crashing."""

import contextlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509 import ocsp as judge
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.wire import cms, der, ocsp
from support import declared_pki

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = declared_pki.root(NOW)
LEAF = ROOT.issue(NOW).certificate
DER = serialization.Encoding.DER


@pytest.mark.parametrize(
    ("dotted", "encoded"),
    [
        ("2.5.29.15", "0603551d0f"),
        ("1.2.840.113549.1.1.11", "06092a864886f70d01010b"),
        ("2.999.1.40", "06048837 0128"),
        ("2.16.840.1.101.3.6.6", "0608608648016503 0606"),
    ],
)
def test_object_identifiers_are_written_as_x690_has_them(dotted: str, encoded: str) -> None:
    octets = bytes.fromhex(encoded.replace(" ", ""))
    assert der.object_identifier(dotted) == octets
    assert der.to_object_identifier(der.only(octets, der.OBJECT_IDENTIFIER)) == dotted


@given(st.integers(-(2**170), 2**170))
def test_integers_survive_in_their_shortest_form(value: int) -> None:
    encoded = der.integer(value)
    assert der.to_integer(der.only(encoded, der.INTEGER)) == value
    content = encoded[2:]
    assert len(content) == 1 or not (content[0] in {0, 255} and (content[0] ^ content[1]) < 128)


@given(st.binary(max_size=70_000))
def test_any_content_survives(content: bytes) -> None:
    encoded = der.octet_string(content)
    assert der.only(encoded, der.OCTET_STRING).content == content


def test_dates_change_their_form_with_2050() -> None:
    assert der.time(datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)) == b"\x17\x0d491231235959Z"
    assert der.time(datetime(2050, 1, 1, tzinfo=UTC)) == b"\x18\x0f20500101000000Z"


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "30",  # no length
        "3005",  # cut off
        "3080",  # indefinite
        "308101ff",  # length not shortest
        "30820001ff",
        "3085000000000100",
        "1f8101ff",  # long tag
        "300100",  # cut off inside
        "300000",  # trailing
    ],
)
def test_what_is_not_der_is_refused(hexadecimal: str) -> None:
    with pytest.raises(DecodeError):
        der.elements(der.only(bytes.fromhex(hexadecimal), der.SEQUENCE).content)


@pytest.mark.parametrize("content", ["", "0001", "ff80", "ffff"])
def test_integers_not_in_their_shortest_form_are_refused(content: str) -> None:
    octets = bytes.fromhex(content)
    with pytest.raises(DecodeError):
        der.to_integer(der.Element(der.INTEGER, octets, b""))


@pytest.mark.parametrize("content", ["", "80", "2a80", "2a8001", "2a86"])
def test_object_identifiers_not_in_their_shortest_form_are_refused(content: str) -> None:
    with pytest.raises(DecodeError):
        der.to_object_identifier(der.Element(der.OBJECT_IDENTIFIER, bytes.fromhex(content), b""))


def request_for(nonce: bytes | None = None, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
    builder = judge.OCSPRequestBuilder().add_certificate(LEAF, ROOT.certificate, algorithm or hashes.SHA256())
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(DER)


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384()])  # noqa: S303 - clients send it
def test_a_request_is_read_as_the_certificate_library_reads_it(algorithm: hashes.HashAlgorithm) -> None:
    data = request_for(b"\x07" * 32, algorithm)
    expected = judge.load_der_ocsp_request(data)
    found = ocsp.decode_request(data)
    assert found.nonce == b"\x07" * 32
    (asked,) = found.certificates
    assert (asked.serial, asked.issuer_name_hash, asked.issuer_key_hash) == (
        expected.serial_number,
        expected.issuer_name_hash,
        expected.issuer_key_hash,
    )
    assert asked.encoded in data


def test_a_request_without_a_nonce_has_none() -> None:
    assert ocsp.decode_request(request_for()).nonce is None


@pytest.mark.parametrize(("length", "read"), [(0, False), (1, True), (128, True), (129, False)])
def test_a_nonce_has_1_to_128_octets(length: int, read: bool) -> None:  # noqa: FBT001 - a parameter of the table
    outcome = contextlib.nullcontext() if read else pytest.raises(DecodeError)
    with outcome:
        assert ocsp.decode_request(request_for(bytes(length))).nonce == bytes(length)


def nested(*requests: bytes, extensions: bytes = b"", head: bytes = b"") -> bytes:
    return der.sequence(der.sequence(head, der.sequence(*requests), extensions))


def certificate_id(serial: int = 7) -> bytes:
    algorithm = der.sequence(der.object_identifier("1.3.14.3.2.26"), der.null())
    return der.sequence(algorithm, der.octet_string(b"n" * 20), der.octet_string(b"k" * 20), der.integer(serial))


def one(serial: int = 7, extensions: bytes = b"") -> bytes:
    return der.sequence(certificate_id(serial), extensions)


def extension(dotted: str, *, critical: bool) -> bytes:
    flag = der.boolean(value=True) if critical else b""
    return der.explicit(0, der.sequence(der.sequence(der.object_identifier(dotted), flag, der.octet_string(b""))))


def test_several_certificates_a_requestor_and_a_version_are_read() -> None:
    name = der.encode(0xA1, der.encode(0x82, b"client.example"))
    version = der.explicit(0, der.integer(0))
    found = ocsp.decode_request(nested(one(1), one(2, extension("2.999.1", critical=False)), head=version + name))
    assert [asked.serial for asked in found.certificates] == [1, 2]


@pytest.mark.parametrize(
    "data",
    [
        nested(),
        nested(*[one()] * 17),
        nested(one(), head=der.explicit(0, der.integer(1))),
        nested(one(7, extension("2.999.1", critical=True))),
        nested(one(), extensions=der.explicit(2, der.sequence(*[der.sequence(der.object_identifier("2.999.1"))] * 2))),
        nested(der.sequence(der.sequence(der.integer(1)))),
        nested(one()) + b"\0",
        der.sequence(),
        der.sequence(b"", b"", der.integer(1), der.integer(1), der.integer(1)),
        bytes(ocsp.REQUEST_LIMIT_BYTES + 1),
    ],
)
def test_a_request_that_cannot_be_honoured_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        ocsp.decode_request(data)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_request_or_a_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        ocsp.decode_request(data)


_VALID_REQUEST = request_for(b"\x07" * 32)


@given(st.integers(0, len(_VALID_REQUEST) - 1), st.integers(1, 255))
def test_a_changed_request_is_read_or_refused_and_never_crashes(position: int, change: int) -> None:
    data = bytearray(_VALID_REQUEST)
    data[position] ^= change
    with contextlib.suppress(DecodeError):
        found = ocsp.decode_request(bytes(data))
        assert 1 <= len(found.certificates) <= ocsp.MOST_CERTIFICATES


def test_an_unsigned_failure_is_read_by_the_certificate_library() -> None:
    for status in ocsp.ResponseStatus:
        assert judge.load_der_ocsp_response(ocsp.encode_failure(status)).response_status.value == status


def test_certificates_travel_in_their_order() -> None:
    ders = [ROOT.certificate.public_bytes(DER), LEAF.public_bytes(DER)]
    message = cms.encode_certificates(ders)
    assert set(pkcs7.load_der_pkcs7_certificates(message)) == {ROOT.certificate, LEAF}
    assert list(cms.decode_certificates(message)) == ders
    assert cms.decode_certificates(cms.encode_certificates([])) == ()


def test_the_certificate_librarys_message_is_read() -> None:
    message = pkcs7.serialize_certificates([ROOT.certificate, LEAF], DER)
    assert set(cms.decode_certificates(message)) == {ROOT.certificate.public_bytes(DER), LEAF.public_bytes(DER)}


def test_a_message_with_a_signer_or_content_is_not_certs_only() -> None:
    plain = cms.encode_certificates([LEAF.public_bytes(DER)])
    signed = pkcs7.PKCS7SignatureBuilder().set_data(b"text").add_signer(LEAF, _leaf_key(), hashes.SHA256())
    for message in (
        signed.sign(DER, []),
        plain + b"\0",
        plain[:-4],
        plain.replace(der.object_identifier(cms.DATA), der.object_identifier("1.2.840.113549.1.7.3")),
        plain.replace(der.object_identifier(cms.SIGNED_DATA), der.object_identifier("1.2.840.113549.1.7.9")),
        bytes(cms.LIMIT_BYTES + 1),
    ):
        with pytest.raises(DecodeError):
            cms.decode_certificates(message)


def _leaf_key() -> EllipticCurvePrivateKey:
    return declared_pki.key()


@given(st.binary(max_size=600))
def test_any_bytes_are_certs_only_or_a_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        cms.decode_certificates(data)
