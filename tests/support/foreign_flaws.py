# SPDX-License-Identifier: Apache-2.0
"""What no profile allows in somebody else's certificate: the lint, a certificate, and its parts that are wrong."""

from datetime import timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from etymon.ca.template import Content
from etymon.wire import der
from support.flawed_certificates import NOW, STATUS_URL, UUID_NAME, content, point, policies, purposes, san, usage

FEDERAL = "2.16.840.1.101.3.2.1.3"
DERIVED = content()
CARD = content("piv-authentication")
SIGNATURE = content("derived-digital-signature")
PRIVATE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2"), b"\x04\x00")
NOT_LISTED = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.16"), der.sequence())
INTERIM = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.16.840.1.101.3.6.9.1"), der.boolean(value=False))
OTHER_URI = x509.UniformResourceIdentifier("https://agency.example/alice")
LDAP = "ldap://directory.agency.example/cn=CA?certificateRevocationList"

NO_KEY_IDENTIFIER = (x509.AuthorityKeyIdentifier(None, None, None), False)


def federal(*last_arcs: int) -> tuple[x509.CertificatePolicies, bool]:
    return policies(*(f"{FEDERAL}.{arc}" for arc in last_arcs))


FOREIGN_FLAWS: list[tuple[str, Content, dict[str, object]]] = [
    ("policies_known", DERIVED, {"CertificatePolicies": federal(40, 41)}),
    ("policies_known", DERIVED, {"CertificatePolicies": federal(13)}),
    ("policies_known", DERIVED, {"CertificatePolicies": federal(40, 13)}),
    ("policies_known", DERIVED, {"CertificatePolicies": policies("2.16.840.1.101.3.2.1.48.109")}),
    ("policies_known", content("derived-piv-authentication-hardware"), {"CertificatePolicies": federal(40)}),
    ("policies_known", content("card-authentication"), {"CertificatePolicies": policies(f"{FEDERAL}.17", "2.5.6.7")}),
    ("policies_as_configured", DERIVED, {"CertificatePolicies": policies(f"{FEDERAL}.40", "2.5.29.32.0")}),
    ("extended_key_usage_as_profiled", DERIVED, {"ExtendedKeyUsage": purposes(ExtendedKeyUsageOID.SMARTCARD_LOGON)}),
    ("extended_key_usage_as_profiled", CARD, {"ExtendedKeyUsage": purposes(ExtendedKeyUsageOID.CLIENT_AUTH)}),
    (
        "extended_key_usage_as_profiled",
        DERIVED,
        {"ExtendedKeyUsage": purposes(ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION)},
    ),
    ("extensions_listed", DERIVED, {"ExtendedKeyUsage": None}),
    ("extensions_listed", DERIVED, {"not_listed": (NOT_LISTED, False)}),
    ("extensions_listed", DERIVED, {"private": (PRIVATE, True)}),
    ("extensions_listed", SIGNATURE, {"interim": (INTERIM, False)}),
    ("extensions_listed", DERIVED, {"CertificatePolicies": None}),
    ("alternative_names_as_profiled", DERIVED, {"SubjectAlternativeName": san(OTHER_URI)}),
    ("alternative_names_as_profiled", CARD, {"SubjectAlternativeName": san(UUID_NAME)}),
    ("alternative_names_as_profiled", content("card-authentication"), {"SubjectAlternativeName": san(UUID_NAME)}),
    ("key_usage_as_profiled", DERIVED, {"KeyUsage": usage(digital_signature=True, key_encipherment=True)}),
    ("key_usage_as_profiled", content("device-identity"), {"KeyUsage": usage(content_commitment=True)}),
    ("distribution_points_plain", DERIVED, {"CRLDistributionPoints": point(LDAP)}),
    ("validity_within_profile", DERIVED, {"not_after": NOW + timedelta(days=1097)}),
    (
        "distribution_points_plain",
        DERIVED,
        {"CRLDistributionPoints": point(LDAP, None, f"{STATUS_URL}/derived.crl")},
    ),
    (
        "key_identifiers_fit",
        DERIVED,
        {"AuthorityKeyIdentifier": NO_KEY_IDENTIFIER},
    ),
]
