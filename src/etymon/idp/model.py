# SPDX-License-Identifier: Apache-2.0
"""Values of the identity provider, the states that happen once, and the moves between them."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

JWKSet: TypeAlias = "tuple[Mapping[str, str], ...]"

ACR_CARD: Final = "urn:etymon:acr:card"
ACR_DERIVED: Final = "urn:etymon:acr:derived"

AMR: Final[Mapping[str, tuple[str, ...]]] = {ACR_CARD: ("sc", "pin", "mfa"), ACR_DERIVED: ("swk", "pin", "mfa")}
"""Authentication methods of each kind of sign-in (RFC 8176 §2)."""

SCOPE_ENROLL: Final = "enroll"
SCOPE_ADMINISTRATION: Final = "administration"
SCOPE_OPENID: Final = "openid"
SCOPE_OFFLINE: Final = "offline_access"

RESOURCES: Final[Mapping[str, str]] = {SCOPE_ENROLL: "/mdm", SCOPE_ADMINISTRATION: "/graph"}
"""Scope to the path of the resource it opens; a token opens one."""

SCOPES: Final = frozenset({SCOPE_OPENID, "profile", "email", SCOPE_OFFLINE, *RESOURCES})

ACCESS_TOKEN_LIFETIME: Final = timedelta(minutes=10)
AUTHORIZATION_CODE_LIFETIME: Final = timedelta(seconds=60)
"""RFC 6749 §4.1.2 allows ten minutes at most."""
DEVICE_CODE_LIFETIME: Final = timedelta(minutes=5)
POLLING_INTERVAL: Final = timedelta(seconds=5)
SLOWER_BY: Final = timedelta(seconds=5)
"""RFC 8628 §3.5, slow_down."""
REFRESH_IDLE_LIFETIME: Final = timedelta(days=1)
GRANT_LIFETIME: Final = timedelta(days=7)
PROOF_HELD: Final = timedelta(minutes=5)
"""How long after its return a card proof may be used for what it was made for."""

USER_CODE_ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""Consonants without Y: no words, nothing that looks alike (RFC 8628 §6.1)."""
USER_CODE_LENGTH: Final = 8


class GrantType(enum.Enum):
    """What a token request stands on."""

    AUTHORIZATION_CODE = "authorization_code"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a grant, not a token
    DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class ClientAuthentication(enum.Enum):
    """How a client shows at the token endpoint who it is."""

    NONE = "none"
    PRIVATE_KEY_JWT = "private_key_jwt"


class DeviceAuthorizationKind(enum.Enum):
    """Who may start a device authorization: nobody, any program of the organisation, an enrolling phone."""

    NONE = "none"
    OPEN = "open"
    ENROLLMENT = "enrollment"


@dataclass(frozen=True, slots=True)
class Client:
    """A registered application.

    `redirect_uris` are compared exactly; one of `http://127.0.0.1` or `http://[::1]` fits any port (RFC 8252 §7.3).
    `keys` are the public JWKs of `private_key_jwt`; `assertion_issuer` and `assertion_keys` those of the endpoint
    manager that vouches for an enrolling phone.
    """

    id: str
    name: str
    redirect_uris: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset({SCOPE_OPENID, "profile", "email"})
    authentication: ClientAuthentication = ClientAuthentication.NONE
    keys: JWKSet = ()
    device_authorization: DeviceAuthorizationKind = DeviceAuthorizationKind.NONE
    assertion_issuer: str = ""
    assertion_keys: JWKSet = ()

    @property
    def grants(self) -> frozenset[GrantType]:
        """The grants this client may use."""
        grants = set()
        if self.redirect_uris:
            grants.add(GrantType.AUTHORIZATION_CODE)
        if self.device_authorization is not DeviceAuthorizationKind.NONE:
            grants.add(GrantType.DEVICE_CODE)
        if SCOPE_OFFLINE in self.scopes:
            grants.add(GrantType.REFRESH_TOKEN)
        return frozenset(grants)


