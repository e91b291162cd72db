# SPDX-License-Identifier: Apache-2.0
"""Every lint passes a certificate that follows its profile and finds the one thing that is wrong in another."""

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from etymon.ca import lints, template
from etymon.ca.lint import Linted, findings, require_clean
from etymon.ca.lints import LINTS, PUBLIC_HOST_EXCEPTION
from etymon.ca.model import NO_NAMES, SubjectNames, Validity
from etymon.ca.profiles import EXAMPLE_POLICY_OIDS, PROFILES, Presence, profile_named
from etymon.ca.template import Content, Issuer
from etymon.kernel.errors import Unavailable
from etymon.pki.algorithms import KeyType, SignatureAlgorithm
from etymon.pki.certificate import SECURITY_IDENTIFIER_TAG, load, to_der
from etymon.wire import der
from support.ca_site import names_for, rsa_key, subject_for

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERIAL = 0x5F3B0B5C9D0E4F6A8B7C6D5E4F3A2B1C
STATUS_URL = "http://status.agency.example"
POLICIES = tuple(EXAMPLE_POLICY_OIDS.values())
CA_KEY = ec.generate_private_key(ec.SECP256R1())
LEAF_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa_key()
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
UUID_NAME = x509.UniformResourceIdentifier("urn:uuid:f81d4fae-7dec-41d0-a765-00a0c91e6bf6")


def _authority() -> x509.Certificate:
    names = SubjectNames(common_name="Issuing CA", organization="Example Agency", country="US")
    profile = profile_named("issuing-ca")
    root = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root")]))
    signed = (
        root.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root")]))
        .public_key(OTHER_KEY.public_key())
        .serial_number(SERIAL)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=7000))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(OTHER_KEY.public_key()), critical=False)
        .sign(OTHER_KEY, hashes.SHA256())
    )
    return template.draft(
        Content(
            profile=profile,
            issuer=Issuer("root", signed, STATUS_URL),
            public_key=CA_KEY.public_key(),
            subject=names,
            alternative=NO_NAMES,
            validity=Validity.starting(NOW, profile.lifetime),
            serial=SERIAL,
            policies=POLICIES,
            algorithm=SignatureAlgorithm.ECDSA_SHA256,
        )
    )


AUTHORITY = _authority()
ISSUER = Issuer("derived", AUTHORITY, STATUS_URL)


def content(name: str = "derived-piv-authentication") -> Content:
    profile = profile_named(name)
    names = names_for(name)
    if profile.uuid is Presence.FRESH:
        names = replace(names, uuid=UUID(UUID_NAME.value))
    return Content(
        profile=profile,
        issuer=ISSUER,
        public_key=LEAF_KEY.public_key() if KeyType.P256 in profile.key_types else RSA_KEY.public_key(),
        subject=subject_for(name, "Cardholder"),
        alternative=names,
        validity=Validity.starting(NOW, profile.lifetime),
        serial=SERIAL,
        policies=POLICIES if profile.asserts_all_policies else (EXAMPLE_POLICY_OIDS[profile.policy or ""],),
        algorithm=SignatureAlgorithm.ECDSA_SHA256,
    )


def linted(made: Content, certificate: x509.Certificate | None = None) -> Linted:
    issuer = made.issuer.certificate if made.issuer else None
    return Linted(certificate or template.draft(made), made.profile, issuer, made.policies)


def rebuilt(made: Content, **parts: object) -> x509.Certificate:
    """Return the drafted certificate with parts replaced: a field, or an extension by its class name."""
    good = template.draft(made)
    extensions = {type(found.value).__name__: (found.value, found.critical) for found in good.extensions}
    for name, part in parts.items():
        if name in extensions and part is None:
            del extensions[name]
        elif isinstance(part, tuple):
            extensions[name] = part
    builder = (
        x509.CertificateBuilder()
        .subject_name(parts.get("subject", good.subject))  # type: ignore[arg-type]  # the tests name fields
        .issuer_name(parts.get("issuer", good.issuer))  # type: ignore[arg-type]  # as above
        .public_key(parts.get("public_key", good.public_key()))  # type: ignore[arg-type]  # as above
        .serial_number(parts.get("serial", good.serial_number))  # type: ignore[arg-type]  # as above
        .not_valid_before(good.not_valid_before_utc)
        .not_valid_after(parts.get("not_after", good.not_valid_after_utc))  # type: ignore[arg-type]  # as above
    )
    for value, critical in extensions.values():
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(OTHER_KEY, parts.get("hash", hashes.SHA256()))  # type: ignore[arg-type]  # as above


