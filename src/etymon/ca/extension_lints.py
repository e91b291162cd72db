# SPDX-License-Identifier: Apache-2.0
"""The lints that look at extensions: which stand there, and whether they say what the profile says."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, SubjectInformationAccessOID

from etymon.ca.extension_rules import is_ours_to_list, rules_for
from etymon.ca.lint import Lint, Linted, lint
from etymon.ca.profile import BasicConstraints, Presence
from etymon.ca.purposes import ANY_EXTENDED_KEY_USAGE, CODE_SIGNING, COUNTRY_OF_CITIZENSHIP, PIV_INTERIM
from etymon.ca.purposes import SUBJECT_DIRECTORY_ATTRIBUTES as DIRECTORY_ATTRIBUTES
from etymon.pki.certificate import accepted_key_identifiers
from etymon.wire import der

PUBLIC_HOST_EXCEPTION: Final = "uri_host_is_a_public_name"
"""The lint that a deployment on one machine, whose status URL is on the loopback, excepts by name."""

DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "ldap": 389}

_PRINTABLE_STRING: Final = 0x13


@lint("extensions_listed", "P-7", "RFC 5280 §4.2; profiles v2.2 §2")
def _extensions(linted: Linted) -> Iterator[str]:
    rules = rules_for(linted)
    for oid, found in linted.extensions.items():
        presence, critical = rules.get(oid, (Presence.ABSENT, None))
        if presence is Presence.ABSENT:
            if not linted.foreign or is_ours_to_list(oid) or found.critical:
                yield f"the extension {oid.dotted_string} is not in the profile"
        elif critical is not None and found.critical is not critical:
            yield f"the extension {oid.dotted_string} has the wrong criticality"
    for oid, (presence, _) in rules.items():
        if presence is Presence.REQUIRED and oid not in linted.extensions:
            yield f"the extension {oid.dotted_string} is missing"


@lint("key_identifiers_fit", "P-8", "RFC 5280 §4.2.1.1, §4.2.1.2; profiles v2.2 §2")
def _key_identifiers(linted: Linted) -> Iterator[str]:
    own = linted.extension(x509.SubjectKeyIdentifier)
    accepted = accepted_key_identifiers(linted.certificate)
    if own is not None and own.digest not in (accepted if linted.foreign else accepted[:1]):
        yield "the subject key identifier is not a hash of the key"
    authority = linted.extension(x509.AuthorityKeyIdentifier)
    if authority is None:
        return
    if authority.authority_cert_issuer is not None or authority.authority_cert_serial_number is not None:
        yield "the authority key identifier names issuer or serial number"
    if linted.issuer is None:
        if authority.key_identifier is None:
            yield "the authority key identifier has no key identifier"
        return
    issuers = linted.issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    if authority.key_identifier != issuers.digest:
        yield "the authority key identifier is not the issuer's"


@lint("extended_key_usage_as_profiled", "P-10", "RFC 5280 §4.2.1.12; profiles v2.2 §2")
def _extended_key_usage(linted: Linted) -> Iterator[str]:
    profile, found = linted.profile, linted.purposes
    written = frozenset(profile.extended_key_usage)
    if len(set(found)) != len(found):
        yield "a purpose stands twice"
    if not linted.foreign:
        if written != set(found):
            yield "the extended key usage is not the profile's"
        return
    if profile.is_authority:
        return
    for missing in sorted(written - profile.optional_purposes - set(found)):
        yield f"the purpose {missing} is missing"
    if not profile.other_purposes:
        for other in sorted(set(found) - written - profile.optional_purposes):
            yield f"the purpose {other} is not in the profile"


@lint("purposes_not_prohibited", "P-10", "profiles v2.2 §2")
def _prohibited(linted: Linted) -> Iterator[str]:
    if {ANY_EXTENDED_KEY_USAGE, CODE_SIGNING}.intersection(linted.purposes):
        yield "the extended key usage has anyExtendedKeyUsage or codeSigning"


@lint("distribution_points_plain", "P-12", "RFC 5280 §4.2.1.13; profiles v2.2 §2")
def _distribution_points(linted: Linted) -> Iterator[str]:
    points = linted.extension(x509.CRLDistributionPoints) or ()
    urls = [[str(name.value) for name in point.full_name or ()] for point in points]
    if points and not any(_is_http(url, ".crl") for found in urls for url in found):
        yield "no distribution point has an HTTP address that ends in .crl"
    for point, found in zip(points, urls, strict=True):
        if point.reasons is not None or point.crl_issuer is not None or point.relative_name is not None:
            yield "a distribution point has reasons, another issuer or a relative name"
        if any(_is_http(url) and not _is_http(url, ".crl") for url in found):
            yield "an HTTP address of a distribution point does not end in .crl"
        if found and not _is_http(found[0]) and any(map(_is_http, found)):
            yield "an LDAP address stands before the HTTP address"


@lint("information_access_complete", "P-13", "RFC 5280 §4.2.2.1; profiles v2.2 §2")
def _information_access(linted: Linted) -> Iterator[str]:
    found = linted.extension(x509.AuthorityInformationAccess)
    if found is None:
        return
    profile = linted.profile
    certificates = _locations(found, AuthorityInformationAccessOID.CA_ISSUERS)
    responders = _locations(found, AuthorityInformationAccessOID.OCSP)
    if profile.ca_issuers is Presence.REQUIRED and not any(_is_http(url, (".p7c", ".cer")) for url in certificates):
        yield "the HTTP address of the issuer's certificates (.p7c, or .cer) is missing"
    if profile.ocsp is Presence.REQUIRED and not any(map(_is_http, responders)):
        yield "the HTTP address of the OCSP responder is missing"
    if profile.ocsp is Presence.ABSENT and responders:
        yield "the address of an OCSP responder is not in the profile"
    others = {access.access_method for access in found} - {
        AuthorityInformationAccessOID.CA_ISSUERS,
        AuthorityInformationAccessOID.OCSP,
    }
    if others:
        yield "there is an access method other than caIssuers and ocsp"


@lint("repository_plain", "P-14", "RFC 5280 §4.2.2.2; profiles v2.2 §2")
def _repository(linted: Linted) -> Iterator[str]:
    found = linted.extension(x509.SubjectInformationAccess)
    if found is None:
        return
    if not any(_is_http(url, ".p7c") for url in _locations(found, SubjectInformationAccessOID.CA_REPOSITORY)):
        yield "there is no HTTP address ending in .p7c of the certificates that the authority issued to others"


@lint("uri_scheme_is_http", "P-15", "profiles v2.2 §2")
def _schemes(linted: Linted) -> Iterator[str]:
    for url in _urls(linted):
        scheme = urlsplit(url).scheme
        if scheme != "http" and not (linted.foreign and scheme == "ldap"):
            yield f"{url} is not an http address"


@lint(PUBLIC_HOST_EXCEPTION, "P-15", "profiles v2.2 §2")
def _hosts(linted: Linted) -> Iterator[str]:
    for url in _urls(linted):
        parts = urlsplit(url)
        plain = parts.port is None or (linted.foreign and parts.port == DEFAULT_PORTS.get(parts.scheme))
        if not plain or not _is_public_name(parts.hostname or ""):
            yield f"{url} does not have a full domain name on the default port"


@lint("basic_constraints_as_profiled", "P-16", "RFC 5280 §4.2.1.9; profiles v2.2 §2")
def _basic_constraints(linted: Linted) -> Iterator[str]:
    found = linted.extension(x509.BasicConstraints)
    if found is None:
        return  # that it is missing says another lint
    profile = linted.profile
    length = 0 if profile.basic_constraints is BasicConstraints.LAST_AUTHORITY else None
    lengths_fit = found.path_length == length or (linted.foreign and profile.path_length_optional)
    if found.ca is not profile.is_authority or not lengths_fit:
        yield "the basic constraints are not the profile's"


@lint("authority_constraints_as_profiled", "profiles-2.3", "RFC 5280 §4.2.1.10, §4.2.1.11, §4.2.1.14; profiles v2.2")
def _constraints(linted: Linted) -> Iterator[str]:
    policies = linted.extension(x509.PolicyConstraints)
    if policies is not None and policies.require_explicit_policy != 0:
        yield "requireExplicitPolicy is not 0"
    inhibited = linted.extension(x509.InhibitAnyPolicy)
    if inhibited is not None and inhibited.skip_certs != 0:
        yield "inhibitAnyPolicy is not 0"


@lint("interim_indicator_well_formed", "P-17", "FIPS 201; profiles v2.2")
def _interim(linted: Linted) -> Iterator[str]:
    for value in _octets(linted, PIV_INTERIM):
        if value not in {der.boolean(value=True), der.boolean(value=False)}:
            yield "the interim indicator is not a BOOLEAN"


@lint("citizenship_well_formed", "P-18", "RFC 3739 §3.2.2; profiles v2.2")
def _citizenship(linted: Linted) -> Iterator[str]:
    for value in _octets(linted, DIRECTORY_ATTRIBUTES):
        for attribute in der.elements(der.only(value, der.SEQUENCE).content):
            name, values = der.elements(der.expect(attribute, der.SEQUENCE).content)
            for country in der.elements(der.expect(values, der.SET).content):
                if der.to_object_identifier(name) != COUNTRY_OF_CITIZENSHIP:
                    continue
                letters = country.content
                if country.tag != _PRINTABLE_STRING or len(letters) != 2 or not letters.isalpha():
                    yield "a country of citizenship is not two letters (ISO 3166)"


def _octets(linted: Linted, oid: x509.ObjectIdentifier) -> Iterator[bytes]:
    """Yield the content of an extension that the library does not read."""
    found = linted.extensions.get(oid)
    if found is not None and isinstance(found.value, x509.UnrecognizedExtension):
        yield found.value.value


def _is_http(url: str, ending: str | tuple[str, ...] = "") -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.path.endswith(ending)


def _locations(
    found: x509.AuthorityInformationAccess | x509.SubjectInformationAccess, method: x509.ObjectIdentifier
) -> list[str]:
    return [str(access.access_location.value) for access in found if access.access_method == method]


def _urls(linted: Linted) -> Iterator[str]:
    for point in linted.extension(x509.CRLDistributionPoints) or ():
        yield from (name.value for name in point.full_name or () if isinstance(name, x509.UniformResourceIdentifier))
    authority = linted.extension(x509.AuthorityInformationAccess)
    subject = linted.extension(x509.SubjectInformationAccess)
    for access in (*(authority or ()), *(subject or ())):
        if isinstance(access.access_location, x509.UniformResourceIdentifier):
            yield access.access_location.value


def _is_public_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host.strip(".") and not host.endswith((".localhost", ".local"))
    return False


EXTENSION_LINTS: Final[tuple[Lint, ...]] = (
    _extensions,
    _key_identifiers,
    _extended_key_usage,
    _prohibited,
    _distribution_points,
    _information_access,
    _repository,
    _schemes,
    _hosts,
    _basic_constraints,
    _constraints,
    _interim,
    _citizenship,
)
"""Every lint of this module."""
