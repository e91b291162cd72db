# SPDX-License-Identifier: Apache-2.0
"""Certificate profiles as data: what each kind of certificate holds, and what it never does.

Source: Common Policy X.509 certificate and CRL profiles v2.2, FIPS 201-3 §4.2, SP 800-157 §3, RFC 5280.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from etymon.kernel.errors import NotFound
from etymon.pki.algorithms import KeyType

CLIENT_AUTHENTICATION: Final = "1.3.6.1.5.5.7.3.2"
SERVER_AUTHENTICATION: Final = "1.3.6.1.5.5.7.3.1"
EMAIL_PROTECTION: Final = "1.3.6.1.5.5.7.3.4"
OCSP_SIGNING: Final = "1.3.6.1.5.5.7.3.9"
KEY_GENERATION_AUTHORITY: Final = "1.3.6.1.5.5.7.3.32"
"""id-kp-cmKGA (RFC 9480 §2.2): signs private keys that were made for somebody else."""
CERTIFICATE_REQUEST_AGENT: Final = "1.3.6.1.4.1.311.20.2.1"
"""What Windows looks for in the certificate of a SCEP registration authority."""
SMART_CARD_LOGON: Final = "1.3.6.1.4.1.311.20.2.2"
DOCUMENT_SIGNING: Final = "1.3.6.1.4.1.311.10.3.12"
PIV_CARD_AUTHENTICATION: Final = "2.16.840.1.101.3.6.8"
PIV_CONTENT_SIGNING: Final = "2.16.840.1.101.3.6.7"

YEAR: Final = timedelta(days=365)
SUBSCRIBER_LIFETIME: Final = 3 * YEAR
RESPONDER_LIFETIME: Final = timedelta(days=120)


class Presence(enum.Enum):
    """Whether a name stands in a certificate."""

    ABSENT = "absent"
    OPTIONAL = "optional"
    REQUIRED = "required"
    FRESH = "fresh"
    """The authority makes it, new in every certificate; whoever asks may not give one."""


class BasicConstraints(enum.Enum):
    """The basicConstraints extension (RFC 5280 §4.2.1.9)."""

    ABSENT = "absent"
    END_ENTITY = "end-entity"
    AUTHORITY = "authority"
    """cA, no path length."""
    LAST_AUTHORITY = "last-authority"
    """cA, path length zero: certifies subscribers only."""


class KeyUsageBit(enum.StrEnum):
    """Bits of keyUsage, under the names the certificate library gives them."""

    DIGITAL_SIGNATURE = "digital_signature"
    NON_REPUDIATION = "content_commitment"
    KEY_ENCIPHERMENT = "key_encipherment"
    KEY_AGREEMENT = "key_agreement"
    CERTIFICATE_SIGNING = "key_cert_sign"
    CRL_SIGNING = "crl_sign"


SUBSCRIBER_KEYS: Final = frozenset({KeyType.P256, KeyType.P384, KeyType.RSA2048, KeyType.RSA3072})
"""SP 800-78-5 table 1; 4096 bits are for other than cards."""
RSA_KEYS: Final = frozenset({KeyType.RSA2048, KeyType.RSA3072, KeyType.RSA4096})
ALL_KEYS: Final = frozenset(KeyType)
DIGITAL_SIGNATURE: Final = frozenset({KeyUsageBit.DIGITAL_SIGNATURE})


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProfile:
    """One kind of certificate. `policy` names an entry of the deployment's policy OIDs.

    Authorities and responders assert several policies: those of the authority they belong to.
    """

    name: str
    lifetime: timedelta
    policy: str | None = None
    key_usage: frozenset[KeyUsageBit] = DIGITAL_SIGNATURE
    key_usage_elliptic: frozenset[KeyUsageBit] | None = None
    extended_key_usage: tuple[str, ...] = ()
    extended_key_usage_critical: bool = False
    basic_constraints: BasicConstraints = BasicConstraints.ABSENT
    common_name: Presence = Presence.REQUIRED
    subject_serial_number: Presence = Presence.OPTIONAL
    uuid: Presence = Presence.ABSENT
    fascn: Presence = Presence.ABSENT
    upn: Presence = Presence.ABSENT
    mail: Presence = Presence.ABSENT
    dns: Presence = Presence.ABSENT
    ip: Presence = Presence.ABSENT
    security_identifier: Presence = Presence.ABSENT
    key_types: frozenset[KeyType] = field(default=SUBSCRIBER_KEYS)
    possession_proven: bool = True
    crl_distribution_point: bool = True
    ocsp: bool = True
    ocsp_no_check: bool = False

    @property
    def is_authority(self) -> bool:
        """Say whether the certificate signs certificates."""
        return self.basic_constraints in {BasicConstraints.AUTHORITY, BasicConstraints.LAST_AUTHORITY}

    @property
    def asserts_all_policies(self) -> bool:
        """Say whether the certificate carries every policy of its authority instead of one of its own."""
        return self.is_authority or self.ocsp_no_check

    def key_usage_for(self, kind: KeyType) -> frozenset[KeyUsageBit]:
        """Return the bits for a key of `kind`."""
        elliptic = kind in {KeyType.P256, KeyType.P384}
        return self.key_usage_elliptic if elliptic and self.key_usage_elliptic is not None else self.key_usage


_AUTHORITY: Final = frozenset({KeyUsageBit.CERTIFICATE_SIGNING, KeyUsageBit.CRL_SIGNING})
_SIGNATURE: Final = frozenset({KeyUsageBit.DIGITAL_SIGNATURE, KeyUsageBit.NON_REPUDIATION})
_ENCIPHERMENT: Final = frozenset({KeyUsageBit.KEY_ENCIPHERMENT})
_AGREEMENT: Final = frozenset({KeyUsageBit.KEY_AGREEMENT})
_SIGNATURE_AND_ENCIPHERMENT: Final = DIGITAL_SIGNATURE | _ENCIPHERMENT

_ALL: Final = (
    CertificateProfile(
        name="root-ca",
        lifetime=20 * YEAR,
        key_usage=_AUTHORITY,
        basic_constraints=BasicConstraints.AUTHORITY,
        key_types=ALL_KEYS,
        possession_proven=False,
        crl_distribution_point=False,
        ocsp=False,
    ),
    CertificateProfile(
        name="intermediate-ca",
        lifetime=15 * YEAR,
        key_usage=_AUTHORITY,
        basic_constraints=BasicConstraints.AUTHORITY,
        key_types=ALL_KEYS,
        possession_proven=False,
        ocsp=False,
    ),
    CertificateProfile(
        name="issuing-ca",
        lifetime=10 * YEAR,
        key_usage=_AUTHORITY,
        basic_constraints=BasicConstraints.LAST_AUTHORITY,
        key_types=ALL_KEYS,
        possession_proven=False,
        ocsp=False,
    ),
    CertificateProfile(
        name="ocsp-responder",
        lifetime=RESPONDER_LIFETIME,
        extended_key_usage=(OCSP_SIGNING,),
        extended_key_usage_critical=True,
        basic_constraints=BasicConstraints.END_ENTITY,
        key_types=ALL_KEYS,
        possession_proven=False,
        crl_distribution_point=False,
        ocsp=False,
        ocsp_no_check=True,
    ),
    CertificateProfile(
        name="piv-authentication",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="piv-authentication",
        extended_key_usage=(CLIENT_AUTHENTICATION, SMART_CARD_LOGON),
        uuid=Presence.REQUIRED,
        fascn=Presence.REQUIRED,
        upn=Presence.OPTIONAL,
    ),
    CertificateProfile(
        name="card-authentication",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="card-authentication",
        extended_key_usage=(PIV_CARD_AUTHENTICATION,),
        extended_key_usage_critical=True,
        common_name=Presence.ABSENT,
        subject_serial_number=Presence.REQUIRED,
        uuid=Presence.REQUIRED,
        fascn=Presence.REQUIRED,
    ),
    CertificateProfile(
        name="piv-digital-signature",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="subscriber",
        key_usage=_SIGNATURE,
        extended_key_usage=(EMAIL_PROTECTION, DOCUMENT_SIGNING),
        mail=Presence.REQUIRED,
        upn=Presence.OPTIONAL,
    ),
    CertificateProfile(
        name="piv-key-management",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="subscriber",
        key_usage=_ENCIPHERMENT,
        key_usage_elliptic=_AGREEMENT,
        extended_key_usage=(EMAIL_PROTECTION,),
        mail=Presence.REQUIRED,
        upn=Presence.OPTIONAL,
        possession_proven=False,
    ),
    CertificateProfile(
        name="content-signing",
        lifetime=9 * YEAR,
        policy="content-signing",
        extended_key_usage=(PIV_CONTENT_SIGNING,),
        extended_key_usage_critical=True,
        possession_proven=False,
    ),
    CertificateProfile(
        name="derived-piv-authentication",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="derived-piv-authentication",
        extended_key_usage=(CLIENT_AUTHENTICATION, SMART_CARD_LOGON),
        uuid=Presence.FRESH,
        upn=Presence.OPTIONAL,
        mail=Presence.OPTIONAL,
    ),
    CertificateProfile(
        name="derived-digital-signature",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="subscriber",
        key_usage=_SIGNATURE,
        extended_key_usage=(EMAIL_PROTECTION, DOCUMENT_SIGNING),
        mail=Presence.REQUIRED,
        upn=Presence.OPTIONAL,
    ),
    CertificateProfile(
        name="derived-key-management",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="subscriber",
        key_usage=_ENCIPHERMENT,
        key_usage_elliptic=_AGREEMENT,
        extended_key_usage=(EMAIL_PROTECTION,),
        mail=Presence.REQUIRED,
        upn=Presence.OPTIONAL,
        possession_proven=False,
    ),
    CertificateProfile(
        name="device-identity",
        lifetime=YEAR,
        policy="device-identity",
        extended_key_usage=(CLIENT_AUTHENTICATION,),
        uuid=Presence.REQUIRED,
    ),
    CertificateProfile(
        name="tls-server",
        lifetime=YEAR,
        policy="tls-server",
        extended_key_usage=(SERVER_AUTHENTICATION,),
        dns=Presence.REQUIRED,
        ip=Presence.OPTIONAL,
        key_types=ALL_KEYS,
        possession_proven=False,
    ),
    CertificateProfile(
        name="key-generation-signer",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="key-generation-signer",
        extended_key_usage=(KEY_GENERATION_AUTHORITY,),
        key_types=ALL_KEYS,
        possession_proven=False,
    ),
    CertificateProfile(
        name="managed-endpoint",
        lifetime=SUBSCRIBER_LIFETIME,
        policy="managed-endpoint",
        key_usage=_SIGNATURE_AND_ENCIPHERMENT,
        extended_key_usage=(CLIENT_AUTHENTICATION,),
        uuid=Presence.OPTIONAL,
        upn=Presence.OPTIONAL,
        mail=Presence.OPTIONAL,
        dns=Presence.OPTIONAL,
        security_identifier=Presence.OPTIONAL,
        key_types=RSA_KEYS,
    ),
    CertificateProfile(
        name="registration-authority",
        lifetime=YEAR,
        policy="registration-authority",
        key_usage=_SIGNATURE_AND_ENCIPHERMENT,
        extended_key_usage=(CERTIFICATE_REQUEST_AGENT,),
        key_types=RSA_KEYS,
        possession_proven=False,
    ),
)

PROFILES: Final[Mapping[str, CertificateProfile]] = {profile.name: profile for profile in _ALL}
"""Every profile by its name."""

EXAMPLE_POLICY_OIDS: Final[Mapping[str, str]] = {
    "subscriber": "2.999.1.6",
    "piv-authentication": "2.999.1.13",
    "card-authentication": "2.999.1.17",
    "content-signing": "2.999.1.39",
    "derived-piv-authentication": "2.999.1.40",
    "device-identity": "2.999.1.101",
    "tls-server": "2.999.1.102",
    "key-generation-signer": "2.999.1.103",
    "managed-endpoint": "2.999.1.104",
    "registration-authority": "2.999.1.105",
}
"""Policies under the arc for examples (X.660); last arcs follow the Common Policy where it has a counterpart.

An organization configures OIDs of its own; the federal arcs belong to whoever is authorized to assert them.
"""


def profile_named(name: str) -> CertificateProfile:
    """Return the profile called `name`."""
    try:
        return PROFILES[name]
    except KeyError:
        raise NotFound("profile_not_found", f"There is no certificate profile called {name}.") from None
