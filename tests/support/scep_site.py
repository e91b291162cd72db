# SPDX-License-Identifier: Apache-2.0
"""An issuer with SCEP connectors, and devices of other endpoint managers that enroll there."""

import itertools
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey

from etymon.audit.model import AuditEvent, Outcome
from etymon.ca.certificates import find
from etymon.ca.model import CertificateRecord
from etymon.ca.tables import certificates
from etymon.directory import people
from etymon.directory.model import Person
from etymon.issuer import clients, follow_ups
from etymon.issuer.dependencies import RequestValidation
from etymon.issuer.scep import challenges, connectors, exchange, registration_authority, store
from etymon.issuer.scep.model import ChallengeSource, Connector, Enrollment, Holder
from etymon.issuer.scep.tables import challenges as challenges_table
from etymon.issuer.scep.tables import enrollments as enrollments_table
from etymon.issuer.store import clients as client_store
from etymon.issuer.store.clients import Client
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType
from etymon.pki.signer import Signer
from etymon.storage.database import Database, Transaction
from etymon.storage.jobs import jobs
from support import scep_client
from support.clock import TurnedClock
from support.issuer_site import ADMINISTRATOR, IssuerSite
from support.registration_keys import RegistrationKeysInMemory, rsa_key
from support.scep_client import Message, Reply


def fresh_address() -> str:
    """Return the address of a household of its own."""
    digits = uuid.uuid4().hex
    return f"2001:db8:{digits[:4]}:{digits[4:8]}::1"


class Unplugged:
    """An authority's key that cannot be used."""

    def __init__(self, signer: Signer) -> None:
        self.public_key, self.algorithm = signer.public_key, signer.algorithm

    def sign(self, tbs: bytes) -> bytes:
        del tbs
        raise Unavailable("ca_key_unavailable", "The token is unplugged.")


