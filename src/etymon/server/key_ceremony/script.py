# SPDX-License-Identifier: Apache-2.0
"""The script of a key ceremony: all that will be done, written down before, so that people confirm that and no more."""

import base64
import enum
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from cryptography import x509

import etymon
from etymon.ca.model import RevocationReason
from etymon.directory.model import Person, Role, folded
from etymon.kernel.errors import EtymonError, Malformed, NotPermitted
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import load, to_der
from etymon.pki.trust_entry import TrustEntry

VERSION: Final = 1
MAY_TAKE_PART: Final = frozenset({Role.ADMINISTRATOR, Role.OFFICER, Role.OPERATOR})
"""An Auditor never counts towards control by two people (CP 5.2.2)."""


class Kind(enum.Enum):
    """What a ceremony is held for."""

    ORGANIZATION = "organization"
    ISSUING_AUTHORITY = "issuing-authority"
    ROOT_LISTS = "root-lists"
    HIERARCHY = "hierarchy"
    REVOCATION = "authority-revocation"


REASONS: Final[Mapping[str, RevocationReason]] = {
    "keyCompromise": RevocationReason.KEY_COMPROMISE,
    "cACompromise": RevocationReason.CA_COMPROMISE,
    "affiliationChanged": RevocationReason.AFFILIATION_CHANGED,
    "superseded": RevocationReason.SUPERSEDED,
    "cessationOfOperation": RevocationReason.CESSATION_OF_OPERATION,
    "privilegeWithdrawn": RevocationReason.PRIVILEGE_WITHDRAWN,
}
"""Why an authority's certificate is revoked, in the words of RFC 5280 §5.3.1; a ceremony always says why."""


@dataclass(frozen=True, slots=True)
class Participant:
    """One who takes part: in which role, and the authentication certificate of the card that confirms it."""

    role: Role
    user_principal_name: str
    display_name: str
    mail: str
    certificate: x509.Certificate

    @property
    def card_sha256(self) -> str:
        """The thumbprint of the card's certificate."""
        return hashlib.sha256(to_der(self.certificate)).hexdigest()


@dataclass(frozen=True, slots=True)
class Program:
    """The program that performs: its version, and the SHA-256 over its files."""

    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Script:
    """What a ceremony does.

    `authorities` are names of what is made (an organisation's, a hierarchy, one more), whose list is, or of what is
    revoked, for a `reason` of `REASONS`. Of what is revoked, `in_use` says how many certificates of which profile were
    good when the script was written, and `successor` which authority issues instead.
    """

    id: UUID
    kind: Kind
    written_at: datetime
    place: str
    program: Program
    participants: tuple[Participant, ...]
    key_type: KeyType
    authorities: tuple[str, ...]
    configuration: Mapping[str, object]
    trust_entries: tuple[TrustEntry, ...]
    reason: str = ""
    in_use: Mapping[str, int] = field(default_factory=dict)
    successor: str = ""

    def __post_init__(self) -> None:
        if self.reason not in (REASONS if self.kind is Kind.REVOCATION else {""}):
            raise Malformed("revocation_reason", f"Say why: {', '.join(REASONS)}.")
        if not self.place.strip() or not self.place.isprintable() or len(self.place) > 200:
            raise Malformed("place", "Say in one line where the ceremony is held.")
        require_two(self.participants)

    def to_document(self) -> dict[str, Any]:
        """Return the script as JSON values."""
        return {
            "etymon_key_ceremony": VERSION,
            "id": str(self.id),
            "kind": self.kind.value,
            "written_at": self.written_at.isoformat(),
            "place": self.place,
            "program": {"version": self.program.version, "sha256": self.program.sha256},
            "participants": [_participant_document(participant) for participant in self.participants],
            "key_type": self.key_type.value,
            "authorities": list(self.authorities),
            "configuration": dict(self.configuration),
            "trust_entries": [entry.to_document() for entry in self.trust_entries],
            **({"reason": self.reason} if self.reason else {}),
            **({"in_use": dict(self.in_use)} if self.in_use else {}),
            **({"successor": self.successor} if self.successor else {}),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Script":
        """Return the script that `to_document` wrote; `Malformed` `ceremony_script` for anything else."""
        try:
            if document["etymon_key_ceremony"] != VERSION:
                raise _unreadable()
            return cls(
                id=UUID(document["id"]),
                kind=Kind(document["kind"]),
                written_at=datetime.fromisoformat(document["written_at"]),
                place=document["place"],
                program=Program(document["program"]["version"], document["program"]["sha256"]),
                participants=tuple(_participant(found) for found in document["participants"]),
                key_type=KeyType(document["key_type"]),
                authorities=tuple(map(str, document["authorities"])),
                configuration=dict(document["configuration"]),
                trust_entries=tuple(TrustEntry.from_document(found) for found in document["trust_entries"]),
                reason=str(document.get("reason", "")),
                in_use={str(profile): int(number) for profile, number in document.get("in_use", {}).items()},
                successor=str(document.get("successor", "")),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as exc:
            raise _unreadable() from exc

    @property
    def sha256(self) -> str:
        """What participants confirm and records name."""
        return hashlib.sha256(canonical(self.to_document())).hexdigest()


def require_two(participants: Sequence[Participant]) -> None:
    """Refuse fewer than two people, one twice, an Auditor, and nobody who is an Administrator (CP 5.2.2)."""
    for participant in participants:
        if participant.role not in MAY_TAKE_PART:
            raise NotPermitted("auditor_never_counts", "An Auditor never takes part in a key ceremony.")
        Person(UUID(int=0), participant.user_principal_name, participant.display_name, (participant.mail,), active=True)
    names = {folded(participant.user_principal_name) for participant in participants}
    cards = {participant.card_sha256 for participant in participants}
    if min(len(names), len(cards)) < max(2, len(participants)):
        raise NotPermitted("two_people_needed", "A key ceremony takes two different people, each with a card.")
    if all(participant.role is not Role.ADMINISTRATOR for participant in participants):
        raise NotPermitted("administrator_needed", "One of those who take part is an Administrator.")


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return JSON values as the one text that is hashed and signed."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def this_program() -> Program:
    """Return the version of this program and the SHA-256 over the names and contents of its source files."""
    folder, digest = Path(etymon.__file__).parent, hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return Program(importlib.metadata.version("etymon"), digest.hexdigest())


def read(file: Path) -> Script:
    """Read the script in a file."""
    return Script.from_document(read_document(file))


def read_document(file: Path) -> dict[str, Any]:
    """Read a JSON object from a file; `Malformed` `ceremony_file` where there is none."""
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise Malformed("ceremony_file", f"{file} cannot be read as a file of a key ceremony.") from exc
    if not isinstance(document, dict):
        raise Malformed("ceremony_file", f"{file} is no file of a key ceremony.")
    return document


def _participant_document(participant: Participant) -> dict[str, str]:
    return {
        "role": participant.role.value,
        "user_principal_name": participant.user_principal_name,
        "display_name": participant.display_name,
        "mail": participant.mail,
        "certificate": base64.b64encode(to_der(participant.certificate)).decode("ascii"),
    }


def _participant(document: Mapping[str, str]) -> Participant:
    return Participant(
        Role(document["role"]),
        document["user_principal_name"],
        document["display_name"],
        document["mail"],
        load(base64.b64decode(document["certificate"], validate=True)),
    )


def _unreadable() -> EtymonError:
    return Malformed("ceremony_script", "This is no script of a key ceremony, or one of another version.")
