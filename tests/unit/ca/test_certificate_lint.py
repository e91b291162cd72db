# SPDX-License-Identifier: Apache-2.0
"""Certificates of others are judged by all that a profile allows; what ours write is one choice of it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from etymon.ca import template
from etymon.ca.certificate_lint import FOREIGN_LINTS, Standard, judge, judge_all, known_codes
from etymon.ca.profiles import PROFILES, profile_named
from etymon.ca.purposes import PKINIT_CLIENT
from etymon.ca.template import Content
from etymon.pki.certificate import to_der
from etymon.wire import der
from support.ca_site import pem
from support.flawed_certificates import (
    AUTHORITY,
    NOW,
    OTHER_KEY,
    STATUS_URL,
    UUID_NAME,
    content,
    name,
    point,
    policies,
    purposes,
    rebuilt,
    san,
    usage,
)
from support.foreign_flaws import (
    CARD,
    DERIVED,
    FEDERAL,
    FOREIGN_FLAWS,
    INTERIM,
    LDAP,
    OTHER_URI,
    PRIVATE,
    SIGNATURE,
    federal,
)

NO_AUTHORITY = x509.BasicConstraints(ca=False, path_length=None)


def codes(made: Content, certificate: x509.Certificate | None = None, **terms: object) -> set[str]:
    """Return what is found in a certificate without knowing its issuer."""
    standard = replace(Standard(made.profile), **terms)  # type: ignore[arg-type]  # fields of the standard
    return {found.code for found in judge(certificate or template.draft(made), standard).findings}


@pytest.mark.parametrize(
    "profile", [name for name, found in PROFILES.items() if found.minted and not found.is_authority]
)
def test_what_is_written_here_keeps_the_profile_as_anybody_reads_it(profile: str) -> None:
    assert codes(content(profile)) == set()


ALLOWED: list[tuple[str, Content, dict[str, object]]] = [
    ("federal policy", DERIVED, {"CertificatePolicies": federal(40)}),
    ("in hardware", DERIVED, {"CertificatePolicies": federal(41)}),
    (
        "an agency's own policy beside",
        DERIVED,
        {"CertificatePolicies": policies(f"{FEDERAL}.40", "2.16.840.1.114027.1")},
    ),
    ("several, for signatures", SIGNATURE, {"CertificatePolicies": federal(6, 7)}),
    ("no card logon", DERIVED, {"ExtendedKeyUsage": purposes(ExtendedKeyUsageOID.CLIENT_AUTH)}),
    (
        "Kerberos",
        DERIVED,
        {"ExtendedKeyUsage": purposes(ExtendedKeyUsageOID.CLIENT_AUTH, x509.ObjectIdentifier(PKINIT_CLIENT))},
    ),
    ("says it is no authority", DERIVED, {"basic": (NO_AUTHORITY, False)}),
    ("further names", DERIVED, {"SubjectAlternativeName": san(UUID_NAME, OTHER_URI, x509.DNSName("a.example"))}),
    ("the holder's UUID too", CARD, {"SubjectAlternativeName": None}),
    ("a private extension", DERIVED, {"private": (PRIVATE, False)}),
    ("the interim indicator", DERIVED, {"interim": (INTERIM, False)}),
    ("LDAP after HTTP", DERIVED, {"CRLDistributionPoints": point(f"{STATUS_URL}/crl/derived.crl", None, LDAP)}),
    ("three calendar years", DERIVED, {"not_after": (NOW - timedelta(minutes=5)).replace(year=NOW.year + 3)}),
]


@pytest.mark.parametrize(("what", "made", "parts"), ALLOWED, ids=[row[0] for row in ALLOWED])
def test_what_a_profile_allows_is_no_finding(what: str, made: Content, parts: dict[str, object]) -> None:
    if what == "the holder's UUID too":
        names = template.draft(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        parts = {"SubjectAlternativeName": san(*names, UUID_NAME)}
    assert codes(made, rebuilt(made, **parts)) == set()


@pytest.mark.parametrize(
    ("code", "made", "parts"), FOREIGN_FLAWS, ids=[f"{row[0]}-{i}" for i, row in enumerate(FOREIGN_FLAWS)]
)
def test_what_a_profile_does_not_allow_is_found(code: str, made: Content, parts: dict[str, object]) -> None:
    assert code in codes(made, rebuilt(made, **parts))


def test_device_certificates_may_have_other_uses_than_ours() -> None:
    identity = content("device-identity")
    parts = {
        "ExtendedKeyUsage": purposes(ExtendedKeyUsageOID.SERVER_AUTH),
        "SubjectAlternativeName": san(x509.DNSName("printer.agency.example")),
        "CertificatePolicies": federal(8),
    }
    device = Standard(profile_named("device"))
    server = rebuilt(identity, KeyUsage=usage(key_agreement=True), **parts)
    assert judge(server, device).findings == ()
    enciphering = rebuilt(identity, KeyUsage=usage(key_encipherment=True), **parts)
    assert {found.code for found in judge(enciphering, device).findings} == {"key_usage_as_profiled"}, "it is elliptic"


def test_policies_of_an_organisation_count_when_they_are_named() -> None:
    own = rebuilt(DERIVED, CertificatePolicies=policies("1.3.6.1.4.1.32473.1.40"))
    assert codes(DERIVED, own) == {"policies_known"}
    assert codes(DERIVED, own, policies=("1.3.6.1.4.1.32473.1.40",)) == set()


def test_an_issuer_that_is_given_is_judged_with_the_certificate() -> None:
    drafted = template.draft(DERIVED)  # signed by nobody that counts
    assert codes(DERIVED, drafted, issuers=[AUTHORITY]) == {"signature_is_issuers"}
    assert codes(DERIVED, rebuilt(DERIVED, issuer=name((NameOID.COMMON_NAME, "X"))), issuers=[AUTHORITY]) == {
        "issuer_not_given"
    }
    moved = rebuilt(DERIVED, not_after=AUTHORITY.not_valid_after_utc + timedelta(days=1))
    assert "validity_within_issuers" in codes(DERIVED, moved, issuers=[AUTHORITY])


def test_a_self_signed_authority_is_its_own_issuer() -> None:
    profile = profile_named("root-ca")
    names = name((NameOID.COMMON_NAME, "Root"), (NameOID.ORGANIZATION_NAME, "Agency"))
    bare = replace(content("tls-server"), profile=profile, issuer=None, policies=())
    made = replace(bare, alternative=replace(bare.alternative, dns=()), repository_url=f"{STATUS_URL}/c/root.p7c")
    drafted = rebuilt(replace(made, public_key=OTHER_KEY.public_key()), subject=names, issuer=names)
    assert codes(made, drafted) == set()
    assert codes(made, rebuilt(made, subject=names, issuer=names)) == {"signature_is_issuers"}
    assert codes(made, rebuilt(made, issuer=name((NameOID.COMMON_NAME, "Another")))) >= {"issuer_name_equal"}


def test_a_moment_may_be_asked_about() -> None:
    assert codes(DERIVED, at=NOW) == set()
    assert codes(DERIVED, at=NOW + timedelta(days=4 * 365)) == {"not_valid_at"}


def test_each_certificate_of_a_file_gets_an_answer_and_an_unreadable_one_a_reason() -> None:
    good, flawed = template.draft(DERIVED), rebuilt(DERIVED, serial=77)
    answers = list(judge_all(pem(good, flawed), Standard(DERIVED.profile)))
    assert [(answer.valid, len(answer.findings)) for answer in answers] == [(True, 0), (True, 1)], "advice is no error"
    mixed = to_der(good) + der.sequence(der.integer(1))
    answers = list(judge_all(mixed, Standard(DERIVED.profile)))
    assert [answer.valid for answer in answers] == [True, False]
    assert answers[1].unreadable is not None


def test_a_named_lint_can_be_excepted() -> None:
    flawed = rebuilt(DERIVED, serial=77)
    assert codes(DERIVED, flawed) == {"serial_number_is_random"}
    assert codes(DERIVED, flawed, exceptions=frozenset({"serial_number_is_random"})) == set()
    assert known_codes() == {rule.code for rule in FOREIGN_LINTS}


def test_no_bytes_of_an_extension_make_a_lint_fall_over() -> None:
    for last_arc in (9, 15, 17, 19, 31, 32, 35, 37):
        broken = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"2.5.29.{last_arc}"), b"\x30\x03\x02\x01")
        kinds = "KeyUsage SubjectAlternativeName CRLDistributionPoints CertificatePolicies AuthorityKeyIdentifier"
        parts = dict.fromkeys([*kinds.split(), "ExtendedKeyUsage"])
        assert codes(DERIVED, rebuilt(DERIVED, **parts, broken=(broken, False)))
