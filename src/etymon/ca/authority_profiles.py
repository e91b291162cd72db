# SPDX-License-Identifier: Apache-2.0
"""The profiles of authorities and of the responders that answer for them (profiles v2.2; RFC 6960 §4.2.2.2)."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from cryptography.x509.oid import ExtensionOID

from etymon.ca import purposes
from etymon.ca.profile import (
    ALL_KEYS,
    YEAR,
    BasicConstraints,
    CertificateProfile,
    FurtherExtension,
    KeyUsageBit,
    Presence,
)

RESPONDER_LIFETIME: Final = timedelta(days=120)

_AUTHORITY: Final = frozenset({KeyUsageBit.CERTIFICATE_SIGNING, KeyUsageBit.CRL_SIGNING})
_CONSTRAINTS: Final = (
    FurtherExtension(ExtensionOID.EXTENDED_KEY_USAGE, Presence.OPTIONAL, critical=False),
    FurtherExtension(ExtensionOID.NAME_CONSTRAINTS, Presence.OPTIONAL, critical=True),
)
_INTERMEDIATE_EXTENSIONS: Final = (
    *_CONSTRAINTS,
    FurtherExtension(ExtensionOID.POLICY_CONSTRAINTS, Presence.OPTIONAL, critical=True),
    FurtherExtension(ExtensionOID.INHIBIT_ANY_POLICY, Presence.OPTIONAL, critical=True),
    FurtherExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, Presence.OPTIONAL, critical=False),
)
_CROSS_EXTENSIONS: Final = (
    *_CONSTRAINTS,
    FurtherExtension(ExtensionOID.POLICY_MAPPINGS, Presence.REQUIRED, critical=False),
    FurtherExtension(ExtensionOID.POLICY_CONSTRAINTS, Presence.REQUIRED, critical=True),
    FurtherExtension(ExtensionOID.INHIBIT_ANY_POLICY, Presence.REQUIRED, critical=True),
)

_INTERMEDIATE: Final = CertificateProfile(
    name="intermediate-ca",
    title="Intermediate CA",
    source="profiles v2.2, intermediate CA",
    lifetime=15 * YEAR,
    key_usage=_AUTHORITY,
    basic_constraints=BasicConstraints.AUTHORITY,
    path_length_optional=True,
    key_types=ALL_KEYS,
    possession_proven=False,
    ocsp=Presence.OPTIONAL,
    ca_repository=Presence.REQUIRED,
    further_extensions=_INTERMEDIATE_EXTENSIONS,
)

AUTHORITY_PROFILES: Final = (
    CertificateProfile(
        name="root-ca",
        title="Root CA",
        source="profiles v2.2, self-signed CA",
        lifetime=20 * YEAR,
        self_signed=True,
        key_usage=_AUTHORITY,
        basic_constraints=BasicConstraints.AUTHORITY,
        key_types=ALL_KEYS,
        possession_proven=False,
        crl_distribution_point=False,
        ca_issuers=Presence.ABSENT,
        ocsp=Presence.ABSENT,
        ca_repository=Presence.REQUIRED,
    ),
    _INTERMEDIATE,
    replace(
        _INTERMEDIATE,
        name="issuing-ca",
        title="Issuing CA",
        lifetime=10 * YEAR,
        basic_constraints=BasicConstraints.LAST_AUTHORITY,
        path_length_optional=False,
        ca_repository=Presence.OPTIONAL,
    ),
    replace(
        _INTERMEDIATE,
        name="cross-ca",
        title="Cross-certified CA",
        source="profiles v2.2, cross certificate",
        lifetime=20 * YEAR,
        minted=False,
        further_extensions=_CROSS_EXTENSIONS,
    ),
    CertificateProfile(
        name="ocsp-responder",
        title="Delegated OCSP responder",
        source="profiles v2.2, delegated OCSP responder; RFC 6960 §4.2.2.2",
        lifetime=RESPONDER_LIFETIME,
        private_key_lifetime=3 * YEAR,
        extended_key_usage=(purposes.OCSP_SIGNING,),
        extended_key_usage_critical=True,
        basic_constraints=BasicConstraints.END_ENTITY,
        key_types=ALL_KEYS,
        possession_proven=False,
        crl_distribution_point=False,
        ca_issuers=Presence.OPTIONAL,
        ocsp=Presence.ABSENT,
        ocsp_no_check=True,
        other_names=True,
    ),
)
"""Self-signed, intermediate, issuing and cross-certified authorities, and delegated responders."""
