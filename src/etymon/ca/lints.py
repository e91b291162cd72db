# SPDX-License-Identifier: Apache-2.0
"""The lints: rules of RFC 5280, the Common Policy profiles v2.2 and SP 800-78-5 that every certificate keeps."""

import ipaddress
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtensionOID

from etymon.ca.lint import Lint, Linted, lint
from etymon.ca.name_lints import NAME_LINTS
from etymon.ca.profiles import BasicConstraints, KeyUsageBit, Presence
from etymon.kernel.errors import Malformed
from etymon.pki import certificate as readers
from etymon.pki import key_policy
from etymon.pki.algorithms import SignatureAlgorithm, key_type
from etymon.wire import der

ANY_EXTENDED_KEY_USAGE: Final = "2.5.29.37.0"
CODE_SIGNING: Final = "1.3.6.1.5.5.7.3.3"
PUBLIC_HOST_EXCEPTION: Final = "uri_host_is_a_public_name"
"""The lint that a deployment on one machine, whose status URL is on the loopback, excepts by name."""

_FORBIDDEN_BITS: Final = ("data_encipherment", "encipher_only", "decipher_only")


@lint("serial_number_is_random", "RFC 5280 §4.1.2.2; Common Policy profiles v2.2 §2")
def _serial_number(linted: Linted) -> Iterator[str]:
    serial = linted.certificate.serial_number
    if serial <= 0 or serial.bit_length() > 159:
        yield "the serial number is not a positive integer of at most 20 octets"
    if serial.bit_length() < 64:
        yield "the serial number has fewer than 64 bits"


@lint("signature_algorithm_allowed", "Common Policy profiles v2.2 §2 (P-2); RFC 4055 §5; RFC 5758 §3.2")
def _signature_algorithm(linted: Linted) -> Iterator[str]:
    inner = der.elements(der.only(linted.certificate.tbs_certificate_bytes, der.SEQUENCE).content)[2].encoded
    outer = der.elements(der.only(readers.to_der(linted.certificate), der.SEQUENCE).content)[1].encoded
    if inner != outer:
        yield "the two algorithm identifiers differ"
    if inner not in {algorithm.identifier() for algorithm in SignatureAlgorithm}:
        yield "the signature algorithm, or the form of its parameters, is not allowed"


@lint("subject_key_allowed", "SP 800-78-5 §3; Common Policy 6.1.5")
def _subject_key(linted: Linted) -> Iterator[str]:
    try:
        key = key_policy.check(linted.certificate.public_key(), expires=linted.certificate.not_valid_after_utc)
    except Malformed as exc:
        yield exc.detail
        return
    if key_type(key) not in linted.profile.key_types:
        yield "the profile does not allow this type of key"


@lint("validity_within_profile", "Common Policy 6.3.2; RFC 5280 §4.1.2.5")
def _validity(linted: Linted) -> Iterator[str]:
    certificate = linted.certificate
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if lifetime.total_seconds() <= 0:
        yield "the certificate ends before it begins"
    if lifetime >= linted.profile.lifetime:  # both ends are inside: one second less is the whole lifetime
        yield "the certificate lives longer than its profile allows"
    if linted.issuer is not None and certificate.not_valid_after_utc > linted.issuer.not_valid_after_utc:
        yield "the certificate outlives its issuer"


@lint("issuer_name_equal", "RFC 5280 §4.1.2.4, §6.1.3; Common Policy profiles v2.2 §2 (P-6)")
def _issuer_name(linted: Linted) -> Iterator[str]:
    expected = linted.issuer.subject if linted.issuer else linted.certificate.subject
    if linted.certificate.issuer.public_bytes() != expected.public_bytes():
        yield "the issuer name is not, byte for byte, the subject of the issuing certificate"


@lint("extensions_listed", "Common Policy profiles v2.2 §2 (P-7)")
def _extensions(linted: Linted) -> Iterator[str]:
    if linted.certificate.version is not x509.Version.v3:
        yield "the certificate is not version 3"
    present = {extension.oid: extension.critical for extension in linted.certificate.extensions}
    expected = _expected_extensions(linted)
    for oid in present.keys() - expected.keys():
        yield f"the extension {oid.dotted_string} is not in the profile"
    for oid in expected.keys() - present.keys():
        yield f"the extension {oid.dotted_string} is missing"
    for oid in present.keys() & expected.keys():
        if present[oid] != expected[oid]:
            yield f"the extension {oid.dotted_string} has the wrong criticality"


