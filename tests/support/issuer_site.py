# SPDX-License-Identifier: Apache-2.0
"""An issuer with its authorities, a cardholder with a card, and phones; every sentence is a step of the story."""

import base64
import hashlib
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.audit import trail
from etymon.audit.model import AuditEvent
from etymon.audit.refusals import Refusals
from etymon.ca import ceremony, certificates, revocation
from etymon.ca.certificates import find_issued
from etymon.ca.model import AlternativeNames, CertificateState, RevocationReason, SubjectNames
from etymon.ca.status import DatabaseStatusSource
from etymon.directory import bindings, groups, people, roles, trust
from etymon.directory.model import Person, Role
from etymon.escrow.dependencies import Dependencies as EscrowDependencies
from etymon.escrow.key_encryption import SoftwareKeyEncryptionKey
from etymon.issuer import (
    card_authentication,
    device_identity,
    duties,
    follow_ups,
    initial_issuance,
    invalidation,
    issuance_rules,
    linking,
    redemption,
)
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.initial_issuance import Begun, Enrolled
from etymon.issuer.linking import Authorized
from etymon.issuer.model import (
    CardSession,
    Credential,
    Derivation,
    DeviceDescription,
    EndReason,
    IssuanceRule,
    Purpose,
)
from etymon.issuer.planning import EnrollmentRequest
from etymon.issuer.redemption import Linked, Redemption
from etymon.issuer.store import card_sessions, credentials, derivations
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import DigestKey, Secret
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import to_der
from etymon.pki.csr import verify_proof_of_possession
from etymon.pki.signer import SoftwareSigner
from etymon.pki.status import StatusSource
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.storage import jobs
from etymon.storage.database import Database
from etymon.web.branding import Branding
from etymon.wire import link_qr
from etymon.wire.link_qr import LinkQR
from support import declared_pki
from support.ca_site import CASite, csr_der, proven_key
from support.card_status import CardStatus
from support.clock import TurnedClock
from support.declared_pki import Certified
from support.issuer_phone import Phone
from support.registration_keys import NoRegistrationKeys
from support.standing import let_stand

ADMINISTRATOR = "person:administrator"
DEVICE_POLICY = "2.999.1.101"
DERIVED_POLICY = "2.999.1.40"
PC, PHONE_ADDRESS = "192.0.2.10", "192.0.2.20"
DESCRIPTION = DeviceDescription("Google", "Pixel 9", "SN-42")


