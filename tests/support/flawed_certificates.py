# SPDX-License-Identifier: Apache-2.0
"""Drafts from profiles, and certificates that are wrong in one thing, for what judges certificates."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from etymon.ca import template
from etymon.ca.lint import Linted
from etymon.ca.model import NO_NAMES, SubjectNames, Validity
from etymon.ca.policies import EXAMPLE_POLICY_OIDS
from etymon.ca.profiles import Presence, profile_named
from etymon.ca.template import Content, Issuer
from etymon.pki.algorithms import KeyType, SignatureAlgorithm
from etymon.pki.certificate import to_der
from etymon.pki.key_policy import SMALL_PRIMES
from etymon.wire import der
from support.ca_site import names_for, rsa_key, subject_for

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERIAL = 0x5F3B0B5C9D0E4F6A8B7C6D5E4F3A2B1C
STATUS_URL = "http://status.agency.example"
POLICIES = tuple(EXAMPLE_POLICY_OIDS.values())
CA_KEY = ec.generate_private_key(ec.SECP256R1())
LEAF_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa_key()
CA_ISSUERS_METHOD = x509.ObjectIdentifier("1.3.6.1.5.5.7.48.2")
REPOSITORY_METHOD = x509.ObjectIdentifier("1.3.6.1.5.5.7.48.5")
OCSP_METHOD = x509.ObjectIdentifier("1.3.6.1.5.5.7.48.1")
CA_ISSUERS_URL = f"{STATUS_URL}/certificates/derived.p7c"
OCSP_URL = f"{STATUS_URL}/ocsp/derived"
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


def linted(made: Content, certificate: x509.Certificate | None = None, *, foreign: bool = False) -> Linted:
    issuer = made.issuer.certificate if made.issuer else None
    policies = () if foreign else made.policies
    return Linted(certificate or template.draft(made), made.profile, issuer, policies, foreign)


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


def repository(url: str) -> tuple[x509.SubjectInformationAccess, bool]:
    described = x509.AccessDescription(REPOSITORY_METHOD, x509.UniformResourceIdentifier(url))
    return x509.SubjectInformationAccess([described]), False


def point(
    url: str, reasons: frozenset[x509.ReasonFlags] | None = None, *further: str
) -> tuple[x509.CRLDistributionPoints, bool]:
    full_name = [x509.UniformResourceIdentifier(each) for each in (url, *further)]
    return x509.CRLDistributionPoints([x509.DistributionPoint(full_name, None, reasons, None)]), False


def policies(*oids: str) -> tuple[x509.CertificatePolicies, bool]:
    items = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids]
    return x509.CertificatePolicies(items), False


def p521() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP521R1()).public_key()


def rsa_public(bits: int) -> rsa.RSAPublicKey:
    """Return a public key of a size; nobody has its private half, and only its size is wrong."""
    free = (n for n in range((1 << bits) - 1, 0, -2) if all(n % prime for prime in SMALL_PRIMES))
    return rsa.RSAPublicNumbers(65537, next(free)).public_key()


def key_identifier(key: ec.EllipticCurvePrivateKey) -> tuple[x509.SubjectKeyIdentifier, bool]:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False


def authority_key(
    key: ec.EllipticCurvePrivateKey, serial: int | None = None
) -> tuple[x509.AuthorityKeyIdentifier, bool]:
    digest = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
    issuer = [x509.DirectoryName(AUTHORITY.issuer)] if serial is not None else None
    return x509.AuthorityKeyIdentifier(digest, issuer, serial), False


def purposes(*oids: x509.ObjectIdentifier) -> tuple[x509.ExtendedKeyUsage, bool]:
    return x509.ExtendedKeyUsage(oids), False


def written_over(made: Content, **fields: bytes) -> x509.Certificate:
    """Return the drafted certificate with fields of its TBSCertificate replaced by DER; empty leaves one out."""
    names = ("version", "serial", "algorithm", "issuer", "validity", "subject", "key", "extensions")
    tbs, algorithm, signature = der.elements(der.only(to_der(template.draft(made)), der.SEQUENCE).content)
    written = dict(zip(names, (field.encoded for field in der.elements(tbs.content)), strict=True)) | fields
    encoded = der.sequence(*written.values())
    outer = written["algorithm"]
    assert algorithm.encoded
    return x509.load_der_x509_certificate(der.sequence(encoded, outer, signature.encoded))
