# SPDX-License-Identifier: Apache-2.0
"""What a phone knows, as one value that is written down before each step and found again after any stop."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from etymon.kernel.errors import Conflict
from etymon.kernel.secret import Secret
from etymon.phone.key_store.opening import VaultKind


class DeviceState(Enum):
    """Where a phone stands with its management."""

    FACTORY_NEW = "factory-new"
    PROVISIONING = "provisioning"
    ENROLLED = "enrolled"
    RETIRED = "retired"


ALLOWED: Final[Mapping[DeviceState, frozenset[DeviceState]]] = {
    DeviceState.FACTORY_NEW: frozenset({DeviceState.PROVISIONING}),
    DeviceState.PROVISIONING: frozenset({DeviceState.PROVISIONING, DeviceState.ENROLLED, DeviceState.FACTORY_NEW}),
    DeviceState.ENROLLED: frozenset({DeviceState.RETIRED, DeviceState.FACTORY_NEW}),
    DeviceState.RETIRED: frozenset({DeviceState.FACTORY_NEW}),
}
"""A phone that scanned a wrong code may scan another. A retired one goes back to the factory before it is managed."""


class Purpose(Enum):
    """What a certificate of the derived credential is for; also the EST label (docs/protocols/est.md)."""

    AUTHENTICATION = "authentication"
    SIGNATURE = "signature"
    ENCRYPTION = "encryption"


class ResultState(Enum):
    """How far a policy or command has come (docs/protocols/check-in.md)."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PENDING = "pending"
    NOT_APPLICABLE = "notApplicable"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the phone says it is."""

    serial_number: str
    manufacturer: str = "Etymon"
    model: str = "Simulated phone"
    os_version: str = "14"
    security_patch: str = "2026-11-05"


@dataclass(frozen=True, slots=True)
class Organization:
    """Who manages the phone, and how its screens look."""

    display_name: str
    theme_color: str = ""
    logo_type: str = ""
    logo: bytes = b""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the phone was given to enroll with; without a pin the server must be trusted already."""

    server: str
    token: Secret[str]
    pin: bytes | None = None


@dataclass(frozen=True, slots=True)
class EnrollmentSession:
    """An enrollment under way at the endpoint manager."""

    session: UUID
    secret: Secret[str]
    expires_at: datetime
    organization: Organization
    oidc_issuer: str
    client_id: str
    scope: str
    assertion: Secret[str] | None
    """For one device authorization; a further one takes a fresh one."""


@dataclass(frozen=True, slots=True)
class DeviceGrant:
    """A device authorization under way at the identity provider (RFC 8628 §3.2)."""

    device_code: Secret[str]
    user_code: str
    verification_uri: str
    token_endpoint: str
    expires_at: datetime
    interval_seconds: int


@dataclass(frozen=True, slots=True)
class Membership:
    """The phone's place in its organisation."""

    device: UUID
    check_in: str
    organization: Organization


@dataclass(frozen=True, slots=True)
class Policy:
    """One part of the desired state; `settings` is as the server wrote it."""

    policy: UUID
    version: int
    type: str
    name: str
    settings: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """What became of a policy; `reported` once the server has been told."""

    policy: UUID
    version: int
    state: ResultState
    detail: str = ""
    reported: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """Something to be done once. `result` is set when it was."""

    command: UUID
    type: str
    credential: str = ""
    result: ResultState | None = None
    detail: str = ""
    reported: bool = False


@dataclass(frozen=True, slots=True)
class Notification:
    """Something for the user; `action` names what the app should open."""

    notification: UUID
    title: str
    body: str
    action: str


HELD: Final = "credentialHeld"
STANDING: Final = frozenset({HELD, "credentialRestored"})
"""Actions of notifications that tell how the derived credential stands; the last one counts."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """The derived credential that policies ask for, and where it is to be had."""

    required: bool
    purposes: tuple[Purpose, ...]
    issuer_name: str
    self_service: str
    instructions: str
    rekey: tuple[str, ...] = ()
    """Thumbprints of certificates that the issuer wants replaced."""


@dataclass(frozen=True, slots=True)
class Management:
    """The desired state as the phone has it, and what is to be told about it."""

    version: int = 0
    policies: tuple[Policy, ...] = ()
    results: tuple[PolicyResult, ...] = ()
    commands: tuple[Command, ...] = ()
    notifications: tuple[Notification, ...] = ()
    requirement: Requirement | None = None

    def without(self, actions: Collection[str]) -> "Management":
        """Return it without what is told of these actions."""
        return replace(self, notifications=tuple(one for one in self.notifications if one.action not in actions))


class DerivationStep(Enum):
    """How far the setting up of a derived credential has come."""

    SCANNED = "scanned"
    COMPARING = "comparing"
    CONFIRMED = "confirmed"
    INSTALLING = "installing"


@dataclass(frozen=True, slots=True)
class LinkService:
    """Where the issuer's operations are (docs/protocols/link.md)."""

    name: str
    redeem: str
    authorization: str
    est: str
    rekey_confirmation: str = ""
    key_history: str = ""
    attestation_challenge: str = ""


