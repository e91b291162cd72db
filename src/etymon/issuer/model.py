# SPDX-License-Identifier: Apache-2.0
"""What the issuer deals in: card proofs, rules, derivations and credentials, and the moves they may make."""

import enum
import fnmatch
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.escrow.model import ESCROWED_TYPES
from etymon.kernel.errors import Malformed
from etymon.pki.algorithms import KeyType
from etymon.wire.key_description import SecurityLevel

LINK_LIFETIME: Final = timedelta(minutes=10)
"""A link code lives no longer (SP 800-63B-4, external binding: at most ten minutes)."""

PROOF_LIFETIME: Final = timedelta(minutes=10)
"""How old a card proof may be when the link it made is confirmed."""

PROOF_LIFETIME_AT_START: Final = timedelta(minutes=5)
"""How old a card proof may be when a link is made, so that the phone still has half of its ten minutes."""

SESSION_IDLE: Final = timedelta(minutes=15)
SESSION_ABSOLUTE: Final = timedelta(minutes=60)
"""A card session does one thing; whoever needs longer presents the card again."""

RECHECK_AFTER: Final = timedelta(days=7)
"""How long after its use a card is looked at once more, and how far back what a lost card made is suspect (SP 800-157
§2.2); an organisation may want more."""

AUTHORIZATION_LIFETIME: Final = timedelta(minutes=15)
WRONG_SECRETS_LIMIT: Final = 5
"""Wrong secrets or passwords that end a link; SP 800-63B-4 3.2.2 would allow a hundred."""

LONGEST_LIFETIME: Final = timedelta(days=3 * 365)
"""Subscriber certificates live at most three years (Common Policy 6.3.2)."""


LONGEST_DEVICE_MODEL: Final = 200
MOST_DEVICE_MODELS: Final = 100

PROOFING_LIFETIME: Final = timedelta(days=12 * 365)
"""An identity is established anew after twelve years at most (Common Policy 3.3.1), counted from the card's proof.

The three years of that section are those of `id-fpki-common-high`, which nothing here asserts (ca/policies.py).
"""


class Approval(enum.StrEnum):
    """How a derivation under a rule is approved (Common Policy 4.1, SP 800-157 §2)."""

    BLANKET = "blanket"
    """The officer who made the rule has approved whom and what it covers."""
    SECOND_PERSON = "second_person"
    """An officer other than the applicant approves each derivation by itself."""


class Attestation(enum.StrEnum):
    """What becomes of a phone's proof of where its keys are (SP 800-63B-4 3.2.4)."""

    OFF = "off"
    """It is not looked at."""
    RECORDED = "recorded"
    """It is judged and kept; a phone without one gets credentials too."""
    REQUIRED = "required"
    """No certificate for a key that is not proved."""


class Purpose(enum.StrEnum):
    """What a credential is for; also the EST label under which it is asked for."""

    AUTHENTICATION = "authentication"
    SIGNATURE = "signature"
    ENCRYPTION = "encryption"


class DerivationState(enum.StrEnum):
    """Where the derivation of credentials onto one device stands (SP 800-157 §2)."""

    BEGUN = "begun"
    """The card is proved, the duties are accepted, the QR code was shown."""
    REDEEMED = "redeemed"
    """A phone has the secret; its person has not confirmed yet."""
    CONFIRMED = "confirmed"
    """The card session has confirmed; the phone may ask for one certificate a purpose."""
    ISSUING = "issuing"
    """At least one of the authorizations is used."""
    COMPLETED = "completed"
    EXPIRED = "expired"
    DENIED = "denied"
    ENDED = "ended"


_S: Final = DerivationState
DERIVATION_MOVES: Final[Mapping[DerivationState, frozenset[DerivationState]]] = {
    _S.BEGUN: frozenset({_S.REDEEMED, _S.EXPIRED, _S.DENIED, _S.ENDED}),
    _S.REDEEMED: frozenset({_S.CONFIRMED, _S.EXPIRED, _S.DENIED, _S.ENDED}),
    _S.CONFIRMED: frozenset({_S.ISSUING, _S.EXPIRED, _S.ENDED}),
    _S.ISSUING: frozenset({_S.COMPLETED, _S.ENDED}),
    _S.COMPLETED: frozenset({_S.ENDED}),
    _S.EXPIRED: frozenset(),
    _S.DENIED: frozenset(),
    _S.ENDED: frozenset(),
}
"""The moves a derivation may make; nothing comes back."""

AUTHORIZING: Final = frozenset({_S.CONFIRMED, _S.ISSUING, _S.COMPLETED})
"""While the authorization lives, these answer a phone: the last one only with what it was given already."""