class IssuerSite:
    """One deployment's issuer. Time goes on only by `turn`."""

    AUTHORITIES: tuple[str, ...] = ("derived", "device")

    def __init__(
        self, database: Database, clock: TurnedClock, entropy: Entropy, directory: Path, kind: KeyType = KeyType.P256
    ) -> None:
        self.database, self.clock, self.entropy = database, clock, entropy
        organization = SubjectNames(organization="Example Agency")
        hierarchy = ceremony.deployment(organization, kind)
        wanted = [new for new in hierarchy if new.name.removesuffix("-root") in self.AUTHORITIES]
        self.ca = CASite(database, clock, entropy, directory, hierarchy=wanted)
        signing_key, self.digest_key = keys.generate(KeyType.P256), DigestKey(Secret(bytes(range(32))))
        self.escrow = EscrowDependencies(
            database,
            clock,
            entropy,
            self.digest_key,
            SoftwareKeyEncryptionKey(Secret(bytes(32)), entropy),
            SoftwareSigner(signing_key),
            self.ca.issue("key-generation-signer", key=proven_key(signing_key)).certificate,
        )
        self.cards = declared_pki.root(clock.now(), "Agency Card CA")
        self.card_status = CardStatus()
        self.deps = self.dependencies(
            "https://issuer.test:8443", "https://issuer.test:8444", "https://issuer.test:8445"
        )
        self._trust()
        self.officer = self.person("olivia", role=Role.OFFICER)
        self.alice = self.person("alice")
        self.group = self._group("staff", self.alice)
        self.rule = self.save_rule()
        self.card = self.bound_card(self.alice)

    def dependencies(self, site_url: str, certauth_url: str, device_url: str, **changes: Any) -> Dependencies:
        return Dependencies(
            database=self.database,
            clock=self.clock,
            entropy=self.entropy,
            refusals=Refusals(self.database, self.clock, self.entropy),
            digest_key=self.digest_key,
            site_url=site_url,
            certauth_url=certauth_url,
            device_url=device_url,
            tls_pin=changes.pop("tls_pin", base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()),
            branding=Branding("Example Agency", support="help@agency.example"),
            ca=self.ca.deps,
            escrow=self.escrow,
            status_of=self.status_of,
            oidc_issuer=f"{site_url}/idp",
            registration_keys=changes.pop("registration_keys", NoRegistrationKeys()),
            **changes,
        )

    def status_of(self, entry: TrustEntry) -> StatusSource:
        return self.card_status if entry.kind is TrustKind.CARD else DatabaseStatusSource(self.database)

    def turn(self, **by: float) -> None:
        """Let time go on, and the sealer keep up."""
        self.clock.advance(timedelta(**by))
        self.ca.seal()

    # ---- people, cards, rules

    def _trust(self) -> None:
        suffixes = ("agency.example",)
        self.trust(declared_pki.entry(self.cards, name="cards", identifier=IdentifierKind.UPN, upn_suffixes=suffixes))
        for name, kind, policy, identifier in (
            ("device", TrustKind.DEVICE, DEVICE_POLICY, IdentifierKind.THUMBPRINT),
            ("derived", TrustKind.DERIVED, DERIVED_POLICY, IdentifierKind.UUID),
        ):
            anchor = self.ca.authorities[f"{name}-root"].certificate
            intermediate = self.ca.authorities[name].certificate
            policies = frozenset({policy})
            self.trust(TrustEntry(name, kind, (anchor,), policies, identifier, (intermediate,)))

    def trust(self, entry: TrustEntry) -> None:
        with self.database.transaction() as tx:
            trust.save(tx, self.deps, entry, actor=ADMINISTRATOR)

    def person(self, name: str, *, role: Role | None = None, mail: Collection[str] | None = None) -> Person:
        addresses = [f"{name}@agency.example"] if mail is None else list(mail)
        with self.database.transaction() as tx:
            person = people.create(
                tx,
                self.deps,
                user_principal_name=f"{name}@agency.example",
                display_name=f"{name.title()} Example",
                mail_addresses=addresses,
                actor=ADMINISTRATOR,
            )
            if role is not None:
                roles.assign(tx, self.deps, person.id, role, actor=ADMINISTRATOR, authority="letter")
        return person

    def _group(self, name: str, *members: Person) -> uuid.UUID:
        with self.database.transaction() as tx:
            group = groups.create(tx, self.deps, name=name, actor=ADMINISTRATOR)
            for member in members:
                groups.add_member(tx, self.deps, group.id, member.id, actor=ADMINISTRATOR)
        return group.id

    def join(self, person: Person) -> None:
        with self.database.transaction() as tx:
            groups.add_member(tx, self.deps, self.group, person.id, actor=ADMINISTRATOR)

    def colleague(self) -> Person:
        """Return another person whom the rule covers."""
        person = self.person("bob")
        self.join(person)
        return person

    def bound_card(self, person: Person) -> Certified:
        """Return a card that stands for a person."""
        with self.database.transaction() as tx:
            bindings.bind(
                tx,
                self.deps,
                trust_entry="cards",
                identifier=person.user_principal_name,
                person_id=person.id,
                actor=ADMINISTRATOR,
            )
        return self.cards.issue(self.clock.now(), person.display_name, upn=person.user_principal_name)

    def save_rule(self, **changes: Any) -> IssuanceRule:
        values: dict[str, Any] = {
            "name": "staff",
            "groups": frozenset({self.group}),
            "purposes": tuple(Purpose),
            "lifetime": timedelta(days=365),
            **changes,
        }
        officer = values.pop("officer", self.officer)
        rule = IssuanceRule(id=uuid.UUID(int=0), created_by=officer.id, created_at=self.clock.now(), **values)
        with self.database.transaction() as tx:
            self.rule = issuance_rules.save(tx, self.deps, rule, officer=officer.id)
        return self.rule

    def withdraw_rule(self) -> None:
        with self.database.transaction() as tx:
            issuance_rules.withdraw(tx, self.deps, "staff", officer=self.officer.id)

    def end_account(self, person: Person) -> None:
        with self.database.transaction() as tx:
            people.end_account(tx, self.deps, person.id, actor=ADMINISTRATOR)

    def account_ended(self, person: Person) -> None:
        """Do what a worker does when an account has ended."""
        invalidation.account_ended(self.deps, person.id)

    # ---- the story

    def present_card(self, card: Certified | None = None) -> CardSession:
        """Prove a card and open a session, as the pages do."""
        presented = to_der((card or self.card).certificate)
        proof = card_authentication.judge(self.deps, presented, card_authentication.PURPOSE, PC)
        with self.database.transaction() as tx:
            card_sessions.add_proof(tx, proof)
        return CardSession(uuid.uuid4(), proof.person, proof.id, proof.proved_at, for_keys=True)

    def settle(self, person: Person) -> None:
        """Have a person's cards and mail addresses be as they are for a week."""
        let_stand(self.database, person.id, self.clock.now())

    def begin(self, session: CardSession, *, version: str = duties.VERSION) -> Begun:
        return initial_issuance.begin(self.deps, session, duties_version=version, source=PC)

    def phone(self, **changes: Any) -> Phone:
        """Return an enrolled phone."""
        key = ec.generate_private_key(ec.SECP256R1())
        issued = self.ca.issue(
            "device-identity",
            key=verify_proof_of_possession(csr_der(key)),
            alternative=AlternativeNames(uuid=uuid.uuid4()),
        )
        return Phone(issued.certificate, key, **changes)

    def redeem(self, phone: Phone, begun: Begun, **changes: Any) -> Linked:
        qr, device = scanned(begun), device_identity.judge(self.deps, phone.peer)
        request = Redemption(
            changes.get("link", qr.link),
            changes.get("secret", qr.secret),
            phone.spki,
            DESCRIPTION,
            changes.get("password", begun.password),
            changes.get("attestation"),
        )
        return redemption.redeem(self.deps, request, device, source=PHONE_ADDRESS)

    def confirm(self, session: CardSession, begun: Begun, phone: Phone) -> None:
        self.confirm_shown(session, begun, sha256(phone.spki))

    def confirm_shown(self, session: CardSession, begun: Begun, key_thumbprint: bytes) -> None:
        linking.confirm(self.deps, session, begun.derivation.id, key_thumbprint, source=PC)

    def deny(self, session: CardSession, begun: Begun) -> None:
        linking.deny(self.deps, session, begun.derivation.id, source=PC)

    def authorization(self, phone: Phone, begun: Begun) -> Authorized | None:
        link = begun.derivation.id
        device = device_identity.judge(self.deps, phone.peer)
        return linking.authorization(self.deps, link, phone.sign(link_qr.authorization_message(link)), device)

    def linked(self, phone: Phone | None = None, card: Certified | None = None) -> "Link":
        """Go as far as a phone that holds its authorization."""
        phone = phone or self.phone()
        session = self.present_card(card)
        begun = self.begin(session)
        self.redeem(phone, begun)
        self.confirm(session, begun, phone)
        authorized = self.authorization(phone, begun)
        assert authorized is not None
        return Link(self, phone, session, begun, authorized)

    def end_own(self, begun: Begun, reason: EndReason = EndReason.KEY_COMPROMISE) -> None:
        invalidation.end_own(self.deps, begun.derivation.person, begun.derivation.id, reason, source=PC)

    def revoke_device(self, phone: Phone) -> None:
        assert phone.device is not None
        with self.database.transaction() as tx:
            found = find_issued(tx, phone.device)
            assert found is not None
            revocation.revoke(tx, self.ca.deps, found.id, RevocationReason.KEY_COMPROMISE, actor="mdm")

    # ---- what is kept

    def derivation(self, begun: Begun) -> Derivation:
        with self.database.snapshot() as tx:
            found = derivations.find(tx, begun.derivation.id)
        assert found is not None
        return found

    def credentials(self, begun: Begun) -> dict[Purpose, Credential]:
        with self.database.snapshot() as tx:
            found = credentials.of_derivation(tx, begun.derivation.id)
        return {credential.purpose: credential for credential in found}

    def credential_certificate(self, begun: Begun, purpose: Purpose) -> x509.Certificate:
        with self.database.snapshot() as tx:
            found = certificates.find(tx, self.credentials(begun)[purpose].certificate)
        assert found is not None
        assert found.der is not None
        return x509.load_der_x509_certificate(found.der)

    def events(self, name: str | None = None) -> list[AuditEvent]:
        """Return what was recorded, newest first."""
        with self.database.snapshot() as tx:
            return [recorded.event for recorded in trail.page(tx, name=name, limit=200)]

    def mail(self) -> list[dict[str, Any]]:
        """Take the notices that wait to be sent."""
        claimed = jobs.claim(self.database, self.clock, ["mail.send"], limit=100)
        with self.database.transaction() as tx:
            for job in claimed:
                jobs.complete(tx, job)
        return [dict(job.payload) for job in claimed]

    def work(self) -> int:
        """Do the issuer's jobs that are due; return how many."""
        claimed = jobs.claim(self.database, self.clock, list(follow_ups.HANDLERS), limit=100)
        for job in claimed:
            follow_ups.HANDLERS[job.kind](self.deps, job)
        return len(claimed)

    def is_revoked(self, certificate: x509.Certificate) -> bool:
        with self.database.snapshot() as tx:
            found = find_issued(tx, certificate)
        assert found is not None
        return found.state is CertificateState.REVOKED


@dataclass(frozen=True)
class Link:
    """A phone with its authorization."""

    site: IssuerSite
    phone: Phone
    session: CardSession
    begun: Begun
    authorized: Authorized

    def request(self, purpose: Purpose, **changes: Any) -> EnrollmentRequest:
        body: bytes = changes.get("body", self.phone.body(purpose))
        message = link_qr.request_message(changes.get("signed_for", purpose).value, body)
        return EnrollmentRequest(
            purpose,
            changes.get("authorization", self.authorized.authorization),
            changes.get("proof", self.phone.sign(message)),
            body,
        )

    def enroll(self, purpose: Purpose = Purpose.AUTHENTICATION, **changes: Any) -> Enrolled:
        """Ask for a certificate; `changes` make the request wrong."""
        phone: Phone = changes.pop("on", self.phone)
        device = device_identity.judge(self.site.deps, phone.peer)
        return initial_issuance.redeem(self.site.deps, self.request(purpose, **changes), device, source=PHONE_ADDRESS)


def scanned(begun: Begun) -> LinkQR:
    return link_qr.decode(begun.qr.reveal())


def sha256(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()
