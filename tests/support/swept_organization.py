# SPDX-License-Identifier: Apache-2.0
"""An organisation whose cards are swept in a process of its own: one derivation made in the tables, many copies."""

import subprocess
import sys
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.directory import groups, people
from etymon.directory.model import Role
from etymon.issuer import card_links, card_status_monitor, issuance_rules
from etymon.issuer.model import CardProof, Derivation, DerivationState, IssuanceRule, Purpose
from etymon.issuer.store import card_sessions, derivations
from etymon.issuer.store.card_sources import CardSource
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.pki.certificate import to_der
from etymon.pki.trust_entry import IdentifierKind
from etymon.server import initialization
from etymon.server.deployment import Deployment
from etymon.server.initialization import Founder, RootKeys
from etymon.server.wiring import Wiring
from support import card_crowd, declared_pki
from support.card_lists import ListHost
from support.declared_pki import Certified

PASSPHRASE: Final = Secret("for this run alone")
FOUNDERS: Final = (
    Founder(Role.ADMINISTRATOR, "ada@agency.example", "Ada Adler", "ada@agency.example"),
    Founder(Role.OFFICER, "otto@agency.example", "Otto Olsen", "otto@agency.example"),
)


@dataclass
class SweptOrganization:
    """A data directory on disk, and the card issuer that it asks."""

    directory: Path
    wiring: Wiring
    cards: Certified
    host: ListHost
    pattern: UUID

    @property
    def source(self) -> CardSource:
        with self.wiring.deployment.database.snapshot() as tx:
            (found,) = card_status_monitor.all_sources(tx)
        return found

    def crowd(
        self, count: int, *, revoked: Collection[int] = (), progress: Callable[[int], None] = lambda _: None
    ) -> list[UUID]:
        """Have many derivations, of which some cards are revoked."""
        database = self.wiring.deployment.database
        found = card_crowd.add(database, self.pattern, count, revoked=revoked, progress=progress)
        self.host.body = self._list(revoked)
        return found

    def _list(self, revoked: Collection[int]) -> bytes:
        now = SystemClock().now()
        entries = [
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build() for serial in revoked
        ]
        names = x509.CertificateRevocationListBuilder(self.cards.name, now, now + timedelta(days=1), [], entries)
        return names.sign(self.cards.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def sweep(self) -> "subprocess.Popen[str]":
        """Begin `etymon card-status sweep`, as an operator types it."""
        passphrase = self.directory / "passphrase"
        passphrase.write_text(PASSPHRASE.reveal())
        command = [str(Path(sys.executable).parent / "etymon"), "card-status", "sweep"]
        options = ["--data", str(self.directory / "data"), "--passphrase-file", str(passphrase)]
        return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def made(directory: Path, host: ListHost, database_url: str = "") -> SweptOrganization:
    """Make an organisation with one cardholder who has a phone."""
    clock, entropy = SystemClock(), SystemEntropy()
    cards = declared_pki.root(clock.now(), "Agency Card CA")
    configuration: dict[str, object] = {
        "organization": "Example Agency",
        "loopback_demo": True,
        "status_url": "http://127.0.0.1:8080",
        **({"database_url": database_url} if database_url else {}),
    }
    entry = declared_pki.entry(cards, name="cards", identifier=IdentifierKind.UUID, status_hosts={host.address})
    initialization.initialize(
        directory / "data",
        configuration,
        passphrase=PASSPHRASE,
        root_keys=RootKeys(directory / "roots", PASSPHRASE),
        founders=FOUNDERS,
        trust_entries=[entry],
        clock=clock,
        entropy=entropy,
        progress=lambda _: None,
    )
    wiring = Wiring(Deployment.open(directory / "data", PASSPHRASE, clock, entropy))
    return SweptOrganization(directory, wiring, cards, host, _derived(wiring, cards, host))


def _derived(wiring: Wiring, cards: Certified, host: ListHost) -> UUID:
    deps = wiring.issuer
    now = deps.clock.now()
    card = cards.issue(now, "Alice", crl_url=host.url)
    with deps.database.transaction() as tx:
        officer = people.by_user_principal_name(tx, FOUNDERS[1].user_principal_name)
        assert officer is not None
        group = groups.create(tx, deps, name="staff", actor="test")
        wanted = IssuanceRule(
            id=uuid.uuid4(),
            name="staff",
            groups=frozenset({group.id}),
            purposes=(Purpose.AUTHENTICATION,),
            lifetime=timedelta(days=365),
            created_by=officer.id,
            created_at=now,
        )
        rule = issuance_rules.save(tx, deps, wanted, officer=officer.id)
        certificates = (to_der(card.certificate), to_der(cards.certificate))
        proof = CardProof(
            uuid.uuid4(), officer.id, "cards", "card-1", certificates, frozenset(), (), now - timedelta(days=30)
        )
        card_sessions.add_proof(tx, proof)
        derivation = Derivation(
            id=uuid.uuid4(),
            state=DerivationState.COMPLETED,
            person=officer.id,
            rule=rule.id,
            proof=proof.id,
            session=uuid.uuid4(),
            purposes=rule.purposes,
            duties_version="2026-1",
            begun_at=proof.proved_at,
            begun_from="192.0.2.1",
            expires_at=now,
            undo=uuid.uuid4(),
        )
        derivations.add(tx, replace_state(derivation), b"digest")
        derivations.move(
            tx,
            replace_state(derivation),
            DerivationState.REDEEMED,
            {"link_key": b"key", "digits": "123456", "redeemed_at": proof.proved_at, "device_description": {}},
        )
        confirmed = {"confirmed_at": proof.proved_at, "authorization_digest": b"digest"}
        step = replace_state(derivation, DerivationState.REDEEMED)
        derivations.move(tx, step, DerivationState.CONFIRMED, confirmed)
        derivations.move(tx, replace_state(derivation, DerivationState.CONFIRMED), DerivationState.ISSUING)
        derivations.move(tx, replace_state(derivation, DerivationState.ISSUING), DerivationState.COMPLETED)
        card_links.keep(tx, deps, derivation)
    return derivation.id


def replace_state(derivation: Derivation, state: DerivationState = DerivationState.BEGUN) -> Derivation:
    """Return a derivation as it stood before."""
    return replace(derivation, state=state)
