# SPDX-License-Identifier: Apache-2.0
"""One flaw for every lint, and more where a rule has several halves: what is wrong, in what, and how it is made.

Those of names are in `name_flaws`.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from etymon.ca import template
from etymon.ca.lints import PUBLIC_HOST_EXCEPTION
from etymon.ca.model import NO_NAMES, SubjectNames, Validity
from etymon.ca.profiles import profile_named
from etymon.ca.template import Content
from etymon.pki import key_policy
from etymon.pki.algorithms import SignatureAlgorithm
from etymon.pki.certificate import load, to_der
from etymon.wire import der
from support.flawed_certificates import (
    AUTHORITY,
    CA_ISSUERS_METHOD,
    CA_ISSUERS_URL,
    CA_KEY,
    ISSUER,
    LEAF_KEY,
    NOW,
    OCSP_METHOD,
    OCSP_URL,
    OTHER_KEY,
    POLICIES,
    REPOSITORY_METHOD,
    STATUS_URL,
    access,
    authority_key,
    content,
    key_identifier,
    name,
    p521,
    point,
    policies,
    purposes,
    rebuilt,
    repository,
    rsa_public,
    usage,
    written_over,
)

FEDERAL = "2.16.840.1.101.3.2.1.3"
DERIVED = content()
SERVER = content("tls-server")
CARD = content("card-authentication")
SIGNATURE = content("derived-digital-signature")
ENDPOINT = content("managed-endpoint")
CONTENT_SIGNER = content("content-signing")
RESPONDER = content("ocsp-responder")
DERIVED_PURPOSES = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SMARTCARD_LOGON)
PRIVATE_EXTENSION = (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.5"), b"\x05\x00"), False)
COMPRESSED = der.sequence(
    der.sequence(der.object_identifier("1.2.840.10045.2.1"), der.object_identifier("1.2.840.10045.3.1.7")),
    der.bit_string(LEAF_KEY.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)),
)
COMMON_NAME = der.object_identifier("2.5.4.3")


def extension(oid: str, value: bytes, *, critical: bool = False) -> tuple[x509.UnrecognizedExtension, bool]:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical


def authority(profile: str = "issuing-ca") -> Content:
    subject = SubjectNames(common_name="Below", organization="Example Agency")
    made = replace(content("tls-server"), profile=profile_named(profile), subject=subject, alternative=NO_NAMES)
    return replace(
        made,
        policies=POLICIES,
        validity=Validity.starting(NOW, timedelta(days=100)),
        repository_url=f"{STATUS_URL}/certificates/below-issued.p7c",
    )


def other_name(kind: x509.ObjectIdentifier, value: bytes) -> x509.OtherName:
    return x509.OtherName(kind, value)


def qualified(*qualifiers: str | x509.UserNotice) -> tuple[x509.CertificatePolicies, bool]:
    policy = x509.PolicyInformation(x509.ObjectIdentifier(DERIVED.policies[0]), list(qualifiers))
    return x509.CertificatePolicies([policy]), False


def subject_of(tag: int, value: bytes) -> bytes:
    return der.sequence(der.encode(der.SET, der.sequence(COMMON_NAME, der.encode(tag, value))))


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def citizenship(letters: bytes) -> bytes:
    name = der.object_identifier("1.3.6.1.5.5.7.9.4")
    return der.sequence(der.sequence(name, der.encode(der.SET, der.encode(0x13, letters))))


def validity(begins: datetime, ends: datetime) -> bytes:
    times = (moment.strftime("%y%m%d%H%M%SZ").encode() for moment in (begins, ends))
    return der.sequence(*(der.encode(der.UTC_TIME, moment) for moment in times))


def generalized_validity() -> bytes:
    written = DERIVED.validity
    return der.sequence(der.generalized_time(written.not_before), der.generalized_time(written.not_after))


def two_algorithms() -> x509.Certificate:
    """Return a certificate that names one algorithm inside what is signed and another beside it."""
    parts = der.elements(der.only(to_der(template.draft(DERIVED)), der.SEQUENCE).content)
    return load(der.sequence(parts[0].encoded, SignatureAlgorithm.ECDSA_SHA384.identifier(), parts[2].encoded))


Flaw = tuple[str, Content, Callable[[], x509.Certificate]]
FIELD_FLAWS: list[Flaw] = [
    ("version_is_3", DERIVED, lambda: written_over(DERIVED, version=b"", extensions=b"")),
    ("serial_number_positive", DERIVED, lambda: written_over(DERIVED, serial=der.integer(1 << 167))),
    ("serial_number_is_random", DERIVED, lambda: rebuilt(DERIVED, serial=77)),
    ("signature_algorithm_allowed", DERIVED, lambda: rebuilt(DERIVED, hash=hashes.SHA224())),
    ("signature_algorithm_allowed", DERIVED, two_algorithms),
    (
        "signature_algorithm_allowed",
        content("piv-i-authentication"),
        lambda: rebuilt(content("piv-i-authentication"), hash=hashes.SHA512()),
    ),
    ("subject_key_allowed", DERIVED, lambda: rebuilt(DERIVED, public_key=p521())),
    ("subject_key_allowed", DERIVED, lambda: rebuilt(DERIVED, public_key=rsa_public(4096))),
    ("subject_key_plainly_encoded", DERIVED, lambda: written_over(DERIVED, key=COMPRESSED)),
    ("subject_key_plainly_encoded", DERIVED, lambda: rebuilt(DERIVED, public_key=p521())),
    (
        "rsa_2048_ends_with_2030",
        CONTENT_SIGNER,
        lambda: rebuilt(
            CONTENT_SIGNER, public_key=rsa_public(2048), not_after=key_policy.RSA_2048_ENDS + timedelta(seconds=1)
        ),
    ),
    ("times_in_prescribed_form", DERIVED, lambda: written_over(DERIVED, validity=generalized_validity())),
    ("validity_within_profile", DERIVED, lambda: rebuilt(DERIVED, not_after=NOW + timedelta(days=1096))),
    ("validity_within_profile", DERIVED, lambda: written_over(DERIVED, validity=validity(NOW, NOW))),
    ("validity_within_profile", SERVER, lambda: rebuilt(SERVER, not_after=NOW + timedelta(days=366))),
    ("validity_within_profile", RESPONDER, lambda: rebuilt(RESPONDER, not_after=NOW + timedelta(days=121))),
    (
        "validity_within_issuers",
        DERIVED,
        lambda: rebuilt(DERIVED, not_after=AUTHORITY.not_valid_after_utc + timedelta(seconds=1)),
    ),
    ("name_strings_allowed", DERIVED, lambda: written_over(DERIVED, subject=subject_of(0x1E, b"\0A\0l"))),
    ("name_strings_allowed", DERIVED, lambda: written_over(DERIVED, subject=subject_of(0x14, b"Al"))),
    ("issuer_name_equal", DERIVED, lambda: rebuilt(DERIVED, issuer=name((NameOID.COMMON_NAME, "Issuing CA")))),
    ("extensions_listed", DERIVED, lambda: rebuilt(DERIVED, private=PRIVATE_EXTENSION)),
    ("extensions_listed", DERIVED, lambda: rebuilt(DERIVED, CRLDistributionPoints=None)),
    ("extensions_listed", DERIVED, lambda: rebuilt(DERIVED, KeyUsage=(usage(digital_signature=True)[0], False))),
    (
        "extensions_listed",
        CARD,
        lambda: rebuilt(CARD, basic=(x509.BasicConstraints(ca=False, path_length=None), False)),
    ),
    ("extensions_listed", RESPONDER, lambda: rebuilt(RESPONDER, OCSPNoCheck=None)),
    ("key_identifiers_fit", DERIVED, lambda: rebuilt(DERIVED, SubjectKeyIdentifier=key_identifier(OTHER_KEY))),
    ("key_identifiers_fit", DERIVED, lambda: rebuilt(DERIVED, AuthorityKeyIdentifier=authority_key(OTHER_KEY))),
    ("key_identifiers_fit", DERIVED, lambda: rebuilt(DERIVED, AuthorityKeyIdentifier=authority_key(CA_KEY, serial=1))),
    ("key_usage_as_profiled", DERIVED, lambda: rebuilt(DERIVED, KeyUsage=usage(content_commitment=True))),
    (
        "key_usage_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, KeyUsage=usage(digital_signature=True, data_encipherment=True)),
    ),
    (
        "key_usage_as_profiled",
        SIGNATURE,
        lambda: rebuilt(SIGNATURE, KeyUsage=usage(digital_signature=True, content_commitment=True, key_agreement=True)),
    ),
    (
        "extended_key_usage_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, ExtendedKeyUsage=purposes(ExtendedKeyUsageOID.CLIENT_AUTH)),
    ),
    (
        "extended_key_usage_as_profiled",
        DERIVED,
        lambda: rebuilt(
            DERIVED,
            ExtendedKeyUsage=purposes(*DERIVED_PURPOSES, ExtendedKeyUsageOID.CLIENT_AUTH),
        ),
    ),
    (
        "purposes_not_prohibited",
        DERIVED,
        lambda: rebuilt(DERIVED, ExtendedKeyUsage=purposes(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)),
    ),
    (
        "purposes_not_prohibited",
        DERIVED,
        lambda: rebuilt(DERIVED, ExtendedKeyUsage=purposes(ExtendedKeyUsageOID.CODE_SIGNING)),
    ),
    ("policies_as_configured", DERIVED, lambda: rebuilt(DERIVED, CertificatePolicies=policies("2.999.1.6"))),
    ("policies_as_configured", DERIVED, lambda: rebuilt(DERIVED, CertificatePolicies=policies(*POLICIES[:2]))),
    (
        "policies_as_configured",
        DERIVED,
        lambda: rebuilt(DERIVED, CertificatePolicies=policies(*DERIVED.policies, *DERIVED.policies)),
    ),
    ("policies_among_issuers", DERIVED, lambda: rebuilt(DERIVED, CertificatePolicies=policies("2.999.1.999"))),
    ("policies_among_issuers", RESPONDER, lambda: rebuilt(RESPONDER, CertificatePolicies=policies("2.999.1.6"))),
    ("hardware_is_not_claimed", DERIVED, lambda: rebuilt(DERIVED, CertificatePolicies=policies(f"{FEDERAL}.41"))),
    ("hardware_is_not_claimed", SIGNATURE, lambda: rebuilt(SIGNATURE, CertificatePolicies=policies(f"{FEDERAL}.16"))),
    ("hardware_is_not_claimed", SIGNATURE, lambda: rebuilt(SIGNATURE, CertificatePolicies=policies(f"{FEDERAL}.47"))),
    (
        "policy_qualifiers_are_addresses",
        DERIVED,
        lambda: rebuilt(DERIVED, CertificatePolicies=qualified(x509.UserNotice(None, "read this"))),
    ),
    ("distribution_points_plain", DERIVED, lambda: rebuilt(DERIVED, CRLDistributionPoints=point(f"{STATUS_URL}/x"))),
    (
        "distribution_points_plain",
        DERIVED,
        lambda: rebuilt(
            DERIVED,
            CRLDistributionPoints=point(ISSUER.crl_url, frozenset({x509.ReasonFlags.key_compromise})),
        ),
    ),
    (
        "information_access_complete",
        DERIVED,
        lambda: rebuilt(DERIVED, AuthorityInformationAccess=access((CA_ISSUERS_METHOD, CA_ISSUERS_URL))),
    ),
    (
        "information_access_complete",
        DERIVED,
        lambda: rebuilt(DERIVED, AuthorityInformationAccess=access((OCSP_METHOD, OCSP_URL))),
    ),
    (
        "information_access_complete",
        DERIVED,
        lambda: rebuilt(
            DERIVED,
            AuthorityInformationAccess=access(
                (CA_ISSUERS_METHOD, CA_ISSUERS_URL), (OCSP_METHOD, OCSP_URL), (REPOSITORY_METHOD, CA_ISSUERS_URL)
            ),
        ),
    ),
    (
        "information_access_complete",
        RESPONDER,
        lambda: rebuilt(
            RESPONDER,
            AuthorityInformationAccess=access((CA_ISSUERS_METHOD, CA_ISSUERS_URL), (OCSP_METHOD, OCSP_URL)),
        ),
    ),
    (
        "repository_plain",
        authority("intermediate-ca"),
        lambda: rebuilt(
            authority("intermediate-ca"), SubjectInformationAccess=repository("ldap://status.agency.example/below")
        ),
    ),
    (
        "uri_scheme_is_http",
        DERIVED,
        lambda: rebuilt(DERIVED, CRLDistributionPoints=point("https://status.agency.example/a.crl")),
    ),
    (
        PUBLIC_HOST_EXCEPTION,
        DERIVED,
        lambda: rebuilt(DERIVED, CRLDistributionPoints=point("http://127.0.0.1/derived.crl")),
    ),
    (
        PUBLIC_HOST_EXCEPTION,
        DERIVED,
        lambda: rebuilt(DERIVED, CRLDistributionPoints=point("http://status.agency.example:8080/derived.crl")),
    ),
    (
        "basic_constraints_as_profiled",
        authority(),
        lambda: rebuilt(authority(), BasicConstraints=(x509.BasicConstraints(ca=True, path_length=None), True)),
    ),
    (
        "basic_constraints_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, basic=(x509.BasicConstraints(ca=True, path_length=None), True)),
    ),
    (
        "authority_constraints_as_profiled",
        authority(),
        lambda: rebuilt(authority(), inhibit=(x509.InhibitAnyPolicy(1), True)),
    ),
    (
        "authority_constraints_as_profiled",
        authority(),
        lambda: rebuilt(authority(), constraints=(x509.PolicyConstraints(2, None), True)),
    ),
    (
        "interim_indicator_well_formed",
        DERIVED,
        lambda: rebuilt(DERIVED, interim=extension("2.16.840.1.101.3.6.9.1", b"\x02\x01\x01")),
    ),
    (
        "citizenship_well_formed",
        DERIVED,
        lambda: rebuilt(DERIVED, attributes=extension("2.5.29.9", citizenship(b"USA"))),
    ),
]