def name(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


def usage(**bits: bool) -> tuple[x509.KeyUsage, bool]:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    )
    flags = dict.fromkeys([*names.split(), "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(**{**flags, **bits}), True


def san(*names: x509.GeneralName) -> tuple[x509.SubjectAlternativeName, bool]:
    return x509.SubjectAlternativeName(names), False


def access(*pairs: tuple[x509.ObjectIdentifier, str]) -> tuple[x509.AuthorityInformationAccess, bool]:
    items = [x509.AccessDescription(method, x509.UniformResourceIdentifier(url)) for method, url in pairs]
    return x509.AuthorityInformationAccess(items), False


def point(url: str, reasons: frozenset[x509.ReasonFlags] | None = None) -> tuple[x509.CRLDistributionPoints, bool]:
    full_name = [x509.UniformResourceIdentifier(url)]
    return x509.CRLDistributionPoints([x509.DistributionPoint(full_name, None, reasons, None)]), False


def policies(*oids: str) -> tuple[x509.CertificatePolicies, bool]:
    items = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids]
    return x509.CertificatePolicies(items), False


DERIVED = content()
SERVER = content("tls-server")
ENDPOINT = content("managed-endpoint")
CA_ISSUERS_METHOD = x509.ObjectIdentifier("1.3.6.1.5.5.7.48.2")
OCSP_METHOD = x509.ObjectIdentifier("1.3.6.1.5.5.7.48.1")
CA_ISSUERS_URL = f"{STATUS_URL}/certificates/derived.p7c"
OCSP_URL = f"{STATUS_URL}/ocsp/derived"
PRIVATE_EXTENSION = (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.5"), b"\x05\x00"), False)

TAG = SECURITY_IDENTIFIER_TAG
FAILING: list[tuple[str, Content, Callable[[], x509.Certificate]]] = [
    ("serial_number_is_random", DERIVED, lambda: rebuilt(DERIVED, serial=77)),
    ("signature_algorithm_allowed", DERIVED, lambda: rebuilt(DERIVED, hash=hashes.SHA512())),
    ("subject_key_allowed", DERIVED, lambda: rebuilt(DERIVED, public_key=_p521())),
    ("subject_key_allowed", DERIVED, lambda: rebuilt(DERIVED, public_key=_rsa(4096))),
    ("validity_within_profile", DERIVED, lambda: rebuilt(DERIVED, not_after=NOW + timedelta(days=1096))),
    ("validity_within_profile", SERVER, lambda: rebuilt(SERVER, not_after=NOW + timedelta(days=366))),
    ("issuer_name_equal", DERIVED, lambda: rebuilt(DERIVED, issuer=name((NameOID.COMMON_NAME, "Issuing CA")))),
    ("extensions_listed", DERIVED, lambda: rebuilt(DERIVED, private=PRIVATE_EXTENSION)),
    ("extensions_listed", DERIVED, lambda: rebuilt(DERIVED, CRLDistributionPoints=None)),
    ("extensions_listed", DERIVED, lambda: rebuilt(DERIVED, KeyUsage=(usage(digital_signature=True)[0], False))),
    ("key_identifiers_fit", DERIVED, lambda: rebuilt(DERIVED, SubjectKeyIdentifier=_key_identifier(OTHER_KEY))),
    ("key_identifiers_fit", DERIVED, lambda: rebuilt(DERIVED, AuthorityKeyIdentifier=_authority_key(OTHER_KEY))),
    ("key_identifiers_fit", DERIVED, lambda: rebuilt(DERIVED, AuthorityKeyIdentifier=_authority_key(CA_KEY, serial=1))),
    ("key_usage_as_profiled", DERIVED, lambda: rebuilt(DERIVED, KeyUsage=usage(content_commitment=True))),
    (
        "key_usage_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, KeyUsage=usage(digital_signature=True, data_encipherment=True)),
    ),
    (
        "extended_key_usage_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, ExtendedKeyUsage=_purposes(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)),
    ),
    ("policies_as_configured", DERIVED, lambda: rebuilt(DERIVED, CertificatePolicies=policies("2.999.1.6"))),
    ("policies_as_configured", DERIVED, lambda: rebuilt(DERIVED, CertificatePolicies=policies(*POLICIES[:2]))),
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
        DERIVED,
        lambda: rebuilt(DERIVED, BasicConstraints=(x509.BasicConstraints(ca=True, path_length=None), True)),
    ),
    (
        "alternative_names_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(UUID_NAME, x509.UniformResourceIdentifier("urn:x:y"))),
    ),
    (
        "alternative_names_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(UUID_NAME, x509.DNSName("phone.agency.example"))),
    ),
    (
        "alternative_names_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(UUID_NAME, x509.RegisteredID(NameOID.COMMON_NAME))),
    ),
    (
        "security_identifier_is_well_formed",
        ENDPOINT,
        lambda: rebuilt(ENDPOINT, SubjectAlternativeName=san(x509.UniformResourceIdentifier(f"{TAG}S-1-5-21-x"))),
    ),
    (
        "alternative_names_as_profiled",
        DERIVED,
        lambda: rebuilt(
            DERIVED, SubjectAlternativeName=san(UUID_NAME, x509.UniformResourceIdentifier(f"{TAG}S-1-5-21-1"))
        ),
    ),
    (
        "uuid_is_well_formed",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(x509.UniformResourceIdentifier(UUID_NAME.value.upper()))),
    ),
    (
        "uuid_is_well_formed",
        DERIVED,
        lambda: rebuilt(DERIVED, SubjectAlternativeName=san(x509.UniformResourceIdentifier(f"urn:uuid:{UUID(int=7)}"))),
    ),
    (
        "purposes_have_their_names",
        SERVER,
        lambda: rebuilt(SERVER, SubjectAlternativeName=san(x509.IPAddress(ipaddress.ip_address("192.0.2.1")))),
    ),
    (
        "purposes_have_their_names",
        content("derived-digital-signature"),
        lambda: rebuilt(content("derived-digital-signature"), SubjectAlternativeName=None),
    ),
    (
        "subject_as_profiled",
        DERIVED,
        lambda: rebuilt(DERIVED, subject=name((NameOID.COMMON_NAME, "Al"), (NameOID.EMAIL_ADDRESS, "al@x.example"))),
    ),
    ("subject_as_profiled", DERIVED, lambda: rebuilt(DERIVED, subject=name((NameOID.ORGANIZATION_NAME, "Only")))),
    (
        "subject_as_profiled",
        content("card-authentication"),
        lambda: rebuilt(content("card-authentication"), subject=name((NameOID.COMMON_NAME, "Al"))),
    ),
]


