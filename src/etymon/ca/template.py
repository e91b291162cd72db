# SPDX-License-Identifier: Apache-2.0
"""Build a certificate from its profile: everything in it comes from profile, authority and records.

The library signs what it builds, so the draft carries the signature of a throwaway key of the same algorithm. A draft
is linted like a certificate; its TBS bytes are what the authority signs.
"""

import functools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID, SubjectInformationAccessOID

from etymon.ca.model import AlternativeNames, SubjectNames, Validity
from etymon.ca.profile import BasicConstraints, CertificateProfile, KeyUsageBit, Presence
from etymon.kernel.errors import Malformed
from etymon.pki.algorithms import RSA_PUBLIC_EXPONENT, PrivateKey, PublicKey, SignatureAlgorithm, key_type
from etymon.pki.certificate import FASCN_OTHER_NAME, SECURITY_IDENTIFIER_TAG, UPN_OTHER_NAME
from etymon.wire import der, fascn

_UTF8_STRING: Final = 0x0C
_THROWAWAY_RSA_BITS: Final = 1024
"""The draft's signature is thrown away; the size does not show in what is signed."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """What of an authority stands in the certificates it issues."""

    name: str
    certificate: x509.Certificate
    status_url: str

    @property
    def crl_url(self) -> str:
        """Where its CRL is."""
        return f"{self.status_url}/crl/{self.name}.crl"

    @property
    def ocsp_url(self) -> str:
        """Where its OCSP responder is."""
        return f"{self.status_url}/ocsp/{self.name}"

    @property
    def certificates_url(self) -> str:
        """Where its own certificates are, as certs-only CMS."""
        return f"{self.status_url}/certificates/{self.name}.p7c"


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be certified. `issuer` is None for a root; `repository_url` is given for authorities."""

    profile: CertificateProfile
    issuer: Issuer | None
    public_key: PublicKey
    subject: SubjectNames
    alternative: AlternativeNames
    validity: Validity
    serial: int
    policies: tuple[str, ...]
    algorithm: SignatureAlgorithm
    repository_url: str | None = None


def draft(content: Content) -> x509.Certificate:
    """Return the certificate of `content`, signed by a throwaway key.

    Raises `Malformed` for names the profile does not allow, lacks, or that cannot be written.
    """
    try:
        builder = (
            x509.CertificateBuilder()
            .serial_number(content.serial)
            .subject_name(_subject(content))
            .not_valid_before(content.validity.not_before)
            .not_valid_after(content.validity.not_after)
            .public_key(content.public_key)
        )
        for extension, critical in _extensions(content):
            builder = builder.add_extension(extension, critical=critical)
        issuer = content.issuer
        builder = builder.issuer_name(issuer.certificate.subject if issuer else _subject(content))
    except (ValueError, TypeError) as exc:
        raise Malformed(
            "name_malformed", "A name for the certificate is empty, too long or has letters it may not."
        ) from exc
    return builder.sign(_throwaway_key(rsa_key=content.algorithm.is_rsa), content.algorithm.hash())


def with_fresh_uuid(profile: CertificateProfile, names: AlternativeNames, fresh: uuid.UUID) -> AlternativeNames:
    """Return the names with the UUID the authority makes, where the profile says so (SP 800-157 §3.1, CP 3.1.1.2)."""
    if profile.uuid is not Presence.FRESH:
        return names
    if names.uuid is not None:
        raise Malformed("name_not_allowed", "The authority itself makes the UUID of a derived credential.")
    return replace(names, uuid=fresh)


def _subject(content: Content) -> x509.Name:
    profile, subject = content.profile, content.subject
    _require(profile.common_name, subject.common_name, "common name")
    _require(profile.subject_serial_number, subject.serial_number, "serial number")
    pairs = [(NameOID.DOMAIN_COMPONENT, component) for component in subject.domain_components]
    pairs += [(NameOID.COUNTRY_NAME, subject.country)] if subject.country else []
    pairs += [(NameOID.ORGANIZATION_NAME, subject.organization)] if subject.organization else []
    pairs += [(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in subject.organizational_units]
    pairs += [(NameOID.COMMON_NAME, subject.common_name)] if subject.common_name else []
    pairs += [(NameOID.SERIAL_NUMBER, subject.serial_number)] if subject.serial_number else []
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


def _extensions(content: Content) -> Iterator[tuple[x509.ExtensionType, bool]]:
    profile, issuer = content.profile, content.issuer
    bits = profile.key_usage_for(key_type(content.public_key))
    if issuer is not None:
        identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        yield x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value), False
    yield x509.SubjectKeyIdentifier.from_public_key(content.public_key), False
    yield _key_usage(bits), True
    if profile.basic_constraints is not BasicConstraints.ABSENT:
        yield _basic_constraints(profile.basic_constraints), profile.is_authority
    if profile.extended_key_usage:
        purposes = [x509.ObjectIdentifier(purpose) for purpose in profile.extended_key_usage]
        yield x509.ExtendedKeyUsage(purposes), bool(profile.extended_key_usage_critical)
    if content.policies and issuer is not None:
        identifiers = [x509.ObjectIdentifier(policy) for policy in content.policies]
        yield x509.CertificatePolicies([x509.PolicyInformation(oid, None) for oid in identifiers]), False
    names = _alternative_names(profile, content.alternative)
    if names:
        yield x509.SubjectAlternativeName(names), False
    if issuer is not None and profile.crl_distribution_point:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(issuer.crl_url)], None, None, None)
        yield x509.CRLDistributionPoints([point]), False
    if issuer is not None:
        yield _authority_information_access(profile, issuer), False
    if content.repository_url is not None and profile.ca_repository is Presence.REQUIRED:
        location = x509.UniformResourceIdentifier(content.repository_url)
        access = x509.AccessDescription(SubjectInformationAccessOID.CA_REPOSITORY, location)
        yield x509.SubjectInformationAccess([access]), False
    if profile.ocsp_no_check:
        yield x509.OCSPNoCheck(), False


