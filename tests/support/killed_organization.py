# SPDX-License-Identifier: Apache-2.0
"""An organisation whose site is killed again and again, and phones that ask until they are answered."""

import contextlib
import hashlib
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt

from etymon.ca import authorities
from etymon.directory import bindings, groups, people
from etymon.directory.model import Person, Role
from etymon.idp.model import ACR_CARD
from etymon.issuer import card_authentication, duties, initial_issuance, issuance_rules, linking
from etymon.issuer.dependencies import Dependencies as IssuerDependencies
from etymon.issuer.initial_issuance import Begun
from etymon.issuer.model import CardSession, IssuanceRule, Purpose
from etymon.issuer.store import card_sessions
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.mdm import enrollment_profiles
from etymon.mdm.enrollment_profile import ProfileTerms
from etymon.pki.certificate import to_der
from etymon.pki.trust_entry import IdentifierKind
from etymon.server import tls_identity, wiring
from etymon.server.deployment import Deployment
from etymon.server.initialization import Founder, RootKeys, initialize
from etymon.server.wiring import Wiring
from support import declared_pki
from support.declared_pki import AllGood
from support.issuer_phone import Phone
from support.issuer_story import ASSERTION_TYPE
from support.killed_site import LateClock
from support.tls_files import trusting, write_identity

PASSPHRASE: Final = "correct horse battery"
HOST: Final = "127.0.0.1"
PC: Final = "192.0.2.10"
MOST_PHONES: Final = 100
LISTENERS: Final = ("site", "certauth", "device", "status")


