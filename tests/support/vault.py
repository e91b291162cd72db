# SPDX-License-Identifier: Apache-2.0
"""A directory with an escrow, for short sentences in tests."""

import functools
import hashlib
import itertools
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from etymon.directory.model import Person, Role
from etymon.escrow import delivery, deposit, legal_hold, recovery, store
from etymon.escrow.dependencies import Dependencies
from etymon.escrow.key_encryption import SoftwareKeyEncryptionKey
from etymon.escrow.model import EscrowedKey, GeneratedKey
from etymon.escrow.recovery_model import Authority, Choice, LegalHold, Notice, Order, RecoveredKey, Recovery
from etymon.escrow.tables import releases
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import DigestKey, Secret
from etymon.pki.algorithms import KeyType
from etymon.pki.signer import SoftwareSigner
from etymon.storage.database import Database
from support.appointments import give
from support.clock import TurnedClock
from support.directory_site import DirectorySite


def certificate_of(
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "key generation")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, public_key, x509.random_serial_number())
    return builder.not_valid_before(start).not_valid_after(start + timedelta(days=365)).sign(signer, hashes.SHA256())


@functools.cache
def made(number: int, key_type: KeyType) -> rsa.RSAPrivateKey:  # noqa: ARG001 - each number has its own key
    return rsa.generate_private_key(65537, 3072 if key_type is KeyType.RSA3072 else 2048)


class Vault(DirectorySite):
    """A directory with an escrow."""

    def __init__(
        self, database: Database, clock: TurnedClock, entropy: Entropy, signing_key: ec.EllipticCurvePrivateKey
    ) -> None:
        super().__init__(database, clock, entropy)
        self.signing_key = signing_key
        self._numbers = itertools.count()
        self.escrow = Dependencies(
            database,
            clock,
            entropy,
            DigestKey(Secret(bytes(32))),
            SoftwareKeyEncryptionKey(Secret(bytes(range(32))), entropy),
            SoftwareSigner(signing_key),
            certificate_of(signing_key.public_key(), signing_key),
        )

    def generate(self, person: Person, key_type: KeyType = KeyType.RSA2048) -> GeneratedKey:
        """Wrap a key that was made before: making one takes as long as all the rest of a test."""
        private_key, key_id = made(next(self._numbers), key_type), uuid.uuid4()
        plain = Secret(private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        public_key, wrapping = private_key.public_key(), self.escrow.key_encryption_key
        wrapped = wrapping.wrap(plain, delivery.context(key_id, person.id, public_key))
        return GeneratedKey(key_id, person.id, key_type, public_key, wrapped, wrapping.id)

    def deposit(self, generated: GeneratedKey) -> EscrowedKey:
        with self.database.transaction() as tx:
            return deposit.deposit(tx, self.escrow, generated)

    def kept(self, person: Person) -> EscrowedKey:
        return self.deposit(self.generate(person))

    def release(
        self,
        key: EscrowedKey,
        transport: rsa.RSAPrivateKey,
        *,
        owner: uuid.UUID | None = None,
        reason: str = "new phone",
        escrow: Dependencies | None = None,
    ) -> bytes:
        return deposit.release_to_transport_key(
            escrow or self.escrow,
            key.id,
            transport.public_key(),
            owner=owner or key.person_id,
            reason=reason,
            actor=f"person:{key.person_id}",
            source="192.0.2.7",
        )

    def find(self, key: EscrowedKey) -> EscrowedKey:
        with self.database.snapshot() as tx:
            found = store.find(tx, key.id)
        assert found is not None
        return found

    def release_count(self) -> int:
        with self.database.snapshot() as tx:
            return tx.scalar(sa.select(sa.func.count()).select_from(releases)) or 0

    def holding(self, name: str, *held: Role) -> Person:
        """Return a new person who holds roles."""
        person = self.person(name)
        with self.database.transaction() as tx:
            give(tx, self.deps, person, *held)
        return person

    def certified(self, person: Person) -> EscrowedKey:
        """Keep a key of a person with a certificate that everybody made."""
        key = self.kept(person)
        certificate = certificate_of(key.public_key, self.signing_key)
        with self.database.transaction() as tx:
            deposit.certify(tx, self.escrow, key.id, certificate)
        return self.find(key)

    def ask(
        self,
        official: Person,
        owner: Person,
        *,
        wanted: Choice | Sequence[int] = Choice.ALL,
        authority: Authority = Authority.LEGAL_PROCESS,
        notice: Notice = Notice.TOLD,
    ) -> Recovery:
        order = Order(
            owner.id, "The court", authority, "order 12/34", "an inquiry", hashlib.sha256(b"").digest(), notice
        )
        return recovery.request(self.escrow, order, wanted, official=official.id, source="192.0.2.8")

    def approve(self, asked: Recovery, agent: Person) -> str:
        """Approve as an agent and return the half that the agent is shown."""
        return recovery.approve(self.escrow, asked.id, agent=agent.id)[1].reveal()

    def refuse(self, asked: Recovery, by: Person, reason: str = "not signed") -> Recovery:
        return recovery.refuse(self.escrow, asked.id, reason, by=by.id)

    def collect(self, asked: Recovery, halves: Sequence[str], official: Person) -> tuple[RecoveredKey, ...]:
        return recovery.collect(self.escrow, asked.id, halves, official=official.id, source="192.0.2.8")

    def hold(self, owner: Person, by: Person) -> LegalHold:
        return legal_hold.place(self.escrow, owner.id, reference="case 7", reason="an inquiry", by=by.id)[0]


def refusal_of(act: Callable[[], object]) -> EtymonError:
    with pytest.raises(EtymonError) as refusal:
        act()
    return refusal.value