COUNTED: Final = frozenset({_S.CONFIRMED, _S.ISSUING, _S.COMPLETED})
"""These count towards the number of devices a person may have."""

OPEN: Final = frozenset({_S.BEGUN, _S.REDEEMED, _S.CONFIRMED, _S.ISSUING, _S.COMPLETED})
"""These can still be ended."""


class CredentialState(enum.StrEnum):
    """Where one certificate of a derivation stands."""

    PLANNED = "planned"
    ACTIVE = "active"
    HELD = "held"
    """Suspended, with everything else on its phone: good for nothing until it is restored, or ends (CP 4.9.13)."""
    ENDED = "ended"


CREDENTIAL_MOVES: Final[Mapping[CredentialState, frozenset[CredentialState]]] = {
    CredentialState.PLANNED: frozenset({CredentialState.ACTIVE, CredentialState.ENDED}),
    CredentialState.ACTIVE: frozenset({CredentialState.HELD, CredentialState.ENDED}),
    CredentialState.HELD: frozenset({CredentialState.ACTIVE, CredentialState.ENDED}),
    CredentialState.ENDED: frozenset(),
}
"""The moves a certificate may make; only a hold is left again."""


class EndReason(enum.StrEnum):
    """Why a credential ends, under the names of RFC 5280 §5.3.1."""

    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    UNSPECIFIED = "unspecified"


class CardLinkState(enum.StrEnum):
    """Whether the card that a derivation is linked to is as good as its issuer says."""

    WATCHED = "watched"
    REVOKED = "revoked"
    """Found revoked, and what follows from it is done."""


class CardRevocation(enum.StrEnum):
    """What follows for credentials when their card's certificate is found revoked."""

    LOOKBACK = "lookback"
    """They end if the card made them in the seven days before, or later than it was revoked."""
    END = "end"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One status answer as it was received. `kind` is `ocsp`, `crl` or `database`."""

    kind: str
    url: str
    this_update: datetime | None
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CardProof:
    """Somebody proved possession of a card over TLS: what was seen and judged, kept as evidence (CP 3.2, C-3)."""

    id: UUID
    person: UUID
    trust_entry: str
    identifier: str
    certificates: tuple[bytes, ...] = field(repr=False)
    """The path as DER, the card's certificate first, the anchor last."""
    policies: frozenset[str]
    evidence: tuple[Evidence, ...]
    proved_at: datetime


@dataclass(frozen=True, slots=True)
class CardSession:
    """A browser at which a card was proved; `for_keys` where the page of encryption keys asked for the proof."""

    id: UUID
    person: UUID
    proof: UUID
    proved_at: datetime
    for_keys: bool = False