def _expected_extensions(linted: Linted) -> dict[x509.ObjectIdentifier, bool]:
    """Return which extensions the profile has, and which of them are critical."""
    profile, root = linted.profile, linted.issuer is None
    names = (
        profile.uuid,
        profile.fascn,
        profile.upn,
        profile.mail,
        profile.dns,
        profile.ip,
        profile.security_identifier,
    )
    given = [ExtensionOID.SUBJECT_ALTERNATIVE_NAME in {item.oid for item in linted.certificate.extensions}]
    required = any(presence in {Presence.REQUIRED, Presence.FRESH} for presence in names)
    optional = any(presence is Presence.OPTIONAL for presence in names)
    wanted = {
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: (True, False),
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: (not root, False),
        ExtensionOID.KEY_USAGE: (True, True),
        ExtensionOID.BASIC_CONSTRAINTS: (
            profile.basic_constraints is not BasicConstraints.ABSENT,
            profile.is_authority,
        ),
        ExtensionOID.EXTENDED_KEY_USAGE: (bool(profile.extended_key_usage), profile.extended_key_usage_critical),
        ExtensionOID.CERTIFICATE_POLICIES: (bool(linted.policies) and not root, False),
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: (required or (optional and given[0]), False),
        ExtensionOID.CRL_DISTRIBUTION_POINTS: (profile.crl_distribution_point and not root, False),
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS: (not root, False),
        ExtensionOID.SUBJECT_INFORMATION_ACCESS: (profile.basic_constraints is BasicConstraints.AUTHORITY, False),
        ExtensionOID.OCSP_NO_CHECK: (profile.ocsp_no_check, False),
    }
    return {oid: critical for oid, (present, critical) in wanted.items() if present}


@lint("key_identifiers_fit", "RFC 5280 §4.2.1.1, §4.2.1.2; Common Policy profiles v2.2 §2 (P-8)")
def _key_identifiers(linted: Linted) -> Iterator[str]:
    extensions = linted.certificate.extensions
    own = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    if own.digest != x509.SubjectKeyIdentifier.from_public_key(linted.certificate.public_key()).digest:
        yield "the subject key identifier is not the hash of the key"
    if linted.issuer is None:
        return
    authority = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    issuers = linted.issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    if authority.key_identifier != issuers.digest:
        yield "the authority key identifier is not the issuer's"
    if authority.authority_cert_issuer is not None or authority.authority_cert_serial_number is not None:
        yield "the authority key identifier names issuer or serial number"


@lint("key_usage_as_profiled", "RFC 5280 §4.2.1.3; Common Policy profiles v2.2 §2 (P-9)")
def _key_usage(linted: Linted) -> Iterator[str]:
    usage = linted.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    bits = {bit for bit in KeyUsageBit if getattr(usage, bit.value)}
    if bits != linted.profile.key_usage_for(key_type(linted.certificate.public_key())):
        yield "the key usage is not the profile's"
    if usage.data_encipherment or (usage.key_agreement and (usage.encipher_only or usage.decipher_only)):
        yield f"one of {', '.join(_FORBIDDEN_BITS)} is set"
    if usage.content_commitment and (usage.key_encipherment or usage.key_agreement):
        yield "nonRepudiation stands beside a bit for encryption"


@lint("extended_key_usage_as_profiled", "Common Policy profiles v2.2 §2 (P-10)")
def _extended_key_usage(linted: Linted) -> Iterator[str]:
    found = readers.extension(linted.certificate, x509.ExtendedKeyUsage)
    purposes = [purpose.dotted_string for purpose in found.value] if found else []
    if sorted(purposes) != sorted(linted.profile.extended_key_usage):
        yield "the extended key usage is not the profile's"
    if {ANY_EXTENDED_KEY_USAGE, CODE_SIGNING}.intersection(purposes):
        yield "the extended key usage has anyExtendedKeyUsage or codeSigning"


