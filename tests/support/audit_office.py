# SPDX-License-Identifier: Apache-2.0
"""A database whose acts are recorded and sealed, for short sentences in tests."""

from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from etymon.audit import sealer, store, trail
from etymon.audit.examination import Fault, Report
from etymon.audit.model import AuditEvent, Checkpoint
from etymon.audit.verification import verify
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Unavailable
from etymon.pki.algorithms import PublicKey, SignatureAlgorithm
from etymon.pki.signer import SoftwareSigner
from etymon.storage.database import Database
from support.clock import TurnedClock


class BrokenSigner:
    """A signing key that cannot be reached."""

    def __init__(self, working: SoftwareSigner) -> None:
        self.public_key: PublicKey = working.public_key
        self.algorithm: SignatureAlgorithm = working.algorithm

    def sign(self, tbs: bytes) -> bytes:  # noqa: ARG002 - the seam's signature
        raise Unavailable("key_unavailable", "The signing key does not answer.")


class Office:
    """A database whose acts are recorded and sealed."""

    def __init__(self, database: Database, clock: TurnedClock, entropy: Entropy) -> None:
        self.database, self.clock, self.entropy = database, clock, entropy
        self.signer = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))

    def record(self, count: int = 1, **facts: str | int) -> None:
        for number in range(count):
            self.clock.advance(timedelta(milliseconds=1))
            with self.database.transaction() as tx:
                done = AuditEvent("issuer:derivation:approved", "person:officer", f"derivation:{number}", facts=facts)
                trail.record(tx, self.clock, self.entropy, done)

    def seal(self) -> int:
        return sealer.seal(self.database, self.clock, self.entropy, self.signer)

    def verify(self, known: Checkpoint | None = None) -> Report:
        return verify(self.database, self.signer.public_key, known=known)

    def faults(self) -> set[tuple[Fault, int | None]]:
        return {(finding.fault, finding.sequence) for finding in self.verify().findings}

    def require_live(self) -> None:
        with self.database.snapshot() as tx:
            sealer.require_live(tx, self.clock)

    def last_checkpoint(self) -> Checkpoint:
        with self.database.snapshot() as tx:
            found = store.last_checkpoint(tx)
        assert found is not None
        return found