@dataclass(frozen=True, slots=True)
class SignIn:
    """That a person signed in, how and when; what `acr`, `amr` and `auth_time` of a token tell."""

    person: UUID
    acr: str
    at: datetime
    trust_entry: str
    identifier: str = field(repr=False)
    proof: UUID

    @property
    def amr(self) -> tuple[str, ...]:
        """The authentication methods (RFC 8176)."""
        return AMR[self.acr]


class Purpose(enum.Enum):
    """What a certificate proof is made for; one made for another purpose is not taken."""

    SIGN_IN = "sign-in"
    SIGN_IN_WITH_CARD = "sign-in-with-card"
    BINDING = "binding"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class ProvenCertificate:
    """A certificate that was judged good, and the evidence: everything as it was received, in base64.

    `person` is who it is bound to; None where nobody is and the purpose was to bind it.
    """

    acr: str
    trust_entry: str
    identifier: str = field(repr=False)
    person: UUID | None
    validated_at: datetime
    evidence: Mapping[str, object] = field(repr=False)


class ProofState(enum.Enum):
    """Where a certificate proof is."""

    ASKED = "asked"
    PROVED = "proved"
    REDEEMED = "redeemed"
    USED = "used"


PROOF_MOVES: Final[Mapping[ProofState, frozenset[ProofState]]] = {
    ProofState.ASKED: frozenset({ProofState.PROVED}),
    ProofState.PROVED: frozenset({ProofState.PROVED, ProofState.REDEEMED}),
    ProofState.REDEEMED: frozenset({ProofState.USED}),
    ProofState.USED: frozenset(),
}
"""Proving again before the code is used replaces the code."""


class DeviceState(enum.Enum):
    """Where a device authorization is. Late is not a state: it is seen from the clock."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    SUPERSEDED = "superseded"
    USED = "used"
    ENDED = "ended"


DEVICE_MOVES: Final[Mapping[DeviceState, frozenset[DeviceState]]] = {
    DeviceState.PENDING: frozenset({DeviceState.APPROVED, DeviceState.DENIED, DeviceState.SUPERSEDED}),
    DeviceState.APPROVED: frozenset({DeviceState.USED, DeviceState.SUPERSEDED, DeviceState.ENDED}),
    DeviceState.USED: frozenset({DeviceState.ENDED}),
    DeviceState.DENIED: frozenset(),
    DeviceState.SUPERSEDED: frozenset(),
    DeviceState.ENDED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class EnrollingDevice:
    """The device an endpoint manager vouches for, in its own words, and the enrollment session it is in."""

    enrollment_session: str
    manufacturer: str
    model: str
    serial_number: str
    os_version: str


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """A program without a browser asks to act for whoever types its code."""

    id: UUID
    client_id: str
    scopes: frozenset[str]
    state: DeviceState
    started_at: datetime
    expires_at: datetime
    interval: timedelta
    device: EnrollingDevice | None
    entered_by: str | None
    undo_id: UUID
    sign_in: SignIn | None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person has let a client do; refresh tokens hang on it, and end with it."""

    id: UUID
    client_id: str
    scopes: frozenset[str]
    sign_in: SignIn
    started_at: datetime
    ends_at: datetime
    device_authorization: UUID | None = None
    enrollment_session: str | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """What an authorization code stands for."""

    client_id: str
    redirect_uri: str
    scopes: frozenset[str]
    code_challenge: str
    nonce: str | None
    sign_in: SignIn
    grant_id: UUID
    expires_at: datetime


def normalised_user_code(typed: str) -> str:
    """Return what was typed in capitals, with everything but letters dropped: case and dashes are forgiven."""
    return "".join(letter for letter in typed.upper() if "A" <= letter <= "Z")


def shown_user_code(code: str) -> str:
    """Return the code as it is shown, `XXXX-XXXX`."""
    return f"{code[:4]}-{code[4:]}"
