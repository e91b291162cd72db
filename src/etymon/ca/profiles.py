# SPDX-License-Identifier: Apache-2.0
"""Certificate profiles as data: what each kind of certificate holds, and what it never does.

Source: Common Policy X.509 certificate and CRL profiles v2.2, Common PIV-I profile v1.3, FIPS 201-3 §4.2, SP 800-157
§3, RFC 5280. docs/certificate-profiles.md shows the same as a table.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from etymon.ca import purposes
from etymon.ca.authority_profiles import AUTHORITY_PROFILES
from etymon.ca.policies import EXAMPLE_POLICY_OIDS
from etymon.ca.profile import (
    ALL_KEYS,
    DIGITAL_SIGNATURE,
    INTERIM_INDICATOR,
    PERSON_EXTENSIONS,
    RSA_KEYS,
    VETTED_PERSON_EXTENSIONS,
    YEAR,
    BasicConstraints,
    CertificateProfile,
    KeyUsageBit,
    Presence,
)
from etymon.kernel.errors import NotFound

__all__ = [
    "EXAMPLE_POLICY_OIDS",
    "PROFILES",
    "BasicConstraints",
    "CertificateProfile",
    "KeyUsageBit",
    "Presence",
    "profile_named",
]

SUBSCRIBER_LIFETIME: Final = 3 * YEAR

_SIGNATURE: Final = frozenset({KeyUsageBit.DIGITAL_SIGNATURE, KeyUsageBit.NON_REPUDIATION})
_ENCIPHERMENT: Final = frozenset({KeyUsageBit.KEY_ENCIPHERMENT})
_AGREEMENT: Final = frozenset({KeyUsageBit.KEY_AGREEMENT})
_SIGNATURE_AND_ENCIPHERMENT: Final = frozenset({KeyUsageBit.DIGITAL_SIGNATURE, KeyUsageBit.KEY_ENCIPHERMENT})
_LOGON: Final = frozenset({purposes.SMART_CARD_LOGON, purposes.PKINIT_CLIENT, purposes.SECURE_SHELL_CLIENT})
_NOT_PIV_I: Final = frozenset({"1.2.840.113549.1.1.12", "1.2.840.113549.1.1.13", "1.2.840.10045.4.3.4"})
"""SHA-384 and SHA-512 with RSA, and ECDSA with SHA-512, which the PIV-I profiles do not list (P-2)."""

_CARD_AUTHENTICATION: Final = CertificateProfile(
    name="card-authentication",
    title="Card authentication (9E)",
    source="FIPS 201-3 §4.2.2.2; profiles v2.2, card authentication",
    lifetime=SUBSCRIBER_LIFETIME,
    within_card=True,
    policy="card-authentication",
    other_policies=False,
    extended_key_usage=(purposes.PIV_CARD_AUTHENTICATION,),
    extended_key_usage_critical=True,
    common_name=Presence.ABSENT,
    subject_serial_number=Presence.REQUIRED,
    uuid=Presence.REQUIRED,
    fascn=Presence.REQUIRED,
    further_extensions=(INTERIM_INDICATOR,),
)
_PIV_AUTHENTICATION: Final = CertificateProfile(
    name="piv-authentication",
    title="PIV authentication (9A)",
    source="FIPS 201-3 §4.2.2.1; profiles v2.2, PIV authentication",
    lifetime=SUBSCRIBER_LIFETIME,
    within_card=True,
    policy="piv-authentication",
    extended_key_usage=(purposes.CLIENT_AUTHENTICATION, purposes.SMART_CARD_LOGON),
    optional_purposes=_LOGON - {purposes.SMART_CARD_LOGON},
    optional_basic_constraints=True,
    uuid=Presence.REQUIRED,
    most_uuids=2,
    fascn=Presence.REQUIRED,
    upn=Presence.OPTIONAL,
    other_names=True,
    further_extensions=VETTED_PERSON_EXTENSIONS,
)
_CONTENT_SIGNING: Final = CertificateProfile(
    name="content-signing",
    title="Content signing",
    source="FIPS 201-3 §4.2.1; profiles v2.2, PIV content signing",
    lifetime=9 * YEAR,
    private_key_lifetime=3 * YEAR,
    policy="content-signing",
    other_policies=False,
    extended_key_usage=(purposes.PIV_CONTENT_SIGNING,),
    extended_key_usage_critical=True,
    possession_proven=False,
)
_DIGITAL_SIGNATURE: Final = CertificateProfile(
    name="piv-digital-signature",
    title="Digital signature (9C)",
    source="FIPS 201-3 §4.2.2.3; profiles v2.2, digital signature",
    lifetime=SUBSCRIBER_LIFETIME,
    within_card=True,
    policy="subscriber",
    several_policies=True,
    key_usage=_SIGNATURE,
    extended_key_usage=(purposes.EMAIL_PROTECTION, purposes.DOCUMENT_SIGNING),
    optional_purposes=frozenset({purposes.DOCUMENT_SIGNING}),
    optional_basic_constraints=True,
    mail=Presence.REQUIRED,
    upn=Presence.OPTIONAL,
    other_names=True,
    further_extensions=PERSON_EXTENSIONS,
)
_KEY_MANAGEMENT: Final = replace(
    _DIGITAL_SIGNATURE,
    name="piv-key-management",
    title="Key management (9D)",
    source="FIPS 201-3 §4.2.2.4; profiles v2.2, key management",
    key_usage=_ENCIPHERMENT,
    key_usage_elliptic=_AGREEMENT,
    extended_key_usage=(purposes.EMAIL_PROTECTION,),
    optional_purposes=frozenset(),
    possession_proven=False,
)
_DERIVED: Final = CertificateProfile(
    name="derived-piv-authentication",
    title="Derived PIV authentication",
    source="SP 800-157 §3.1; profiles v2.2, derived PIV authentication",
    lifetime=SUBSCRIBER_LIFETIME,
    policy="derived-piv-authentication",
    extended_key_usage=(purposes.CLIENT_AUTHENTICATION, purposes.SMART_CARD_LOGON),
    optional_purposes=_LOGON,
    optional_basic_constraints=True,
    uuid=Presence.FRESH,
    upn=Presence.OPTIONAL,
    mail=Presence.OPTIONAL,
    other_names=True,
    further_extensions=VETTED_PERSON_EXTENSIONS,
)
_DEVICE: Final = CertificateProfile(
    name="device",
    title="Device, of any make",
    source="profiles v2.2, devices",
    lifetime=SUBSCRIBER_LIFETIME,
    minted=False,
    policy="device-identity",
    optional_key_usage=frozenset({KeyUsageBit.DIGITAL_SIGNATURE, *_ENCIPHERMENT, *_AGREEMENT}),
    other_purposes=True,
    extended_key_usage_critical=None,
    optional_basic_constraints=True,
    other_names=True,
    key_types=ALL_KEYS,
    common_name=Presence.OPTIONAL,
)

_ALL: Final = (
    *AUTHORITY_PROFILES,
    _PIV_AUTHENTICATION,
    _CARD_AUTHENTICATION,
    _DIGITAL_SIGNATURE,
    _KEY_MANAGEMENT,
    _CONTENT_SIGNING,
    replace(
        _PIV_AUTHENTICATION,
        name="piv-i-authentication",
        title="PIV-I authentication",
        source="Common PIV-I profile v1.3, authentication",
        policy="piv-i-authentication",
        fascn=Presence.OPTIONAL,
        forbidden_signatures=_NOT_PIV_I,
    ),
    replace(
        _CARD_AUTHENTICATION,
        name="piv-i-card-authentication",
        title="PIV-I card authentication",
        source="Common PIV-I profile v1.3, card authentication",
        policy="piv-i-card-authentication",
        fascn=Presence.ABSENT,
        forbidden_signatures=_NOT_PIV_I,
    ),
    replace(
        _CONTENT_SIGNING,
        name="piv-i-content-signing",
        title="PIV-I content signing",
        source="Common PIV-I profile v1.3, content signing",
        policy="piv-i-content-signing",
        extended_key_usage=(purposes.PIV_I_CONTENT_SIGNING,),
        forbidden_signatures=_NOT_PIV_I,
    ),
    _DERIVED,
    replace(
        _DERIVED,
        name="derived-piv-authentication-hardware",
        title="Derived PIV authentication, in hardware",
        minted=False,
        policy="derived-piv-authentication-hardware",
    ),
    replace(
        _DIGITAL_SIGNATURE,
        name="derived-digital-signature",
        title="Digital signature beside a derived credential",
        source="SP 800-157 appendix A; profiles v2.2, digital signature",
        within_card=False,
    ),
    replace(
        _KEY_MANAGEMENT,
        name="derived-key-management",
        title="Key management beside a derived credential",
        source="SP 800-157 appendix A; profiles v2.2, key management",
        within_card=False,
    ),
    CertificateProfile(
        name="authentication",
        title="Authentication, other than PIV",
        source="profiles v2.2, authentication",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="subscriber",
        several_policies=True,
        extended_key_usage=(purposes.CLIENT_AUTHENTICATION,),
        other_purposes=True,
        optional_basic_constraints=True,
        upn=Presence.OPTIONAL,
        mail=Presence.OPTIONAL,
        other_names=True,
        further_extensions=PERSON_EXTENSIONS,
    ),
    _DEVICE,
    replace(
        _DEVICE,
        name="device-identity",
        title="Device identity of a managed phone",
        lifetime=YEAR,
        minted=True,
        extended_key_usage=(purposes.CLIENT_AUTHENTICATION,),
        common_name=Presence.REQUIRED,
        uuid=Presence.REQUIRED,
        key_types=_DERIVED.key_types,
    ),
    replace(
        _DEVICE,
        name="tls-server",
        title="TLS server",
        source="profiles v2.2, devices; RFC 9525",
        lifetime=YEAR,
        minted=True,
        policy="tls-server",
        extended_key_usage=(purposes.SERVER_AUTHENTICATION,),
        common_name=Presence.REQUIRED,
        dns=Presence.REQUIRED,
        ip=Presence.OPTIONAL,
        possession_proven=False,
    ),
    CertificateProfile(
        name="key-generation-signer",
        title="Signer of keys made for others",
        source="RFC 7030 §4.4.2; RFC 9480 §2.2",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="key-generation-signer",
        extended_key_usage=(purposes.KEY_GENERATION_AUTHORITY,),
        key_types=ALL_KEYS,
        possession_proven=False,
    ),
    CertificateProfile(
        name="managed-endpoint",
        title="Endpoint that somebody else manages",
        source="profiles v2.2, devices; RFC 8894",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="managed-endpoint",
        key_usage=_SIGNATURE_AND_ENCIPHERMENT,
        key_usage_elliptic=DIGITAL_SIGNATURE,
        extended_key_usage=(purposes.CLIENT_AUTHENTICATION,),
        uuid=Presence.OPTIONAL,
        upn=Presence.OPTIONAL,
        mail=Presence.OPTIONAL,
        dns=Presence.OPTIONAL,
        security_identifier=Presence.OPTIONAL,
        key_types=ALL_KEYS,
    ),
    CertificateProfile(
        name="registration-authority",
        title="SCEP registration authority",
        source="RFC 8894 §2.1.2",
        lifetime=YEAR,
        policy="registration-authority",
        key_usage=_SIGNATURE_AND_ENCIPHERMENT,
        extended_key_usage=(purposes.CERTIFICATE_REQUEST_AGENT,),
        key_types=RSA_KEYS,
        possession_proven=False,
    ),
)

PROFILES: Final[Mapping[str, CertificateProfile]] = {profile.name: profile for profile in _ALL}
"""Every profile by its name."""


def profile_named(name: str) -> CertificateProfile:
    """Return the profile called `name`."""
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(PROFILES)
        raise NotFound(
            "profile_not_found", f"There is no certificate profile called {name}. There are: {known}."
        ) from None
