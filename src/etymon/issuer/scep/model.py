# SPDX-License-Identifier: Apache-2.0
"""SCEP connectors, the challenges that open them, and the enrollments that went through."""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.ca.model import AlternativeNames, SubjectNames
from etymon.issuer.model import EndReason
from etymon.kernel.errors import Malformed
from etymon.pki.algorithms import KeyType
from etymon.pki.message_algorithms import Permitted

PROFILE: Final = "managed-endpoint"
HIERARCHY: Final = "managed"
"""Whose certificates connectors give out; no door of this deployment takes them."""

CONNECTOR_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
CHALLENGE_LIFETIME: Final = timedelta(minutes=60)
"""What the genuine challenge page promises, and endpoint managers reckon with."""

LONGEST_LIFETIME: Final = timedelta(days=3 * 365)
RSA_KEY_TYPES: Final = frozenset({KeyType.RSA2048, KeyType.RSA3072, KeyType.RSA4096})
"""What SCEP takes: its answer is enveloped to the certified key, which has to be RSA (RFC 8894 §3.1). EST takes all."""

LONGEST_DEVICE_NAME: Final = 64


class ChallengeSource(enum.StrEnum):
    """Who lets a request in."""

    MANAGEMENT = "management"
    """A management client asks for a challenge and says whose it is."""
    PAGE = "page"
    """An endpoint manager reads it from a page like that of Microsoft NDES."""
    INTUNE = "intune"
    """Microsoft Intune made the challenge; its service is asked."""


@dataclass(frozen=True, slots=True)
class Connector:
    """Through which one endpoint manager's devices get certificates; an officer made it, and issuance runs under it.

    `client` is the management client that may ask for challenges and end certificates here. `id` is what it is known
    by; another connector may have its `name` when it is withdrawn. It is None before it is saved, and where a replica
    of an earlier version saved it: then it owns what has no owner under its name.
    """

    name: str
    source: ChallengeSource
    lifetime: timedelta
    created_by: UUID
    created_at: datetime
    client: str | None = None
    key_types: frozenset[KeyType] = RSA_KEY_TYPES
    legacy_algorithms: bool = False
    id: UUID | None = None

    def __post_init__(self) -> None:
        if not CONNECTOR_NAME.fullmatch(self.name):
            raise _malformed("A connector's name has 1 to 40 lower-case letters, digits and hyphens.")
        if not timedelta(days=1) <= self.lifetime <= LONGEST_LIFETIME:
            raise _malformed("Certificates live one day at least and three years at most.")
        if not self.key_types:
            raise _malformed("Name a kind of key at least: RSA of 2048, 3072 or 4096 bits, and by EST P-256 or P-384.")
        if self.source is ChallengeSource.MANAGEMENT and self.client is None:
            raise _malformed("Name the management client that asks for the connector's challenges.")

    @property
    def permitted(self) -> Permitted:
        """Which algorithms messages may use."""
        return Permitted.LEGACY if self.legacy_algorithms else Permitted.MODERN


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a challenge was made for: a person of ours, a device of the endpoint manager's, or both.

    `device_name` is the endpoint manager's word for its device. A holder with neither person nor device name is only
    a number, which is the device's.
    """

    person: UUID | None
    device: UUID | None
    device_name: str = ""

    def __post_init__(self) -> None:
        if self.person is None and self.device is None:
            raise Malformed("malformed", "A challenge is for a person, for a device, or for both.")
        if len(self.device_name) > LONGEST_DEVICE_NAME or not self.device_name.isprintable():
            raise Malformed("malformed", f"A device's name has at most {LONGEST_DEVICE_NAME} printable characters.")

    @property
    def is_named(self) -> bool:
        """Say whether there are names that a request can be compared with."""
        return self.person is not None or bool(self.device_name)


@dataclass(frozen=True, slots=True)
class ConfirmedNames:
    """Names that an outside service has confirmed for one request."""

    subject: SubjectNames
    alternative: AlternativeNames


@dataclass(frozen=True, slots=True)
class Challenge:
    """A one-time challenge as it is kept: by its digest. `holder` is None where a service confirms the names."""

    id: UUID
    connector: str
    connector_id: UUID | None
    holder: Holder | None
    asked_by: str
    made_at: datetime
    expires_at: datetime
    request_digest: bytes | None = None


class EnrollmentState(enum.StrEnum):
    """Where a certificate of a connector stands."""

    PLANNED = "planned"
    ACTIVE = "active"
    ENDED = "ended"


ENROLLMENT_MOVES: Final[Mapping[EnrollmentState, frozenset[EnrollmentState]]] = {
    EnrollmentState.PLANNED: frozenset({EnrollmentState.ACTIVE, EnrollmentState.ENDED}),
    EnrollmentState.ACTIVE: frozenset({EnrollmentState.ENDED}),
    EnrollmentState.ENDED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Enrollment:
    """One certificate of a connector. It began with a challenge, or with the certificate of an earlier enrollment.

    `officer` made the connector as it was then, and answers for it; None where an earlier version planned it.
    `certificate` is the CA's id. A transaction id is the client's and proves nothing.
    """

    id: UUID
    connector: str
    connector_id: UUID | None
    officer: UUID | None
    challenge: UUID | None
    renews: UUID | None
    transaction_id: bytes
    request_digest: bytes
    key_thumbprint: bytes
    holder: Holder | None
    certificate: UUID
    state: EnrollmentState
    planned_at: datetime
    serial_number: str | None = None
    not_after: datetime | None = None
    issued_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None


def _malformed(detail: str) -> Malformed:
    return Malformed("malformed_scep_connector", detail)
