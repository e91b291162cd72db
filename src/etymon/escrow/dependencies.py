# SPDX-License-Identifier: Apache-2.0
"""What escrow is run with, and the one way it writes to the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Fact, Outcome
from etymon.escrow.key_encryption import KeyEncryptionKey
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import DigestKey
from etymon.pki.certificate import spki_sha256
from etymon.pki.signer import Signer
from etymon.storage.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`signer` and `signer_certificate` sign what is delivered (profile `key-generation-signer`).

    `former_keys` still unwrap what was wrapped under them. Halves of passwords are kept as digests under `digest_key`.
    """

    database: Database
    clock: Clock
    entropy: Entropy
    digest_key: DigestKey
    key_encryption_key: KeyEncryptionKey
    signer: Signer
    signer_certificate: x509.Certificate
    former_keys: tuple[KeyEncryptionKey, ...] = ()

    def __post_init__(self) -> None:
        if spki_sha256(self.signer_certificate) != spki_sha256(self.signer.public_key):
            message = "the key-generation certificate is of another key"
            raise ValueError(message)


def record(
    tx: Transaction,
    deps: Dependencies,
    name: str,
    *,
    actor: str,
    subject: str,
    facts: Mapping[str, Fact] | None = None,
    outcome: Outcome = Outcome.SUCCESS,
    source: str = "",
) -> None:
    """Save an audit event of escrow in the caller's transaction."""
    event = AuditEvent(f"escrow:{name}", actor, subject, outcome, facts or {}, source)
    trail.record(tx, deps.clock, deps.entropy, event)
