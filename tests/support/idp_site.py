# SPDX-License-Identifier: Apache-2.0
"""An identity provider alone, over real TLS on loopback, with people, cards and clients to try it with."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette

from etymon.audit.refusals import Refusals
from etymon.directory import bindings, roles, trust
from etymon.directory.model import Binding, Person, Role
from etymon.idp import clients
from etymon.idp.dependencies import Dependencies
from etymon.idp.model import Client, ClientAuthentication, DeviceAuthorizationKind
from etymon.idp.signing_keys import SigningKey
from etymon.idp.tables import proofs
from etymon.kernel.entropy import SystemEntropy, random_id
from etymon.kernel.secret import DigestKey, Secret
from etymon.pki.errors import NotTrusted
from etymon.pki.status import StatusEvidence
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.storage.database import Database
from etymon.storage.jobs import Job, claim
from etymon.web.branding import Branding
from support import declared_pki
from support.browser import Browser, Page
from support.clock import TurnedClock
from support.declared_pki import Certified
from support.directory_site import ADMINISTRATOR, DirectorySite
from support.idp_listeners import Files, applications, key_pem, pem, serving

__all__ = [
    "ADMIN_TOOL",
    "ALL_SCOPES",
    "CALLBACK",
    "DIGEST_KEY",
    "PHONE",
    "Files",
    "Holder",
    "IdPSite",
    "claims_of",
    "key_pem",
    "pem",
    "signing_pem",
]

DERIVED_POLICY: Final = "2.999.7.40"
ADMIN_TOOL: Final = "etymon-administration"
PHONE: Final = "etymon-phone"
WEB_APPLICATION: Final = "https://app.test/"
CALLBACK: Final = "https://app.test/callback"
DIGEST_KEY: Final = bytes(range(32))
ALL_SCOPES: Final = frozenset({"openid", "profile", "email", "offline_access"})


def signing_pem() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_jwk(key: ECKey) -> dict[str, str]:
    return {name: str(value) for name, value in key.as_dict(private=False).items()}


class Records:
    """What is known of revocation: a certificate is good until its serial number is listed here."""

    def __init__(self) -> None:
        self.revoked: set[int] = set()
        self.silent = False

    def status(self, certificate: x509.Certificate, issuer: x509.Certificate, *, at: datetime) -> StatusEvidence:
        if self.silent:
            raise NotTrusted("status_unavailable", "Whether this certificate was revoked cannot be found out.")
        if certificate.serial_number in self.revoked:
            raise NotTrusted("revoked_by_crl", "This certificate was revoked.")
        return declared_pki.AllGood().status(certificate, issuer, at=at)


@dataclass(frozen=True, slots=True)
class Holder:
    """A person and the certificate that signs them in."""

    person: Person
    certified: Certified


class IdPSite:
    """A running identity provider and everybody around it."""

    def __init__(
        self,
        database: Database,
        clock: TurnedClock,
        files: Files,
        *,
        further_cas: Sequence[x509.Certificate] = (),
    ) -> None:
        self.database, self.clock, self.files = database, clock, files
        self.entropy = SystemEntropy()
        self.directory = DirectorySite(database, clock, self.entropy)
        self.cards = declared_pki.root(clock.now(), "Agency Card CA")
        self.derived = declared_pki.root(clock.now(), "Agency Derived CA")
        self.strangers = declared_pki.root(clock.now(), "Strangers CA")
        self.endpoint_manager = ECKey.generate_key("P-256")
        self.signing_pem = signing_pem()
        self.signing_key = SigningKey.from_pem(Secret(self.signing_pem))
        self.digest_key = DigestKey(Secret(DIGEST_KEY))
        self.records = Records()
        self._further_cas = tuple(further_cas)
        self.deps: Dependencies
        self._browsers: list[Browser] = []
        self._trust()

    @contextmanager
    def running(self) -> Iterator["IdPSite"]:
        cas = [ca.certificate for ca in (self.cards, self.derived, self.strangers)]
        client_cas = b"".join(ca.public_bytes(serialization.Encoding.PEM) for ca in (*cas, *self._further_cas)).decode()
        with serving(self.files.server, client_cas, self._applications):
            self._register()
            try:
                yield self
            finally:
                for browser in self._browsers:
                    browser.close()

    def _applications(self, site_url: str, certauth_url: str) -> tuple[Starlette, Starlette]:
        self.deps = Dependencies(
            database=self.database,
            clock=self.clock,
            entropy=self.entropy,
            refusals=Refusals(self.database, self.clock, self.entropy),
            digest_key=self.digest_key,
            site_url=site_url,
            certauth_url=certauth_url,
            branding=Branding("Test Agency"),
            signing_key=self.signing_key,
            status_of=lambda _: self.records,
        )
        return applications(self.deps)

    # ---- people, cards, credentials

    def _trust(self) -> None:
        for ca, kind, name, policy in (
            (self.cards, TrustKind.CARD, "cards", declared_pki.CARD_POLICY),
            (self.derived, TrustKind.DERIVED, "derived", DERIVED_POLICY),
        ):
            self.trust(
                declared_pki.entry(
                    ca,
                    kind=kind,
                    name=name,
                    policies=(policy,),
                    identifier=IdentifierKind.UPN,
                    upn_suffixes=("example.test",),
                )
            )

    def trust(self, entry: TrustEntry) -> None:
        with self.database.transaction() as tx:
            trust.save(tx, self.directory.deps, entry, actor=ADMINISTRATOR)

    def card(self, name: str = "alice", **wrong: Any) -> Certified:
        """Return a card's authentication certificate, bound to nobody; `wrong` changes how it is made."""
        return self.cards.issue(self.clock.now(), name.title(), **{"upn": f"{name}@example.test", **wrong})

    def credential(self, name: str = "alice", **wrong: Any) -> Certified:
        """Return a derived authentication certificate, bound to nobody."""
        values = {"upn": f"{name}@example.test", "policies": (DERIVED_POLICY,), **wrong}
        return self.derived.issue(self.clock.now(), name.title(), **values)

    def cardholder(self, name: str = "alice", *roles_: Role, **wrong: Any) -> Holder:
        """Return a person with a card that is bound to them."""
        person = self.directory.person(name)
        self.bind("cards", name, person)
        with self.database.transaction() as tx:
            for role in roles_:
                roles.assign(tx, self.directory.deps, person.id, role, actor=ADMINISTRATOR, authority="letter")
        return Holder(person, self.card(name, **wrong))

    def derived_holder(self, holder: Holder) -> Holder:
        """Return the same person with a derived credential."""
        name = holder.person.user_principal_name.partition("@")[0]
        self.bind("derived", name, holder.person)
        return Holder(holder.person, self.credential(name))

    def bind(self, entry: str, name: str, person: Person) -> None:
        with self.database.transaction() as tx:
            bindings.bind(
                tx,
                self.directory.deps,
                trust_entry=entry,
                identifier=f"{name}@example.test",
                person_id=person.id,
                actor=ADMINISTRATOR,
            )

    def unbind(self, person: Person, entry: str) -> None:
        with self.database.transaction() as tx:
            for binding in bindings.bindings_of(tx, person.id):
                if binding.trust_entry == entry:
                    bindings.end(tx, self.directory.deps, binding.id, reason="revoked", actor=ADMINISTRATOR)

    def bindings_of(self, person: Person) -> tuple[Binding, ...]:
        with self.database.snapshot() as tx:
            return bindings.bindings_of(tx, person.id)

    # ---- clients

    def _register(self) -> None:
        self.register(
            Client(
                ADMIN_TOOL,
                "Administration tool",
                ("http://127.0.0.1/callback",),
                scopes=ALL_SCOPES | {"administration"},
                device_authorization=DeviceAuthorizationKind.OPEN,
            )
        )
        self.register(
            Client(
                PHONE,
                "Phone set-up",
                scopes=frozenset({"openid", "profile", "enroll"}),
                device_authorization=DeviceAuthorizationKind.ENROLLMENT,
                assertion_issuer=f"{self.deps.site_url}/mdm",
                assertion_keys=(public_jwk(self.endpoint_manager),),
            )
        )
        self.register(Client("app", "Agency app", (CALLBACK,), scopes=ALL_SCOPES))

    def register(self, client: Client) -> None:
        with self.database.transaction() as tx:
            clients.register(tx, self.deps, client, actor=ADMINISTRATOR)

    def confidential(self, key: ECKey, id_: str = "service") -> Client:
        client = Client(
            id_,
            "Agency service",
            (CALLBACK,),
            scopes=ALL_SCOPES,
            authentication=ClientAuthentication.PRIVATE_KEY_JWT,
            keys=(public_jwk(key),),
        )
        self.register(client)
        return client

    def enrollment_assertion(self, session: str = "session-1", *, key: ECKey | None = None, **claims: object) -> str:
        now = int(self.clock.now().timestamp())
        body: dict[str, object] = {
            "iss": f"{self.deps.site_url}/mdm",
            "aud": self.deps.issuer,
            "iat": now,
            "exp": now + 600,
            "jti": str(random_id(self.entropy)),
            "enrollment_session": session,
            "device": {
                "manufacturer": "Google",
                "model": "Pixel 9",
                "serial_number": "SN-42",
                "os_version": "16",
            },
            **claims,
        }
        present = {name: value for name, value in body.items() if value is not None}
        return jwt.encode({"alg": "ES256"}, present, key or self.endpoint_manager, algorithms=["ES256"])

    # ---- what programs and people do

    def post(self, path: str, form: Mapping[str, str]) -> httpx.Response:
        with httpx.Client(verify=self.files.trusting(), base_url=self.deps.site_url) as client:
            return client.post(path, data=dict(form))

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        with httpx.Client(verify=self.files.trusting(), base_url=self.deps.site_url) as client:
            return client.get(path, headers=headers)

    def browser(self, certified: Certified | None = None) -> Browser:
        context = self.files.showing(certified) if certified is not None else self.files.trusting()
        browser = Browser(
            httpx.HTTPTransport(verify=self.files.trusting()),
            httpx.HTTPTransport(verify=context),
            certauth_origin=self.deps.certauth_url,
        )
        self._browsers.append(browser)
        return browser

    def start_device(self, client: str = ADMIN_TOOL, scope: str = "openid profile offline_access") -> dict[str, Any]:
        form = {"client_id": client, "scope": scope}
        if client == PHONE:
            form |= {"scope": "openid profile enroll", "enrollment_assertion": self.enrollment_assertion()}
        answer = self.post("/idp/device_authorization", form)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def poll(self, started: Mapping[str, Any], client: str = ADMIN_TOOL) -> httpx.Response:
        return self.post(
            "/idp/token",
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                "client_id": client,
                "device_code": str(started["device_code"]),
            },
        )

    def type_code(self, browser: Browser, code: str) -> Page:
        page = browser.get(f"{self.deps.issuer}/device")
        return browser.submit(page.form(), {"code": code})

    def reach_decision(self, holder: Holder, started: Mapping[str, Any]) -> tuple[Browser, Page]:
        """Go as far as the page that asks whether to approve."""
        browser = self.browser(holder.certified)
        page = self.type_code(browser, str(started["user_code"]))
        return browser, browser.submit(page.form(action="/idp/device/proof"))

    def decide(self, holder: Holder, started: Mapping[str, Any], decision: str = "approve") -> Page:
        browser, page = self.reach_decision(holder, started)
        assert page.code == "device_decision", (page.status, page.code, page.words)
        return browser.submit(page.form(), button=decision)

    def newest_proof(self, purpose: str) -> str:
        """Return the id of the certificate proof that was redeemed last for a purpose."""
        query = (
            sa.select(proofs.c.id)
            .where(proofs.c.purpose.startswith(purpose), proofs.c.redeemed_at.is_not(None))
            .order_by(proofs.c.redeemed_at.desc())
        )
        with self.database.snapshot() as tx:
            return str(tx.scalars(query).first())

    def mail(self) -> list[Job]:
        return claim(self.database, self.clock, ["mail.send"])

    def pause(self, seconds: float = 5) -> None:
        """Let the clock of the site go on."""
        self.clock.advance(timedelta(seconds=seconds))


def claims_of(token: str) -> dict[str, Any]:
    """Read a token as anybody may, without judging it."""
    body = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