@lint("policies_as_configured", "Common Policy profiles v2.2; SP 800-157 §3 (exactly one for derived credentials)")
def _policies(linted: Linted) -> Iterator[str]:
    found = readers.policies(linted.certificate)
    if linted.issuer is not None and found != frozenset(linted.policies):
        yield "the policies are not the configured ones"
    if not linted.profile.asserts_all_policies and len(found) != 1:
        yield "the certificate does not have exactly one policy"
    if linted.issuer is not None and not linted.profile.is_authority:
        allowed = readers.policies(linted.issuer)
        if not found <= allowed:
            yield "a policy is not among the issuer's"


@lint("distribution_points_plain", "RFC 5280 §4.2.1.13; Common Policy profiles v2.2 §2 (P-12)")
def _distribution_points(linted: Linted) -> Iterator[str]:
    found = readers.extension(linted.certificate, x509.CRLDistributionPoints)
    for point in found.value if found else ():
        urls = [name.value for name in point.full_name or () if isinstance(name, x509.UniformResourceIdentifier)]
        if not any(url.startswith("http://") and url.endswith(".crl") for url in urls):
            yield "a distribution point has no HTTP address that ends in .crl"
        if point.reasons is not None or point.crl_issuer is not None or point.relative_name is not None:
            yield "a distribution point has reasons, another issuer or a relative name"


@lint("information_access_complete", "RFC 5280 §4.2.2.1; Common Policy profiles v2.2 §2 (P-13)")
def _information_access(linted: Linted) -> Iterator[str]:
    found = readers.extension(linted.certificate, x509.AuthorityInformationAccess)
    if found is None:
        return
    methods = [access.access_method for access in found.value]
    if AuthorityInformationAccessOID.CA_ISSUERS not in methods:
        yield "the address of the issuer's certificates is missing"
    if linted.profile.ocsp != (AuthorityInformationAccessOID.OCSP in methods):
        yield "the address of the OCSP responder is missing, or not in the profile"


@lint("uri_scheme_is_http", "Common Policy profiles v2.2 §2 (P-15)")
def _schemes(linted: Linted) -> Iterator[str]:
    for url in _urls(linted.certificate):
        if urlsplit(url).scheme != "http":
            yield f"{url} is not an http address"


@lint(PUBLIC_HOST_EXCEPTION, "Common Policy profiles v2.2 §2 (P-15)")
def _hosts(linted: Linted) -> Iterator[str]:
    for url in _urls(linted.certificate):
        parts = urlsplit(url)
        if parts.port is not None or not _is_public_name(parts.hostname or ""):
            yield f"{url} does not have a full domain name on the default port"


def _urls(certificate: x509.Certificate) -> Iterator[str]:
    points = readers.extension(certificate, x509.CRLDistributionPoints)
    for point in points.value if points else ():
        yield from (name.value for name in point.full_name or () if isinstance(name, x509.UniformResourceIdentifier))
    authority = readers.extension(certificate, x509.AuthorityInformationAccess)
    subject = readers.extension(certificate, x509.SubjectInformationAccess)
    for access in (*(authority.value if authority else ()), *(subject.value if subject else ())):
        yield str(access.access_location.value)


def _is_public_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host.strip(".") and not host.endswith((".localhost", ".local"))
    return False


@lint("basic_constraints_as_profiled", "RFC 5280 §4.2.1.9; Common Policy profiles v2.2 (P-16)")
def _basic_constraints(linted: Linted) -> Iterator[str]:
    found = readers.extension(linted.certificate, x509.BasicConstraints)
    expected = {
        BasicConstraints.ABSENT: None,
        BasicConstraints.END_ENTITY: x509.BasicConstraints(ca=False, path_length=None),
        BasicConstraints.AUTHORITY: x509.BasicConstraints(ca=True, path_length=None),
        BasicConstraints.LAST_AUTHORITY: x509.BasicConstraints(ca=True, path_length=0),
    }[linted.profile.basic_constraints]
    if (found.value if found else None) != expected:
        yield "the basic constraints are not the profile's"


LINTS: Final[tuple[Lint, ...]] = (
    _serial_number,
    _signature_algorithm,
    _subject_key,
    _validity,
    _issuer_name,
    _extensions,
    _key_identifiers,
    _key_usage,
    _extended_key_usage,
    _policies,
    _distribution_points,
    _information_access,
    _schemes,
    _hosts,
    _basic_constraints,
    *NAME_LINTS,
)
"""Every lint, in the order of the certificate's fields."""
