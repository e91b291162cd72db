# SPDX-License-Identifier: Apache-2.0
"""What the OCSP responder answers, read by the certificate library (RFC 6960, Common profiles v2.2)."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from etymon.ca import ceremony
from etymon.ca import ocsp as responding
from etymon.ca.model import IssuedCertificate
from etymon.kernel.entropy import SystemEntropy
from etymon.pki.algorithms import KeyType, key_type
from support.ca_site import ORGANIZATION, CASite
from support.clock import TurnedClock
from support.databases import SQLiteDatabases


@pytest.fixture(scope="module")
def site(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CASite]:
    """One for all: a responder changes nothing, and what it answers does not depend on the engine."""
    wanted = [new for new in ceremony.deployment(ORGANIZATION) if not new.name.startswith("tls")]
    hierarchy = (*wanted, *ceremony.card_issuer(ORGANIZATION, KeyType.P384))
    database = sqlite_databases.migrated()
    yield CASite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("authorities"), hierarchy=hierarchy)
    database.close()


def answered(
    site: CASite,
    asked: x509.Certificate,
    issuer: x509.Certificate,
    *,
    algorithm: hashes.HashAlgorithm | None = None,
    nonce: bytes | None = None,
    authority: str = "derived",
) -> ocsp.OCSPResponse:
    builder = ocsp.OCSPRequestBuilder().add_certificate(asked, issuer, algorithm or hashes.SHA256())
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    request = builder.build().public_bytes(serialization.Encoding.DER)
    return ocsp.load_der_ocsp_response(responding.answer(site.deps, authority, request).der)


def of(site: CASite, issued: IssuedCertificate, **options: object) -> ocsp.OCSPResponse:
    return answered(site, issued.certificate, issued.chain[0], **options)  # type: ignore[arg-type]  # the tests name options


def test_a_responder_signs_as_strongly_as_its_authority(site: CASite) -> None:
    for profile, authority, kind in (
        ("derived-piv-authentication", "derived", KeyType.P256),
        ("piv-authentication", "card", KeyType.P384),
    ):
        (responder,) = of(site, site.issue(profile), authority=authority).certificates
        assert key_type(responder.public_key()) is kind


def test_an_answer_brings_the_responders_certificate_of_the_right_kind(site: CASite) -> None:
    issued = site.issue()
    (responder,) = of(site, issued).certificates
    responder.verify_directly_issued_by(issued.chain[0])
    purposes = responder.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert (list(purposes.value), purposes.critical) == ([ExtendedKeyUsageOID.OCSP_SIGNING], True)
    assert responder.not_valid_after_utc - responder.not_valid_before_utc < timedelta(days=120)
    assert x509.OCSPNoCheck() in [found.value for found in responder.extensions]


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384()], ids=lambda found: found.name)  # noqa: S303 - what most clients send
def test_a_question_is_answered_under_its_own_hash(site: CASite, algorithm: hashes.HashAlgorithm) -> None:
    answer = of(site, site.issue(), algorithm=algorithm)
    assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert answer.hash_algorithm.name == algorithm.name


def test_a_nonce_comes_back_and_nothing_is_critical(site: CASite) -> None:
    issued = site.issue()
    answer = of(site, issued, nonce=bytes(range(32)))
    assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == bytes(range(32))
    assert not any(found.critical for found in (*answer.extensions, *answer.single_extensions))
    assert not list(of(site, issued).extensions)


def test_what_was_never_issued_or_is_another_authoritys_is_unknown(site: CASite) -> None:
    issued, device = site.issue(), site.issue("device-identity")
    assert of(site, device).certificate_status is ocsp.OCSPCertStatus.UNKNOWN
    good = of(site, issued)
    named = (good.issuer_name_hash, good.issuer_key_hash)
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(*named, 0x1234, hashes.SHA256())
    request = builder.build().public_bytes(serialization.Encoding.DER)
    never = ocsp.load_der_ocsp_response(responding.answer(site.deps, "derived", request).der)
    assert (never.serial_number, never.certificate_status) == (0x1234, ocsp.OCSPCertStatus.UNKNOWN)