@contextlib.contextmanager
def reserved_ports(names: Sequence[str] = LISTENERS) -> Iterator[dict[str, int]]:
    """Lend a port for each listener; nobody else gets it while the site is down."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in names]
        for each in held:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((HOST, 0))
        yield {name: each.getsockname()[1] for name, each in zip(names, held, strict=True)}


@dataclass
class Organization:
    """The data directory as the test sees it: the use cases of the PC's side, and whatever the database holds."""

    directory: Path
    deployment: Deployment
    cards: declared_pki.Certified
    group: uuid.UUID = field(init=False)
    token: Secret[str] = field(init=False)

    @classmethod
    def found(cls, directory: Path, ports: Mapping[str, int], *, database_url: str, mail_port: int) -> "Organization":
        """Make an organisation whose people have cards, and phones that may enroll."""
        secret, clock, entropy = Secret(PASSPHRASE), LateClock(timedelta(0)), SystemEntropy()
        cards = declared_pki.root(clock.now(), "Agency Card CA")
        entry = declared_pki.entry(cards, name="cards", identifier=IdentifierKind.UPN, upn_suffixes=("agency.example",))
        configuration = {
            "organization": "Example Agency",
            "host": HOST,
            "status_url": f"http://{HOST}:{ports['status']}",
            "loopback_demo": True,
            "database_url": database_url,
            "smtp_host": HOST,
            "smtp_port": mail_port,
            "smtp_tls": "none",
            "mail_from": "etymon@agency.example",
            **{f"{name}_port": port for name, port in ports.items()},
        }
        initialize(
            directory / "data",
            configuration,
            passphrase=secret,
            root_keys=RootKeys(directory / "roots", secret),
            founders=[Founder(Role.OFFICER, "otto@agency.example", "Otto Officer", "otto@agency.example")],
            trust_entries=[entry],
            clock=clock,
            entropy=entropy,
            progress=lambda _: None,
        )
        made = cls(directory, Deployment.open(directory / "data", secret, clock, entropy), cards)
        made.prepare()
        return made

    @cached_property
    def wiring(self) -> Wiring:
        return Wiring(self.deployment)

    @cached_property
    def issuer(self) -> IssuerDependencies:
        """What the issuer's use cases take; the card issuer says that every card is good."""
        return wiring.issuer(self.deployment, lambda _: AllGood())

    @cached_property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        return tls_identity.anchors(self.deployment)

    @property
    def seal_key(self) -> ec.EllipticCurvePublicKey:
        return self.deployment.private_key("audit-seal").public_key()

    def chain(self, name: str) -> tuple[x509.Certificate, x509.Certificate]:
        """Return an issuing authority's certificate and its root's."""
        with self.deployment.database.snapshot() as tx:
            issuing, root = (authorities.load(tx, each).certificate for each in (name, f"{name}-root"))
        return issuing, root

    def close(self) -> None:
        self.deployment.database.close()

    @property
    def site_url(self) -> str:
        return self.deployment.settings.site_url

    @property
    def device_url(self) -> str:
        return self.deployment.settings.device_url

    def prepare(self) -> None:
        deps, issuer, mdm = self.wiring.directory, self.issuer, self.wiring.mdm
        with self.deployment.database.transaction() as tx:
            officer = people.by_user_principal_name(tx, "otto@agency.example")
            assert officer is not None
            self.group = groups.create(tx, deps, name="Field staff", actor="test").id
            rule = IssuanceRule(
                id=uuid.uuid4(),
                name="field",
                groups=frozenset({self.group}),
                purposes=tuple(Purpose),
                lifetime=timedelta(days=365),
                created_by=officer.id,
                created_at=self.deployment.clock.now(),
            )
            issuance_rules.save(tx, issuer, rule, officer=officer.id)
        with self.deployment.database.transaction() as tx:
            profile = enrollment_profiles.create(tx, mdm, ProfileTerms("Phones"), actor="test")
            profile = enrollment_profiles.create_token(tx, mdm, profile.id, lifetime=timedelta(days=1), actor="test")
        assert profile.token is not None
        self.token = profile.token.value

    def person(self, name: str) -> Person:
        """Return a new person who has a card and may have derived credentials."""
        deps, principal = self.wiring.directory, f"{name}@agency.example"
        with self.deployment.database.transaction() as tx:
            person = people.create(
                tx,
                deps,
                user_principal_name=principal,
                display_name=name.title(),
                mail_addresses=(principal,),
                actor="test",
            )
            groups.add_member(tx, deps, self.group, person.id, actor="test")
            bindings.bind(tx, deps, trust_entry="cards", identifier=principal, person_id=person.id, actor="test")
        return person

    def begin(self, person: Person) -> tuple[CardSession, Begun]:
        """Prove the person's card and begin a derivation, as the page on the PC does."""
        now = self.deployment.clock.now()
        card = self.cards.issue(now, person.display_name, upn=person.user_principal_name)
        proof = card_authentication.judge(self.issuer, to_der(card.certificate), card_authentication.PURPOSE, "")
        with self.deployment.database.transaction() as tx:
            card_sessions.add_proof(tx, proof)
        session = CardSession(uuid.uuid4(), proof.person, proof.id, proof.proved_at)
        return session, initial_issuance.begin(self.issuer, session, duties_version=duties.VERSION, source=PC)

    def confirm(self, session: CardSession, begun: Begun, phone: Phone) -> None:
        thumbprint = hashlib.sha256(phone.spki).digest()
        linking.confirm(self.issuer, session, begun.derivation.id, thumbprint, source=PC)

    def access_token(self, person: Person, session: str) -> str:
        """Return what the identity provider gives a phone whose user signed in with the card."""
        now = int(self.deployment.clock.now().timestamp())
        claims = {
            "iss": f"{self.site_url}/idp",
            "sub": str(person.id),
            "aud": f"{self.site_url}/mdm",
            "client_id": wiring.PHONE_CLIENT,
            "scope": "openid profile enroll",
            "iat": now,
            "exp": now + 600,
            "jti": str(uuid.uuid4()),
            "acr": ACR_CARD,
            "enrollment_session": session,
        }
        return self.wiring.idp.signing_key.sign(claims, type_="at+jwt")

    def client(self, base_url: str, *identity: Any) -> httpx.Client:
        context = trusting(self.anchors)
        if identity:
            context.load_cert_chain(*write_identity(self.directory, uuid.uuid4().hex, *identity))
        limits = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(verify=context, base_url=base_url, trust_env=False, timeout=30, limits=limits)

    @contextlib.contextmanager
    def manager(self) -> Iterator[httpx.Client]:
        """Lend the endpoint manager as a client of the management API, signed in."""
        now = int(self.deployment.clock.now().timestamp())
        claims = {
            "iss": wiring.ENDPOINT_MANAGER_CLIENT,
            "sub": wiring.ENDPOINT_MANAGER_CLIENT,
            "aud": f"{self.site_url}/issuer",
            "iat": now,
            "exp": now + 60,
            "jti": str(uuid.uuid4()),
        }
        key = wiring.endpoint_manager_key(self.deployment)
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jwt.encode({"alg": "ES256"}, claims, key, algorithms=["ES256"]),
        }
        with self.client(self.site_url) as client:
            answer = client.post("/issuer/oauth/token", data=form)
            assert answer.is_success, answer.text
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield client