@dataclass(frozen=True, slots=True)
class IssuerAddress:
    """Where credentials came from, and the SHA-256 of the key that its servers' chain stands on."""

    issuer_url: str
    pin: bytes


@dataclass(frozen=True, slots=True)
class Redemption:
    """What the issuer told when the link was redeemed."""

    person: str
    mail: str
    issuer: str
    digits: str
    expires_at: datetime
    purposes: tuple[Purpose, ...]


@dataclass(frozen=True, slots=True)
class Derivation:
    """A derived credential being set up. Requests are kept as sent, so that they can be sent again."""

    step: DerivationStep
    link: UUID
    secret: Secret[bytes]
    issuer_url: str
    pin: bytes
    password_digits: int = 0
    """How long the password is that the code asks for; 0 where it asks for none."""
    password: Secret[str] | None = None
    """As the person typed it, from before it is sent until the issuer has said yes or no."""
    service: LinkService | None = None
    redemption: Redemption | None = None
    authorization: Secret[str] | None = None
    authorization_ends: datetime | None = None
    requests: Mapping[str, bytes] = field(default_factory=dict)
    """EST request bodies by purpose."""
    installed: tuple[Purpose, ...] = ()

    def alias(self, purpose: Purpose) -> str:
        """Return the name of the key made for `purpose`."""
        return f"derived-{purpose.value}-{self.link.hex[:12]}"

    @property
    def transport_alias(self) -> str:
        """The name of the key that server-made keys are enveloped to."""
        return f"transport-{self.link.hex[:12]}"

    @property
    def address(self) -> IssuerAddress:
        """The issuer that showed the code."""
        return IssuerAddress(self.issuer_url, self.pin)


@dataclass(frozen=True, slots=True)
class Rekey:
    """A certificate being replaced: by the key called `alias`; the request is kept as sent, to be sent again.

    `installed` once the applications use the new one; what it replaces then ends when the issuer has been told.
    """

    purpose: Purpose
    alias: str
    replaces: str
    """Alias of the key before."""
    request: bytes | None = None
    installed: bool = False

    @property
    def transport_alias(self) -> str:
        """The name of the key that a server-made key is enveloped to."""
        return f"transport-{self.alias}"


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """The person's other encryption keys, asked for with the authentication credential called `asked_with`.

    The request is kept as sent, to be sent again; `keys` are its keys as the issuer names them, none once all is done.
    Before `not_before` the issuer does not hand them out.
    """

    asked_with: str
    keys: tuple[UUID, ...] = ()
    request: bytes | None = None
    not_before: datetime | None = None

    @property
    def transport_alias(self) -> str:
        """The name of the key that the keys are enveloped to."""
        return f"transport-history-{self.asked_with}"

    @staticmethod
    def alias(key: UUID) -> str:
        """Return the name of a key of the history in the phone's store."""
        return f"history-{key.hex}"


@dataclass(frozen=True, slots=True)
class Credential:
    """One certificate of the derived credential: its key's alias; `retired` ones only open older mail."""

    purpose: Purpose
    alias: str
    retired: bool = False


@dataclass(frozen=True, slots=True)
class PhoneState:
    """Everything."""

    hardware: Hardware
    vault: VaultKind
    factory_roots: tuple[bytes, ...] = ()
    """DER certificates the phone trusts for servers as it comes from the factory."""
    device: DeviceState = DeviceState.FACTORY_NEW
    pins: Mapping[str, bytes] = field(default_factory=dict)
    """Host to the SHA-256 of the only key its server's chain may stand on."""
    invitation: Invitation | None = None
    session: EnrollmentSession | None = None
    grant: DeviceGrant | None = None
    access_token: Secret[str] | None = None
    identity_request: bytes | None = None
    """The certification request for the device identity, as sent."""
    membership: Membership | None = None
    management: Management = Management()
    derivation: Derivation | None = None
    credentials: tuple[Credential, ...] = ()
    issuer: IssuerAddress | None = None
    """Where `credentials` came from."""
    rekeys: tuple[Rekey, ...] = ()
    history: KeyHistory | None = None

    def factory_new(self) -> "PhoneState":
        """Return the state after a wipe: the hardware is what is left."""
        return PhoneState(self.hardware, self.vault, self.factory_roots)

    def credential(self, purpose: Purpose) -> Credential | None:
        """Return the present certificate for `purpose`."""
        return next((item for item in self.credentials if item.purpose is purpose and not item.retired), None)


def moved(state: DeviceState, target: DeviceState) -> DeviceState:
    """Return `target` if it may follow `state`, else raise `Conflict` `wrong_device_state`."""
    if target not in ALLOWED[state]:
        raise Conflict("wrong_device_state", f"A {state.value} phone does not become {target.value}.")
    return target
