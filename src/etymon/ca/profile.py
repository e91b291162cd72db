# SPDX-License-Identifier: Apache-2.0
"""What a certificate profile is: each field of a certificate, and whether it must, may or may not stand there.

A profile says two things. What this issuer writes is one choice among what the profile allows; a certificate of
somebody else's is judged by all that is allowed.
"""

import enum
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from cryptography import x509

from etymon.ca.purposes import PIV_INTERIM, SUBJECT_DIRECTORY_ATTRIBUTES
from etymon.pki.algorithms import KeyType


class Presence(enum.Enum):
    """Whether something stands in a certificate."""

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


YEAR: Final = timedelta(days=365)

SUBSCRIBER_KEYS: Final = frozenset({KeyType.P256, KeyType.P384, KeyType.RSA2048, KeyType.RSA3072})
"""SP 800-78-5 table 1; 4096 bits are for other than cards."""
RSA_KEYS: Final = frozenset({KeyType.RSA2048, KeyType.RSA3072, KeyType.RSA4096})
ALL_KEYS: Final = frozenset(KeyType)
DIGITAL_SIGNATURE: Final = frozenset({KeyUsageBit.DIGITAL_SIGNATURE})


@dataclass(frozen=True, slots=True)
class FurtherExtension:
    """An extension that is never written here and that somebody else's certificate has or may have."""

    oid: x509.ObjectIdentifier
    presence: Presence
    critical: bool


INTERIM_INDICATOR: Final = FurtherExtension(PIV_INTERIM, Presence.OPTIONAL, critical=False)
PERSON_EXTENSIONS: Final = (FurtherExtension(SUBJECT_DIRECTORY_ATTRIBUTES, Presence.OPTIONAL, critical=False),)
VETTED_PERSON_EXTENSIONS: Final = (*PERSON_EXTENSIONS, INTERIM_INDICATOR)
"""With the interim indicator, which only certificates for authentication have (profiles v2.2, P-17)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProfile:
    """One kind of certificate. `policy` names an entry of the deployment's policy OIDs.

    Authorities and responders assert several policies: those of the authority they belong to.
    """

    name: str
    title: str
    source: str
    lifetime: timedelta
    private_key_lifetime: timedelta | None = None
    """How long the private key may sign; None: as long as the certificate lives."""
    within_card: bool = False
    """Carried by a card, which it never outlives (FIPS 201-3 §5.2.1): who asks for one must say when the card ends."""
    minted: bool = True
    """Whether this issuer makes such certificates, or only judges those of others."""
    self_signed: bool = False
    policy: str | None = None
    several_policies: bool = False
    """Whether somebody else's may assert more than one of the policies that are for this profile."""
    other_policies: bool = True
    """Whether it may assert its own organisation's policies beside."""
    key_usage: frozenset[KeyUsageBit] = DIGITAL_SIGNATURE
    key_usage_elliptic: frozenset[KeyUsageBit] | None = None
    optional_key_usage: frozenset[KeyUsageBit] = frozenset()
    """Bits that may stand in somebody else's certificate beside, or instead of, those written here."""
    extended_key_usage: tuple[str, ...] = ()
    optional_purposes: frozenset[str] = frozenset()
    """Purposes that need not, and may, stand in somebody else's certificate."""
    other_purposes: bool = False
    """Whether purposes that nobody named may stand beside those."""
    extended_key_usage_critical: bool | None = False
    """None: somebody else's may be either; written here it is not critical."""
    basic_constraints: BasicConstraints = BasicConstraints.ABSENT
    optional_basic_constraints: bool = False
    """Whether somebody else's may say that it is no authority."""
    path_length_optional: bool = False
    common_name: Presence = Presence.REQUIRED
    subject_serial_number: Presence = Presence.OPTIONAL
    uuid: Presence = Presence.ABSENT
    most_uuids: int = 1
    fascn: Presence = Presence.ABSENT
    upn: Presence = Presence.ABSENT
    mail: Presence = Presence.ABSENT
    dns: Presence = Presence.ABSENT
    ip: Presence = Presence.ABSENT
    security_identifier: Presence = Presence.ABSENT
    other_names: bool = False
    """Whether somebody else's may have alternative names of kinds that are not written here."""
    key_types: frozenset[KeyType] = field(default=SUBSCRIBER_KEYS)
    forbidden_signatures: frozenset[str] = frozenset()
    """Signature algorithms (OIDs) that profiles in general may have and this one has not (P-2)."""
    possession_proven: bool = True
    crl_distribution_point: bool = True
    ca_issuers: Presence = Presence.REQUIRED
    ocsp: Presence = Presence.REQUIRED
    """The responder's address; written here where it is required."""
    ca_repository: Presence = Presence.ABSENT
    ocsp_no_check: bool = False
    further_extensions: tuple[FurtherExtension, ...] = ()

    @property
    def is_authority(self) -> bool:
        """Say whether the certificate signs certificates."""
        return self.basic_constraints in {BasicConstraints.AUTHORITY, BasicConstraints.LAST_AUTHORITY}

    @property
    def asserts_all_policies(self) -> bool:
        """Say whether the certificate carries every policy of its authority instead of one of its own."""
        return self.is_authority or self.ocsp_no_check

    @property
    def alternative_names(self) -> Presence:
        """Return whether the extension for alternative names stands in what is written here."""
        names = {
            self.uuid,
            self.fascn,
            self.upn,
            self.mail,
            self.dns,
            self.ip,
            self.security_identifier,
        }
        if names & {Presence.REQUIRED, Presence.FRESH}:
            return Presence.REQUIRED
        return Presence.OPTIONAL if Presence.OPTIONAL in names else Presence.ABSENT

    @property
    def names_a_person(self) -> bool:
        """Say whether the subject is a human being."""
        return any(further.oid == SUBJECT_DIRECTORY_ATTRIBUTES for further in self.further_extensions)

    def key_usage_for(self, kind: KeyType) -> frozenset[KeyUsageBit]:
        """Return the bits for a key of `kind`."""
        elliptic = kind in {KeyType.P256, KeyType.P384}
        return self.key_usage_elliptic if elliptic and self.key_usage_elliptic is not None else self.key_usage
