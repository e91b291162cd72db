# SPDX-License-Identifier: Apache-2.0
"""A directory with people, trust entries and roles, for short sentences in tests."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from etymon.audit import trail
from etymon.directory import people, trust
from etymon.directory.dependencies import Dependencies
from etymon.directory.model import Person
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import DigestKey, Secret
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.storage import jobs
from etymon.storage.database import Database
from etymon.storage.jobs import Job
from support.clock import TurnedClock

CARD_POLICY = "2.999.1"
ADMINISTRATOR = "person:administrator"


class DirectorySite:
    """One deployment's directory; every call is a transaction of its own."""

    def __init__(self, database: Database, clock: TurnedClock, entropy: Entropy) -> None:
        self.database, self.clock = database, clock
        self.deps = Dependencies(database, clock, entropy, DigestKey(Secret(bytes(32))))

    def person(self, name: str = "alice", *, mail_addresses: Sequence[str] | None = None) -> Person:
        addresses = [f"{name}@example.test"] if mail_addresses is None else mail_addresses
        with self.database.transaction() as tx:
            return people.create(
                tx,
                self.deps,
                user_principal_name=f"{name}@example.test",
                display_name=name.title(),
                mail_addresses=addresses,
                actor=ADMINISTRATOR,
            )

    def end_account(self, person: Person) -> None:
        with self.database.transaction() as tx:
            people.end_account(tx, self.deps, person.id, actor=ADMINISTRATOR)

    def trust(
        self,
        name: str = "cards",
        *,
        kind: TrustKind = TrustKind.CARD,
        identifier: IdentifierKind = IdentifierKind.FASCN,
        anchor: x509.Certificate | None = None,
    ) -> TrustEntry:
        anchors = (self_signed(name) if anchor is None else anchor,)
        entry = TrustEntry(name, kind, anchors, frozenset({CARD_POLICY}), identifier)
        with self.database.transaction() as tx:
            trust.save(tx, self.deps, entry, actor=ADMINISTRATOR)
        return entry

    def events(self, subject: str | None = None) -> list[str]:
        """Return the names of what was recorded, newest first."""
        with self.database.snapshot() as tx:
            return [recorded.event.name for recorded in trail.page(tx, subject=subject, limit=200)]

    def jobs(self, kind: str) -> list[Job]:
        return jobs.claim(self.database, self.clock, [kind])


def self_signed(name: str) -> x509.Certificate:
    """Return a certificate to put into a trust entry that nothing is validated against."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    return builder.not_valid_before(start).not_valid_after(start + timedelta(days=365)).sign(key, hashes.SHA256())
