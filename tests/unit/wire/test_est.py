# SPDX-License-Identifier: Apache-2.0
"""EST as bytes: base64 bodies, multipart answers, CSR attributes, the name of the transport key."""

import base64
import contextlib
import email
import email.policy
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError, TooLarge
from etymon.wire import der, est
from etymon.wire.est import Part

RFC7030_EXAMPLE = base64.b64decode(
    "MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw=="
)
"""CsrAttrs of RFC 7030 §4.5.2: a P-384 key, and three things Etymon does not know."""


def test_a_body_travels_in_one_line() -> None:
    assert est.encode_body(bytes(300)).count(b"\n") == 0


@pytest.mark.parametrize("body", [b"AAEC\r\nAwQ=", b"AAECAwQ=\n", b"  AAEC AwQ=\t\r\n", b"AAECAwQ="])
def test_a_body_is_read_with_and_without_line_breaks(body: bytes) -> None:
    assert est.decode_body(body) == bytes(range(5))


@pytest.mark.parametrize("body", [b"", b"\r\n", b"AAE", b"AA-_", b"-----BEGIN CERTIFICATE REQUEST-----", b"AAEC\x00"])
def test_a_body_that_is_not_base64_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        est.decode_body(body)


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        est.decode_body(b"A" * (est.REQUEST_LIMIT_BYTES + 1))


@given(st.binary(min_size=1, max_size=400))
def test_every_body_reads_back(octets: bytes) -> None:
    assert est.decode_body(est.encode_body(octets)) == octets


@given(st.binary(max_size=400))
def test_any_bytes_are_a_body_or_a_decode_error(octets: bytes) -> None:
    with contextlib.suppress(DecodeError):
        est.decode_body(octets)


PARTS = (Part(est.SERVER_GENERATED_KEY, bytes(range(200))), Part(est.CERTS_ONLY, b"certificate"))


def test_python_s_mail_parser_reads_our_parts() -> None:
    content_type, body = est.encode_parts(PARTS, "b0undary")
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP
    )
    assert not message.defects
    read = [
        (part.get_content_type(), part.get_param("smime-type"), part.get_payload(decode=True))
        for part in message.iter_parts()
    ]
    assert read == [
        ("application/pkcs7-mime", "server-generated-key", bytes(range(200))),
        ("application/pkcs7-mime", "certs-only", b"certificate"),
    ]


def test_our_parts_read_back() -> None:
    assert est.decode_parts(*est.encode_parts(PARTS, "=_b0undary")) == PARTS


def test_parts_that_python_s_mail_package_wrote_are_read() -> None:
    message = MIMEMultipart("mixed", policy=email.policy.HTTP)
    for subtype, octets in (("pkcs8", b"key" * 50), ("pkcs7-mime", b"certificate" * 20)):
        part = MIMENonMultipart("application", subtype, policy=email.policy.HTTP)
        part["Content-Transfer-Encoding"] = "base64"
        part.set_payload(base64.encodebytes(octets).decode())
        message.attach(part)
    message.preamble = "a preamble"
    head, _, body = message.as_bytes().partition(b"\r\n\r\n")
    content_type = email.message_from_bytes(head, policy=email.policy.HTTP)["Content-Type"]
    read = [part.octets for part in est.decode_parts(content_type, body)]
    assert read == [b"key" * 50, b"certificate" * 20]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/pkcs8", b"--b\r\nContent-Type: a/b\r\n\r\nAAAA\r\n--b--\r\n"),
        ("multipart/mixed", b"--b\r\nContent-Type: a/b\r\n\r\nAAAA\r\n--b--\r\n"),
        ('multipart/mixed; boundary=""', b"--\r\nContent-Type: a/b\r\n\r\nAAAA\r\n----\r\n"),
        ("multipart/mixed; boundary=b", b""),
        ("multipart/mixed; boundary=b", b"--b--\r\n"),
        ("multipart/mixed; boundary=b", b"--b\r\nContent-Type: a/b\r\n\r\nAAAA\r\n"),
        ("multipart/mixed; boundary=b", b"--b\r\nContent-Type: a/b\r\n\r\n!\r\n--b--\r\n"),
        ("multipart/mixed; boundary=b", b"--b\r\nX-Nothing: a\r\n\r\nAAAA\r\n--b--\r\n"),
        ("multipart/mixed; boundary=b", b"--b\r\nContent-Type\r\n\r\nAAAA\r\n--b--\r\n"),
        ("multipart/mixed; boundary=b", b"--b x\r\nContent-Type: a/b\r\n\r\nAAAA\r\n--b--\r\n"),
        ("multipart/mixed; boundary=b", b"--b\r\nContent-Type: a/b\r\n\r\nAAAA\r\n" * 9 + b"--b--\r\n"),
    ],
)
def test_parts_that_are_not_whole_are_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(DecodeError):
        est.decode_parts(content_type, body)