class IssuerAndSubject(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    _fields: ClassVar[list[Any]] = [("issuer", asn1_x509.Name), ("subject", asn1_x509.Name)]


class SCEPSite(IssuerSite):
    """The issuer of `issuer_site`, with an authority for endpoints and a connector called `fleet`."""

    AUTHORITIES = ("derived", "device", "managed")
    REGISTRATION_KEYS: RegistrationKeysInMemory | None = None

    def __init__(
        self,
        database: Database,
        clock: TurnedClock,
        entropy: Entropy,
        directory: Path,
        kind: KeyType = KeyType.P256,
    ) -> None:
        self.registration_keys = self.REGISTRATION_KEYS or RegistrationKeysInMemory()
        self.validation: RequestValidation | None = None
        super().__init__(database, clock, entropy, directory, kind)
        self._numbers = itertools.count()
        self.client = self.manager("fleet-manager")
        self.connector()

    def dependencies(self, site_url: str, certauth_url: str, device_url: str, **changes: Any) -> Any:
        kept = {"registration_keys": self.registration_keys, "validation": self.validation, "ndes_connector": "fleet"}
        return super().dependencies(site_url, certauth_url, device_url, **{**kept, **changes})

    def manager(self, client_id: str) -> Client:
        key = ECKey.generate_key("P-256")
        with self.database.transaction() as tx:
            clients.register(
                tx,
                self.deps,
                client_id=client_id,
                name="Another endpoint manager",
                public_key=key.as_dict(private=False),
                device_trust_entries=["device"],
                actor=ADMINISTRATOR,
            )
            found = client_store.find(tx, client_id)
        assert found is not None
        return found

    def connector(self, name: str = "fleet", **changes: Any) -> Secret[str] | None:
        values: dict[str, Any] = {
            "name": name,
            "source": ChallengeSource.MANAGEMENT,
            "lifetime": timedelta(days=365),
            "client": self.client.id,
            **changes,
        }
        officer = values.pop("officer", self.officer)
        made = Connector(created_by=officer.id, created_at=self.clock.now(), **values)
        with self.database.transaction() as tx:
            password = connectors.save(tx, self.deps, made, officer=officer.id)
        registration_authority.renew(self.deps)
        return password

    def fill_with_challenges(self, connector: str, count: int) -> None:
        """Let challenges wait that nobody comes back for."""
        now = self.clock.now()
        row = {
            "connector": connector,
            "device_name": "",
            "asked_by": "test",
            "made_at": now,
            "expires_at": now + timedelta(minutes=5),
        }
        rows = [
            {**row, "id": uuid.uuid4(), "digest": uuid.uuid4().bytes, "device_id": uuid.uuid4()} for _ in range(count)
        ]
        with self.database.transaction() as tx:
            tx.execute(challenges_table.insert(), rows)

    def withdraw_connector(self, name: str) -> None:
        with self.database.transaction() as tx:
            connectors.withdraw(tx, self.deps, name, officer=self.officer.id)

    @property
    def registrar(self) -> x509.Certificate:
        with self.database.snapshot() as tx:
            return registration_authority.in_force(tx, self.deps)[0].registrar.certificate

    def holder(self, *, person: bool = True, device: str = "") -> Holder:
        return Holder(self.alice.id if person else None, uuid.uuid4() if device else None, device)

    def challenge(self, holder: Holder | None = None, connector: str = "fleet") -> str:
        secret, _ = challenges.ask(self.deps, self.client, connector, holder or self.holder(), source="192.0.2.1")
        return secret.reveal()

    def rename(self, person: Person, display_name: str) -> None:
        with self.database.transaction() as tx:
            people.update(tx, self.deps, person.id, display_name=display_name, actor=ADMINISTRATOR)

    @contextmanager
    def authority_without_key(self) -> Iterator[None]:
        """Have the authority's key unplugged for a while."""
        usual = self.deps
        signers = {**usual.ca.signers, "managed": Unplugged(usual.ca.signers["managed"])}
        self.deps = replace(usual, ca=replace(usual.ca, signers=signers))
        try:
            yield
        finally:
            self.deps = usual

    def issuer_and_subject(self, device: "Device") -> bytes:
        """Return what a poll carries."""
        issuer = self.ca.authorities["managed"].certificate.subject.public_bytes()
        names = [asn1_x509.Name.load(each) for each in (issuer, device.subject().public_bytes())]
        return bytes(IssuerAndSubject({"issuer": names[0], "subject": names[1]}).dump())

    def certificate_record(self, tx: Transaction, enrollment: Enrollment) -> CertificateRecord:
        found = find(tx, enrollment.certificate)
        assert found is not None
        return found

    def sweep(self) -> int:
        return follow_ups.sweep(self.deps)

    def refusals(self, source: str = "") -> list[AuditEvent]:
        """Return the refusals of requests on record, of one address or of all."""
        found = self.events("issuer:scep_request:refused")
        return [event for event in found if source in {"", event.source}]

    def kept(self) -> list[Any]:
        """Return all that a refusal leaves alone."""
        with self.database.snapshot() as tx:
            return [
                tx.execute(sa.select(*table.c).order_by(table.c.id)).all()
                for table in (certificates, challenges_table, enrollments_table, jobs)
            ]

    def enrollments(self) -> list[Enrollment]:
        with self.database.snapshot() as tx:
            ids = tx.scalars(sa.select(enrollments_table.c.id).order_by(enrollments_table.c.planned_at)).all()
            found = [store.find_enrollment(tx, id_) for id_ in ids]
        return [each for each in found if each is not None]

    def key(self, bits: int = 2048) -> rsa.RSAPrivateKey:
        return rsa_key(next(self._numbers), bits)

    def device(self, **changes: Any) -> "Device":
        """Return somebody's device with a fresh key."""
        return Device(self, changes.pop("key", None) or self.key(), **changes)


@dataclass
class Device:
    """A device of an endpoint manager with one key, and the certificate it got for it."""

    site: SCEPSite
    key: rsa.RSAPrivateKey
    connector: str = "fleet"
    common_name: str = "Alice Example"
    certificate: x509.Certificate | None = None
    address: str = field(default_factory=fresh_address)
    """So many refusals of one address are recorded, and no more."""

    def subject(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.common_name)])

    def request(self, challenge: str | None, *, names: Sequence[x509.GeneralName] = (), **changes: Any) -> bytes:
        subject = changes.pop("subject", self.subject())
        return scep_client.request(changes.pop("key", self.key), subject, challenge, names=names, **changes)

    def message(self, content: bytes, **changes: Any) -> Message:
        values: dict[str, Any] = {
            "key": self.key,
            "signer": self.certificate or scep_client.self_signed(self.key, self.common_name),
            "recipients": [self.site.registrar],
            "content": content,
            **changes,
        }
        return Message(**values)

    def send(self, message: Message | bytes) -> Reply:
        encoded = message if isinstance(message, bytes) else message.encode()
        answered = exchange.answer(self.site.deps, self.connector, encoded, source=self.address)
        return scep_client.decode(answered, self.key)

    def ask(self, challenge: str | None = None, **changes: Any) -> Reply:
        """Send a first request; `changes` are of the request or of the message around it."""
        of_request = {name: changes.pop(name) for name in ("names", "subject", "extensions") if name in changes}
        secret = self.site.challenge(connector=self.connector) if challenge is None else challenge
        return self.send(self.message(self.request(secret, **of_request), **changes))

    def enroll(self, challenge: str | None = None, **changes: Any) -> x509.Certificate:
        reply = self.ask(challenge, **changes)
        assert reply.status == "success", (reply.refusal, reply.text)
        self.certificate = reply.certificate
        return reply.certificate

    def refused(self, message: Message | bytes) -> tuple[str | None, str]:
        """Send what is refused; return failInfo and the code on record, having seen that nothing else changed."""
        before, self.address = self.site.kept(), fresh_address()
        reply = self.send(message)
        assert reply.status == "failure", reply
        assert reply.envelope is None
        (recorded,) = self.site.refusals(self.address)
        assert (recorded.actor, recorded.outcome) == ("anonymous", Outcome.FAILURE)
        assert recorded.subject == f"scep_connector:{self.connector}"
        assert self.site.kept() == before
        return reply.refusal, str(recorded.facts["code"])

    def renewal(self, key: rsa.RSAPrivateKey, **changes: Any) -> Message:
        """Return a renewal for another key, signed by the certificate that is held."""
        return self.message(self.request(None, key=key), **{"type": "17", **changes})
