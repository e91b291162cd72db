# SPDX-License-Identifier: Apache-2.0
"""Reading certificates and trust entries."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError, Malformed
from etymon.pki import certificate as readers
from etymon.pki import pin
from etymon.pki.certificate import LIMIT_BYTES, load, load_anchors, load_many, to_der
from etymon.pki.path_validation import validate
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.wire import fascn
from support import declared_pki
from support.ca_site import pem
from support.declared_pki import CARD_POLICY, CARD_UUID, AllGood

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = declared_pki.root(NOW)
WORKED_EXAMPLE = bytes.fromhex("D0439458210C2C19A0846D83685A1082108CE73984108CA3FC")
"""The FASC-N printed in the PACS implementation guidance: agency 0032, system 0001, credential 092446."""


def certificate(*names: x509.GeneralName, common_name: str = "Cardholder") -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


def test_a_card_is_read_as_its_issuer_wrote_it() -> None:
    found = certificate(
        x509.OtherName(x509.ObjectIdentifier("2.16.840.1.101.3.6.6"), b"\x04\x19" + WORKED_EXAMPLE),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x09al@x.test"),
        x509.RFC822Name("al@agency.example"),
        x509.UniformResourceIdentifier(f"urn:uuid:{CARD_UUID}"),
        x509.UniformResourceIdentifier("urn:uuid:00000000-0000-4000-8000-000000000000"),
    )
    assert readers.fascn_octets(found) == WORKED_EXAMPLE
    assert readers.fascn(found) == fascn.decode(WORKED_EXAMPLE)
    assert readers.upn(found) == "al@x.test"
    assert readers.mail(found) == ("al@agency.example",)
    assert readers.card_uuid(found) == CARD_UUID
    assert readers.common_name(found) == "Cardholder"
    assert readers.thumbprint(found) == found.fingerprint(hashes.SHA256())


def test_a_certificate_without_names_has_none() -> None:
    found = certificate()
    assert (readers.fascn(found), readers.upn(found), readers.card_uuid(found), readers.mail(found)) == (
        None,
        None,
        None,
        (),
    )
    assert (readers.policies(found), readers.alternative_names(found)) == (frozenset(), ())


@pytest.mark.parametrize(
    ("common_name", "edipi"),
    [
        ("DOE.JOHN.Q.1234567890", "1234567890"),
        ("DOE.JOHN.1234567890", "1234567890"),
        ("DOE.JOHN.Q.JR.1234567890", "1234567890"),
        ("DOE.JOHN.Q.123456789", None),
        ("DOE.JOHN.Q.12345678901", None),
        ("1234567890", None),
        ("DOE.1234567890.JOHN", None),
    ],
)
def test_an_edipi_is_read_from_the_right(common_name: str, edipi: str | None) -> None:
    assert readers.edipi(certificate(common_name=common_name)) == edipi


FASCN_TYPE = x509.ObjectIdentifier("2.16.840.1.101.3.6.6")
UPN_TYPE = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


@pytest.mark.parametrize(
    "name",
    [
        x509.OtherName(FASCN_TYPE, b"\x0c\x19" + WORKED_EXAMPLE),
        x509.OtherName(FASCN_TYPE, b"\x04\x18" + WORKED_EXAMPLE[1:]),
        x509.OtherName(UPN_TYPE, b"\x0c\x01\xff"),
        x509.UniformResourceIdentifier("urn:uuid:not-a-uuid"),
    ],
)
def test_a_name_that_cannot_be_read_is_an_error_and_not_nothing(name: x509.GeneralName) -> None:
    found = certificate(name)
    with pytest.raises((Malformed, DecodeError)):  # noqa: PT012 - one of the three readers is the name's
        readers.fascn(found)
        readers.upn(found)
        readers.card_uuid(found)


def test_a_pin_is_the_hash_that_openssl_prints_as_base64url() -> None:
    assert len(pin.spki_pin(ROOT.certificate)) == 43
    assert readers.spki_sha256(ROOT.certificate) == readers.spki_sha256(ROOT.key.public_key())


def test_certificates_are_read_from_pem_and_der_and_from_many() -> None:
    one, two = certificate(), certificate(common_name="Other")
    assert load(pem(one)) == load(to_der(one)) == one
    text = b"subject=CN = Cardholder\n" + pem(one) + b"\r\n" + pem(two).replace(b"\n", b"\r\n")
    assert load_many(text) == (one, two)
    assert load_many(to_der(one) + to_der(two)) == (one, two)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----",
        b"\x30\x03\x02\x01\x01",
        bytes(2_000_000),
        b"-----BEGIN CERTIFICATE-----".ljust(LIMIT_BYTES, b"\n"),  # in time that grows with its length alone
    ],
)
def test_what_is_no_certificate_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        load_many(data)


def test_two_certificates_are_not_one() -> None:
    with pytest.raises(Malformed):
        load(pem(certificate(), certificate()))


@given(st.binary(max_size=2000))
def test_any_bytes_are_certificates_or_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        load_many(data)


def test_an_anchor_with_parameters_where_none_belong_still_anchors() -> None:
    odd = declared_pki.with_null_parameters(ROOT)
    with pytest.raises(Malformed):
        load(odd)
    text = b"-----BEGIN CERTIFICATE-----\n" + _base64(odd) + b"-----END CERTIFICATE-----\n"
    anchors, unreadable = load_anchors(text + pem(certificate()))
    assert (len(anchors), unreadable) == (2, 0)
    assert anchors[0].subject == ROOT.name
    entry = TrustEntry("cards", TrustKind.CARD, anchors, frozenset({CARD_POLICY}), IdentifierKind.UUID)
    assert validate(ROOT.issue(NOW).certificate, entry, at=NOW, status=AllGood()).certificates[-1] == anchors[0]


def test_one_unreadable_anchor_does_not_stop_the_others() -> None:
    anchors, unreadable = load_anchors(b"\x30\x03\x02\x01\x01" + to_der(ROOT.certificate))
    assert (anchors, unreadable) == ((ROOT.certificate,), 1)


def _base64(data: bytes) -> bytes:

    return base64.encodebytes(data)


ENTRY = TrustEntry(
    name="agency-cards",
    kind=TrustKind.CARD,
    anchors=(ROOT.certificate,),
    intermediates=(ROOT.issue(NOW, "CA", authority=True).certificate,),
    policies=frozenset({CARD_POLICY, "2.16.840.1.101.3.2.1.3.13"}),
    identifier=IdentifierKind.UPN,
    upn_suffixes=("agency.example", "mil"),
    status_hosts=frozenset({"ocsp.agency.example", "127.0.0.1:8080", "[::1]:80"}),
)


def test_an_entry_survives_its_document() -> None:
    assert TrustEntry.from_document(ENTRY.to_document()) == ENTRY
    assert hash(TrustEntry.from_document(ENTRY.to_document())) == hash(ENTRY)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Agency Cards"},
        {"name": ""},
        {"kind": "person"},
        {"anchors": []},
        {"anchors": ["not base64"]},
        {"anchors": "text"},
        {"anchors": [1]},
        {"policies": []},
        {"policies": ["2.5.29.32.0"]},
        {"policies": ["id-fpki-common-authentication"]},
        {"upn_suffixes": []},
        {"upn_suffixes": ["@mil"]},
        {"upn_suffixes": ["Agency.example"]},
        {"upn_suffixes": [""]},
        {"identifier": "name"},
        {"status_hosts": ["http://ocsp.agency.example"]},
        {"status_hosts": ["OCSP.agency.example"]},
        {"status_hosts": ["ocsp.agency.example/path"]},
    ],
)
def test_an_entry_that_would_trust_too_much_or_nothing_is_malformed(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        TrustEntry.from_document({**ENTRY.to_document(), **change})


def test_an_entry_without_a_field_is_malformed() -> None:
    for name in ("name", "kind", "anchors", "policies", "identifier"):
        document: dict[str, object] = dict(ENTRY.to_document())
        del document[name]
        with pytest.raises(Malformed):
            TrustEntry.from_document(document)