@dataclass(frozen=True, slots=True)
class IssuanceRule:
    """Who may have which credentials on which devices; an officer made it, and issuance runs under it (CP 4.1.1).

    `key_types` are those of keys made on the phone; `encryption_key_type` is what escrow makes.
    `most_derivations` is how many devices of one person may carry credentials at a time. `link_password` shows a
    number beside the QR code that the person types on the phone. `device_models` are the classes of devices that are
    approved (SP 800-157r1 §2.2), as `MANUFACTURER/MODEL` with `*` for any text; none means all.
    `key_history` gives phones the person's earlier encryption keys. `attestation` is what is asked of keys made on the
    phone; where it is required, `attestation_level` and `verified_boot` say how much, and `device_models` are proved.
    """

    id: UUID
    name: str
    groups: frozenset[UUID]
    purposes: tuple[Purpose, ...]
    lifetime: timedelta
    created_by: UUID
    created_at: datetime
    managed_devices_only: bool = True
    link_password: bool = False
    key_types: frozenset[KeyType] = frozenset({KeyType.P256, KeyType.P384, KeyType.RSA2048, KeyType.RSA3072})
    encryption_key_type: KeyType = KeyType.RSA2048
    most_derivations: int = 1
    instructions_url: str = ""
    key_history: bool = True
    approval: Approval = Approval.BLANKET
    device_models: tuple[str, ...] = ()
    attestation: Attestation = Attestation.RECORDED
    attestation_level: SecurityLevel = SecurityLevel.TRUSTED_ENVIRONMENT
    verified_boot: bool = True

    def device_class(self, manufacturer: str, model: str) -> str | None:
        """Return the class that covers a device, `*` where all are covered; None where none does."""
        if not self.device_models:
            return "*"
        said = f"{manufacturer.strip()}/{model.strip()}".casefold()
        classes = (each for each in self.device_models if fnmatch.fnmatchcase(said, _pattern(each)))
        return next(classes, None)

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 100 or not self.name.isprintable():
            raise _malformed_rule("A rule's name has 1 to 100 printable characters.")
        if not self.groups:
            raise _malformed_rule("A rule names at least one group.")
        if not self.purposes or len(set(self.purposes)) != len(self.purposes):
            raise _malformed_rule("A rule names each of its purposes once.")
        if Purpose.AUTHENTICATION not in self.purposes:
            raise _malformed_rule(
                "A derived credential begins with authentication; signature and encryption go with it."
            )
        if not timedelta(days=1) <= self.lifetime <= LONGEST_LIFETIME:
            raise _malformed_rule("Certificates live one day at least and three years at most.")
        if not self.key_types or KeyType.RSA4096 in self.key_types:
            raise _malformed_rule("Keys of derived credentials are P-256, P-384, RSA-2048 or RSA-3072 (SP 800-78).")
        if self.encryption_key_type not in ESCROWED_TYPES:
            raise _malformed_rule("Encryption keys are RSA-2048 or RSA-3072.")
        if not 1 <= self.most_derivations <= 100:
            raise _malformed_rule("A person may have credentials on 1 to 100 devices.")
        _require_phones(self.device_models, self.attestation_level)
        if self.instructions_url and not self.instructions_url.startswith("https://"):
            raise _malformed_rule("The address of the instructions is an https address.")


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """What a phone says of itself; a claim, shown to the person."""

    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """A device certificate that was judged good. `thumbprint` is the SHA-256 of its DER."""

    trust_entry: str
    thumbprint: bytes
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RedeemedLink:
    """What the phone brought when it redeemed the secret. `device` is None for a phone that nobody manages."""

    device: DeviceIdentity | None
    description: DeviceDescription
    key: bytes
    key_thumbprint: bytes
    digits: str
    redeemed_at: datetime
    redeemed_from: str


@dataclass(frozen=True, slots=True)
class Derivation:
    """The derivation of one person's credentials onto one device. Its id is also the link's public id.

    `undo` is the id in notices, with which it can be ended; `expires_at` is the end of the present state.
    `asks_password` says that its secret opens it only together with the password that was shown beside the code.
    `request` is the approved request it began under, where its rule wants each derivation approved.
    """

    id: UUID
    state: DerivationState
    person: UUID
    rule: UUID
    proof: UUID
    session: UUID
    purposes: tuple[Purpose, ...]
    duties_version: str
    begun_at: datetime
    begun_from: str
    expires_at: datetime
    undo: UUID
    asks_password: bool = False
    wrong_secrets: int = 0
    link: RedeemedLink | None = None
    confirmed_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    request: UUID | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """One certificate of a derivation. `certificate` is the CA's id; what comes after `planned_at` is there later.

    `replaces` and `request_digest` are of a rekey: which credential made room, and the request that asked for it.
    `rekey_from` is when its own rekey is due. `rule` authorised it; what is older than this knowledge has None, and
    then it is the derivation's. `held_until` and `held_by` are of what is held: until when it may be restored, and who
    put it on hold.
    """

    id: UUID
    derivation: UUID
    purpose: Purpose
    person: UUID
    device_trust_entry: str | None
    device_thumbprint: bytes | None
    certificate: UUID
    escrowed_key: UUID | None
    state: CredentialState
    planned_at: datetime
    replaces: UUID | None = None
    request_digest: bytes | None = None
    serial_number: str | None = None
    thumbprint: bytes | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    issued_at: datetime | None = None
    rekey_from: datetime | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    rule: UUID | None = None
    held_until: datetime | None = None
    held_by: UUID | None = None


def _pattern(device_model: str) -> str:
    return device_model.casefold().replace("[", "[[]").replace("?", "[?]")  # only the star is special


def _require_phones(classes: Collection[str], level: SecurityLevel) -> None:
    if len(classes) > MOST_DEVICE_MODELS or not all(map(_is_device_model, classes)):
        raise _malformed_rule("A device class is written MANUFACTURER/MODEL, at most 200 characters, 100 of them.")
    if level is SecurityLevel.SOFTWARE:
        raise _malformed_rule("Keys are attested in a trusted environment or a StrongBox.")


def _is_device_model(text: str) -> bool:
    manufacturer, _, model = text.partition("/")
    return bool(manufacturer.strip() and model.strip()) and text.isprintable() and len(text) <= LONGEST_DEVICE_MODEL


def _malformed_rule(detail: str) -> Malformed:
    return Malformed("malformed_issuance_rule", detail)
