# SPDX-License-Identifier: Apache-2.0
"""Attestation authorities, and what was found of a phone's key."""

import enum
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography import x509

from etymon.issuer.model import Purpose
from etymon.kernel.errors import Malformed
from etymon.pki.attestation_chain import AttestationTrust
from etymon.pki.attestation_status import AttestationStatusList

ATTESTED: Final = "attested"
"""The verdict of a key that is proved; every other is the code of a refusal."""

MOST_ROOTS: Final = 50
LONGEST_TEXT: Final = 100


class KeyUse(enum.StrEnum):
    """What a key is judged for."""

    CERTIFICATE = "certificate"
    """A certificate: for its own key, or for the transport key of one that the server makes."""
    KEY_HISTORY = "key_history"
    """It carries the person's other encryption keys to the phone."""


_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")


@dataclass(frozen=True, slots=True)
class AttestationAuthority:
    """A maker of phones, or of their secure hardware, that an administrator believes."""

    name: str
    roots: tuple[x509.Certificate, ...]
    status: AttestationStatusList | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise _wrong("Name the authority with lower-case letters, digits and hyphens.")
        if not 0 < len(self.roots) <= MOST_ROOTS:
            raise _wrong(f"An attestation authority has 1 to {MOST_ROOTS} roots.")

    @property
    def trust(self) -> AttestationTrust:
        """What chains are judged by."""
        return AttestationTrust(self.roots, self.status)


@dataclass(frozen=True, slots=True)
class KeyAttestation:
    """Evidence of one key: the chain as it was received, DER, and what was found.

    Texts are empty where nothing is proved. `authority` is whose root it ends in, `status_list` says whether a list of
    revoked keys was looked at.
    """

    id: UUID
    derivation: UUID
    purpose: Purpose
    key_sha256: bytes
    verdict: str
    judged_at: datetime
    chain: tuple[bytes, ...] = field(repr=False)
    authority: str = ""
    security_level: str = ""
    manufacturer: str = ""
    model: str = ""
    os_patch_level: int | None = None
    status_list: bool = False
    use: KeyUse = KeyUse.CERTIFICATE

    @property
    def is_attested(self) -> bool:
        """Whether the key is proved."""
        return self.verdict == ATTESTED

    @property
    def is_proved(self) -> bool:
        """Whether the chain holds and is this key's, be it enough for the rule or not: then what it says is known."""
        return self.security_level != ""


def printable(text: str) -> str:
    """Return what a phone says as it can be kept and shown."""
    return "".join(letter for letter in text if letter.isprintable())[:LONGEST_TEXT]


def _wrong(detail: str) -> Malformed:
    return Malformed("attestation_authority", detail)
