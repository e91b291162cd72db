# SPDX-License-Identifier: Apache-2.0
"""Every lint passes a certificate that follows its profile and finds the one thing that is wrong in another."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import NameOID

from etymon.ca import lints
from etymon.ca.lint import Linted, findings, require_clean
from etymon.ca.lints import LINTS, PUBLIC_HOST_EXCEPTION
from etymon.ca.profiles import PROFILES, profile_named
from etymon.ca.template import Content
from etymon.kernel.errors import Unavailable
from etymon.pki.algorithms import KeyType, SignatureAlgorithm
from etymon.pki.certificate import to_der
from support.ca_site import rsa_key
from support.certificate_flaws import DERIVED, FIELD_FLAWS, authority, two_algorithms
from support.flawed_certificates import (
    AUTHORITY,
    ISSUER,
    LEAF_KEY,
    NOW,
    content,
    linted,
    name,
    rebuilt,
)
from support.name_flaws import NAME_FLAWS

FAILING = [*FIELD_FLAWS, *NAME_FLAWS]

FOREIGN_ONLY = frozenset({"policies_known"})
"""Lints that have nothing to say about what is written here; test_certificate_lint.py has their flaws."""


def _found_by(code: str, made: Content, certificate: x509.Certificate | None = None) -> set[str]:
    rule = next(found for found in LINTS if found.code == code)
    return {finding.code for finding in findings(linted(made, certificate), [rule])}


@pytest.mark.parametrize(
    "profile", [name for name, found in PROFILES.items() if found.minted and not found.is_authority]
)
@pytest.mark.parametrize("algorithm", list(SignatureAlgorithm))
def test_what_is_built_from_a_profile_passes_every_lint(profile: str, algorithm: SignatureAlgorithm) -> None:
    made = replace(content(profile), algorithm=algorithm)
    if algorithm.value in made.profile.forbidden_signatures:
        assert {found.code for found in findings(linted(made), LINTS)} == {"signature_algorithm_allowed"}
    else:
        assert findings(linted(made), LINTS) == ()


@pytest.mark.parametrize("profile", ["issuing-ca", "intermediate-ca"])
def test_an_authority_passes_every_lint(profile: str) -> None:
    assert findings(linted(authority(profile)), LINTS) == ()
    root = x509.load_der_x509_certificate(to_der(AUTHORITY))
    assert findings(Linted(root, profile_named("root-ca"), None, ()), LINTS) != ()  # it is not self-signed


@pytest.mark.parametrize(("code", "made", "flawed"), FAILING, ids=[f"{row[0]}-{i}" for i, row in enumerate(FAILING)])
def test_a_flaw_is_found_by_the_lint_that_is_for_it(
    code: str, made: Content, flawed: Callable[[], x509.Certificate]
) -> None:
    assert _found_by(code, made) == set()
    assert _found_by(code, made, flawed()) == {code}


def test_every_lint_has_a_failing_certificate_and_a_source() -> None:
    assert {rule.code for rule in LINTS} - FOREIGN_ONLY == {code for code, _, _ in FAILING}
    assert all(rule.source and rule.requirement for rule in LINTS)


def test_parameters_in_an_ecdsa_algorithm_are_found() -> None:
    """The wrong form of the right algorithm, put into both places of an issued certificate."""
    rule = next(found for found in LINTS if found.code == "signature_algorithm_allowed")
    assert [found.detail for found in findings(linted(DERIVED, two_algorithms()), [rule])] == [
        "the two algorithm identifiers differ"
    ]


@pytest.mark.parametrize(("hash_", "allowed"), [(hashes.SHA256(), True), (hashes.SHA384(), False)])
def test_pss_is_allowed_with_sha_256_only(hash_: hashes.SHA256 | hashes.SHA384, *, allowed: bool) -> None:
    key = rsa_key(KeyType.RSA2048)
    scheme = padding.PSS(padding.MGF1(hash_), hash_.digest_size)
    built = (
        x509.CertificateBuilder()
        .subject_name(name((NameOID.COMMON_NAME, "Al")))
        .issuer_name(name((NameOID.COMMON_NAME, "Al")))
        .public_key(LEAF_KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hash_, rsa_padding=scheme)
    )
    assert _found_by("signature_algorithm_allowed", DERIVED, built) == (
        set() if allowed else {"signature_algorithm_allowed"}
    )


def test_a_finding_stops_the_signature_and_names_the_lint() -> None:
    flawed = linted(DERIVED, rebuilt(DERIVED, serial=77))
    with pytest.raises(Unavailable) as caught:
        require_clean(flawed, LINTS)
    assert (caught.value.code, "serial_number_is_random" in caught.value.detail) == ("lint_failed", True)
    require_clean(flawed, LINTS, frozenset({"serial_number_is_random"}))


def test_an_extension_that_cannot_be_read_is_a_finding() -> None:
    broken = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.37"), b"\x04\x00")
    flawed = rebuilt(DERIVED, ExtendedKeyUsage=None, broken=(broken, False))
    assert "extensions_listed" in {finding.code for finding in findings(linted(DERIVED, flawed), LINTS)}


def test_the_loopback_is_excepted_by_name_only() -> None:
    local = replace(DERIVED, issuer=replace(ISSUER, status_url="http://127.0.0.1:8080"))
    assert {finding.code for finding in findings(linted(local), LINTS)} == {PUBLIC_HOST_EXCEPTION}
    assert findings(linted(local), LINTS, lints.PUBLIC_HOST_EXCEPTION.split()) == ()


def test_key_usage_for_encryption_follows_the_kind_of_key() -> None:
    profile = profile_named("derived-key-management")
    assert {bit.value for bit in profile.key_usage_for(KeyType.P256)} == {"key_agreement"}
    assert {bit.value for bit in profile.key_usage_for(KeyType.RSA3072)} == {"key_encipherment"}
