# SPDX-License-Identifier: Apache-2.0
"""What an authority deals in: names it certifies, requests, certificates and their states."""

import enum
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from cryptography import x509

from etymon.pki.csr import CertifiableKey

SERIAL_BITS: Final = 127
"""Random bits in a serial number: positive, 16 octets (RFC 5280 §4.1.2.2 allows 20; Common Policy asks for 64 bits)."""

BACKDATE: Final = timedelta(minutes=5)
"""Certificates begin this long before they are planned: clocks of phones and servers differ."""


class CertificateState(enum.StrEnum):
    """Where a certificate stands."""

    PLANNED = "planned"
    ISSUED = "issued"
    HELD = "held"
    """Suspended: revoked for everybody who asks, until it is restored or revoked for good."""
    REVOKED = "revoked"
    ABANDONED = "abandoned"


ALLOWED: Final[Mapping[CertificateState, frozenset[CertificateState]]] = {
    CertificateState.PLANNED: frozenset({CertificateState.ISSUED, CertificateState.ABANDONED}),
    CertificateState.ISSUED: frozenset({CertificateState.HELD, CertificateState.REVOKED}),
    CertificateState.HELD: frozenset({CertificateState.ISSUED, CertificateState.REVOKED}),
    CertificateState.REVOKED: frozenset(),
    CertificateState.ABANDONED: frozenset(),
}
"""The moves a certificate may make."""


class RevocationReason(enum.IntEnum):
    """Why a certificate was revoked: CRLReason of RFC 5280 §5.3.1, without AA codes and without hold, a state."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    CA_COMPROMISE = 2
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    PRIVILEGE_WITHDRAWN = 9


CERTIFICATE_HOLD: Final = 6
"""CRLReason `certificateHold`: what is said of a certificate that is held (RFC 5280 §5.3.1)."""


@dataclass(frozen=True, slots=True)
class Validity:
    """Validity of a certificate; both ends are inside it (RFC 5280 §4.1.2.5)."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def starting(cls, now: datetime, lifetime: timedelta) -> "Validity":
        """Return the validity that begins `BACKDATE` before `now` and has `lifetime`, both ends included."""
        start = now.replace(microsecond=0) - BACKDATE
        return cls(start, start + lifetime - timedelta(seconds=1))

    def ending(self, not_after: datetime) -> "Validity":
        """Return the same beginning with the earlier of both ends."""
        return Validity(self.not_before, min(self.not_after, not_after.replace(microsecond=0)))


@dataclass(frozen=True, slots=True)
class SubjectNames:
    """A distinguished name, from the outside in (Common Policy 3.1.1)."""

    common_name: str | None = None
    organization: str | None = None
    organizational_units: tuple[str, ...] = ()
    country: str | None = None
    domain_components: tuple[str, ...] = ()
    serial_number: str | None = None


@dataclass(frozen=True, slots=True)
class AlternativeNames:
    """Subject alternative names. `fascn` is the 25 encoded bytes; `uuid` becomes a `urn:uuid`.

    `security_identifier` is an account's in Active Directory (S-1-5-…); it becomes a tag URI.
    """

    uuid: UUID | None = None
    fascn: bytes | None = None
    upn: str | None = None
    mail: str | None = None
    dns: tuple[str, ...] = ()
    ip: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...] = ()
    security_identifier: str | None = None


NO_NAMES: Final = AlternativeNames()


@dataclass(frozen=True, slots=True)
class IssuanceRequest:
    """What somebody authorized is asking an authority for. Names come from records, never from the request's CSR.

    `request_key` names the authorization: asking again under the same key with the same public key is the same
    request. `not_after` shortens the profile's lifetime. `authorized_by` is the audit trail's actor.
    """

    ca: str
    profile: str
    request_key: str
    key: CertifiableKey
    subject: SubjectNames
    authorized_by: str
    alternative: AlternativeNames = NO_NAMES
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Authority:
    """A certification authority as it is stored. `profiles` and `policies` (OIDs) are what it may certify.

    `revoked_at` and `reason` are of its own certificate, where the authority above has revoked that.
    """

    name: str
    parent: str | None
    certificate: x509.Certificate
    profiles: frozenset[str]
    policies: tuple[str, ...]
    revocations: int
    created_at: datetime
    revoked_at: datetime | None = None
    reason: RevocationReason | None = None


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """A certificate as it is stored. `der` is there once it was issued; `tbs` until then.

    `revoked_at` is since when it is not to be relied on: of a hold its beginning, also when it was revoked after it.
    """

    id: UUID
    ca: str
    serial: int
    profile: str
    state: CertificateState
    request_key: str
    spki_sha256: bytes
    not_before: datetime
    not_after: datetime
    authorized_by: str
    planned_at: datetime
    tbs: bytes | None = None
    der: bytes | None = None
    issued_at: datetime | None = None
    revoked_at: datetime | None = None
    reason: RevocationReason | None = None
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class PlannedCertificate:
    """What will be signed is stored; `issuance.complete` takes the id."""

    id: UUID


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that was issued, with the authorities above it: the issuing one first, the root last."""

    id: UUID
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate's end."""

    certificate_id: UUID
    ca: str
    serial: int
    revoked_at: datetime
    reason: RevocationReason


@dataclass(frozen=True, slots=True)
class Hold:
    """A certificate's suspension: since when, and until when it has to be restored to be of use again."""

    certificate_id: UUID
    ca: str
    serial: int
    held_at: datetime
    until: datetime