def test_an_answer_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge):
        est.decode_parts("multipart/mixed; boundary=b", bytes(est.ANSWER_LIMIT_BYTES + 1))


@pytest.mark.parametrize("boundary", ["", "a" * 71, "blank ", "new\nline"])
def test_a_boundary_that_is_none_is_not_used(boundary: str) -> None:
    with pytest.raises(ValueError, match="boundary"):
        est.encode_parts(PARTS, boundary)


@given(st.text(max_size=80), st.binary(max_size=400))
def test_any_answer_is_parts_or_a_decode_error(content_type: str, body: bytes) -> None:
    for kind in (content_type, "multipart/mixed; boundary=b"):
        with contextlib.suppress(DecodeError):
            est.decode_parts(kind, body)


def test_csr_attributes_name_key_types() -> None:
    """The bytes are put together by hand from RFC 7030 §4.5.2 and the object identifiers of RFC 5480 and RFC 8017."""
    encoded = est.encode_csr_attributes(["p256", "rsa3072"], decrypt_key_identifier=True)
    assert encoded == bytes.fromhex(
        "3037"
        "301506072a8648ce3d0201310a06082a8648ce3d030107"
        "301106092a864886f70d010101310402020c00"
        "060b2a864886f70d0109100236"
    )
    assert est.decode_csr_attributes(encoded) == (("p256", "rsa3072"), (est.ASYMMETRIC_DECRYPT_KEY_IDENTIFIER,))


def test_the_example_of_the_standard_is_read() -> None:
    assert est.decode_csr_attributes(RFC7030_EXAMPLE) == (
        ("p384",),
        ("1.2.840.113549.1.9.7", "1.2.840.113549.1.9.14", "1.2.840.10045.4.3.3"),
    )


def test_too_many_csr_attributes_are_refused() -> None:
    with pytest.raises(DecodeError):
        est.decode_csr_attributes(der.sequence(*[der.object_identifier("1.2.3")] * 65))


@given(st.binary(max_size=200))
def test_any_bytes_are_csr_attributes_or_a_decode_error(octets: bytes) -> None:
    with contextlib.suppress(DecodeError):
        est.decode_csr_attributes(octets)


def request(*attributes: bytes) -> bytes:
    """Return a request as PKCS #10 has it; its signature is nothing, because nothing here judges it."""
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    information, *rest = der.elements(der.only(made.public_bytes(Encoding.DER), der.SEQUENCE).content)
    version, subject, key, _ = der.elements(information.content)
    head = [version.encoded, subject.encoded, key.encoded, der.encode(0xA0, b"".join(attributes))]
    return der.sequence(der.sequence(*head), *[element.encoded for element in rest])


def test_a_request_names_its_transport_key() -> None:
    csr = request(est.decrypt_key_identifier_attribute(b"\x01" * 20))
    assert est.decrypt_key_identifier(csr) == b"\x01" * 20
    (attribute,) = x509.load_der_x509_csr(csr).attributes
    assert (attribute.oid.dotted_string, attribute.value) == (est.ASYMMETRIC_DECRYPT_KEY_IDENTIFIER, b"\x01" * 20)


def test_a_request_without_the_attribute_names_none() -> None:
    assert est.decrypt_key_identifier(request()) is None
    other = der.sequence(der.object_identifier("1.2.840.113549.1.9.7"), der.encode(der.SET, der.octet_string(b"x")))
    assert est.decrypt_key_identifier(request(other)) is None


@pytest.mark.parametrize(
    "csr",
    [
        request(*[est.decrypt_key_identifier_attribute(b"\x01" * 20)] * 2),
        request(
            der.sequence(
                der.object_identifier(est.ASYMMETRIC_DECRYPT_KEY_IDENTIFIER),
                der.encode(der.SET, der.octet_string(b"1") + der.octet_string(b"2")),
            )
        ),
        request(
            der.sequence(der.object_identifier(est.ASYMMETRIC_DECRYPT_KEY_IDENTIFIER), der.encode(der.SET, der.null()))
        ),
        request() + b"\x00",
        der.sequence(der.null()),
        der.sequence(der.sequence(der.null()), der.null(), der.null()),
    ],
)
def test_a_request_that_names_it_badly_is_refused(csr: bytes) -> None:
    with pytest.raises(DecodeError):
        est.decrypt_key_identifier(csr)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_decode_error(octets: bytes) -> None:
    with contextlib.suppress(DecodeError):
        est.decrypt_key_identifier(octets)