def _p521() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP521R1()).public_key()


def _rsa(bits: int) -> rsa.RSAPublicKey:
    """Return a public key of a size; nobody needs its private half."""
    return rsa.RSAPublicNumbers(65537, (1 << bits) - 159).public_key()


def _key_identifier(key: ec.EllipticCurvePrivateKey) -> tuple[x509.SubjectKeyIdentifier, bool]:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False


def _authority_key(
    key: ec.EllipticCurvePrivateKey, serial: int | None = None
) -> tuple[x509.AuthorityKeyIdentifier, bool]:
    digest = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
    issuer = [x509.DirectoryName(AUTHORITY.issuer)] if serial is not None else None
    return x509.AuthorityKeyIdentifier(digest, issuer, serial), False


def _purposes(*oids: x509.ObjectIdentifier) -> tuple[x509.ExtendedKeyUsage, bool]:
    return x509.ExtendedKeyUsage(oids), False


@pytest.mark.parametrize("profile", [found for found in PROFILES if not PROFILES[found].is_authority])
@pytest.mark.parametrize("algorithm", list(SignatureAlgorithm))
def test_what_is_built_from_a_profile_passes_every_lint(profile: str, algorithm: SignatureAlgorithm) -> None:
    assert findings(linted(replace(content(profile), algorithm=algorithm)), LINTS) == ()


def test_an_authority_passes_every_lint() -> None:
    root = x509.load_der_x509_certificate(to_der(AUTHORITY))
    profile = profile_named("issuing-ca")
    subject = SubjectNames(common_name="Below")
    below = replace(content("tls-server"), profile=profile, subject=subject, alternative=NO_NAMES, policies=POLICIES)
    made = replace(below, validity=Validity.starting(NOW, timedelta(days=100)))
    assert findings(linted(made), LINTS) == ()
    assert findings(Linted(root, profile, None, ()), LINTS) != ()  # it is not self-signed


@pytest.mark.parametrize(("code", "made", "flawed"), FAILING, ids=[f"{row[0]}-{i}" for i, row in enumerate(FAILING)])
def test_a_flaw_is_found_by_the_lint_that_is_for_it(
    code: str, made: Content, flawed: Callable[[], x509.Certificate]
) -> None:
    rule = next(found for found in LINTS if found.code == code)
    assert findings(linted(made), [rule]) == ()
    assert {finding.code for finding in findings(linted(made, flawed()), [rule])} == {code}


def test_every_lint_has_a_failing_certificate_and_a_source() -> None:
    assert {rule.code for rule in LINTS} == {code for code, _, _ in FAILING}
    assert all(rule.source for rule in LINTS)


def test_parameters_in_an_ecdsa_algorithm_are_found() -> None:
    """The wrong form of the right algorithm, put into both places of an issued certificate."""
    algorithm = SignatureAlgorithm.ECDSA_SHA256.identifier()
    parts = der.elements(der.only(to_der(template.draft(DERIVED)), der.SEQUENCE).content)
    other = SignatureAlgorithm.ECDSA_SHA384.identifier()
    mixed = load(der.sequence(parts[0].encoded, other, parts[2].encoded))
    assert algorithm in parts[0].encoded
    rule = next(found for found in LINTS if found.code == "signature_algorithm_allowed")
    assert [found.detail for found in findings(linted(DERIVED, mixed), [rule])] == [
        "the two algorithm identifiers differ"
    ]


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