def _key_usage(bits: frozenset[KeyUsageBit]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=KeyUsageBit.DIGITAL_SIGNATURE in bits,
        content_commitment=KeyUsageBit.NON_REPUDIATION in bits,
        key_encipherment=KeyUsageBit.KEY_ENCIPHERMENT in bits,
        data_encipherment=False,
        key_agreement=KeyUsageBit.KEY_AGREEMENT in bits,
        key_cert_sign=KeyUsageBit.CERTIFICATE_SIGNING in bits,
        crl_sign=KeyUsageBit.CRL_SIGNING in bits,
        encipher_only=False,
        decipher_only=False,
    )


def _basic_constraints(constraints: BasicConstraints) -> x509.BasicConstraints:
    match constraints:
        case BasicConstraints.AUTHORITY:
            return x509.BasicConstraints(ca=True, path_length=None)
        case BasicConstraints.LAST_AUTHORITY:
            return x509.BasicConstraints(ca=True, path_length=0)
        case BasicConstraints.END_ENTITY | BasicConstraints.ABSENT:
            return x509.BasicConstraints(ca=False, path_length=None)


def _authority_information_access(profile: CertificateProfile, issuer: Issuer) -> x509.AuthorityInformationAccess:
    locations = [(AuthorityInformationAccessOID.CA_ISSUERS, issuer.certificates_url)]
    if profile.ocsp is Presence.REQUIRED:
        locations.append((AuthorityInformationAccessOID.OCSP, issuer.ocsp_url))
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(method, x509.UniformResourceIdentifier(url)) for method, url in locations]
    )


def _alternative_names(profile: CertificateProfile, names: AlternativeNames) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    if _require(profile.fascn, names.fascn, "FASC-N"):
        octets = names.fascn or b""
        if len(octets) != fascn.ENCODED_BYTES:
            raise Malformed("name_malformed", f"A FASC-N has {fascn.ENCODED_BYTES} bytes.")
        found.append(x509.OtherName(FASCN_OTHER_NAME, der.octet_string(octets)))
    if _require(profile.upn, names.upn, "user principal name"):
        found.append(x509.OtherName(UPN_OTHER_NAME, der.encode(_UTF8_STRING, str(names.upn).encode("utf-8"))))
    if _require(profile.mail, names.mail, "mail address"):
        found.append(x509.RFC822Name(str(names.mail)))
    if _require(profile.uuid, names.uuid, "UUID"):
        found.append(x509.UniformResourceIdentifier(f"urn:uuid:{names.uuid}"))
    if _require(profile.security_identifier, names.security_identifier, "security identifier"):
        found.append(x509.UniformResourceIdentifier(f"{SECURITY_IDENTIFIER_TAG}{names.security_identifier}"))
    if _require(profile.dns, names.dns, "DNS name"):
        found += [x509.DNSName(name) for name in names.dns]
    if _require(profile.ip, names.ip, "IP address"):
        found += [x509.IPAddress(address) for address in names.ip]
    return found


def _require(presence: Presence, value: object, what: str) -> bool:
    """Say whether `value` is to be written; raise where the profile forbids or misses it."""
    if not value and presence in {Presence.REQUIRED, Presence.FRESH}:
        raise Malformed("name_missing", f"This kind of certificate needs a {what}.")
    if value and presence is Presence.ABSENT:
        raise Malformed("name_not_allowed", f"This kind of certificate has no {what}.")
    return bool(value)


@functools.cache
def _throwaway_key(*, rsa_key: bool) -> PrivateKey:
    """Return a key whose signatures mean nothing; ECDSA over either hash is named alike for every curve."""
    if rsa_key:
        return rsa.generate_private_key(RSA_PUBLIC_EXPONENT, _THROWAWAY_RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())
