# SPDX-License-Identifier: Apache-2.0
"""An endpoint manager with people, a device authority and a stand-in identity provider, in short sentences."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.jwk import ECKey

from etymon.audit import trail
from etymon.audit.model import RecordedEvent
from etymon.audit.refusals import Refusals
from etymon.ca import ceremony
from etymon.ca.status import DatabaseStatusSource
from etymon.directory import groups, trust
from etymon.directory.model import Person
from etymon.kernel.errors import EtymonError, Unavailable
from etymon.kernel.secret import DigestKey, Secret
from etymon.mdm import (
    check_in,
    configuration_profiles,
    derived_credentials,
    enrollment,
    enrollment_profiles,
    follow_ups,
    tables,
)
from etymon.mdm.check_in import Report
from etymon.mdm.configuration_profiles import ProfileContent
from etymon.mdm.credential_issuer import CredentialIssuer, IssuerKind, IssuerTerms
from etymon.mdm.dependencies import Dependencies
from etymon.mdm.desired import Instructions
from etymon.mdm.device_door import DeviceDoor
from etymon.mdm.enrollment import Begun, Completed
from etymon.mdm.enrollment_profile import EnrollmentProfile, ProfileTerms
from etymon.mdm.identity_provider import AccessToken, IdentityProvider, PublishedKeys
from etymon.mdm.model import DeviceFacts
from etymon.mdm.settings import (
    CertificateAccess,
    ConfigurationProfile,
    DerivedCredentialForApps,
    Email,
    ProfileSettings,
    TrustedRoot,
    WiFi,
)
from etymon.mdm.targets import Target, TargetKind
from etymon.pki import keys
from etymon.pki.algorithms import KeyType, PrivateKey, PublicKey, SignatureAlgorithm
from etymon.pki.certificate import thumbprint
from etymon.pki.csr import ProvenCSR, verify_proof_of_possession
from etymon.pki.pin import spki_pin
from etymon.pki.signer import Signer
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.storage import jobs
from etymon.storage.database import Database
from etymon.storage.jobs import Job
from etymon.web.branding import Branding
from support.ca_site import ORGANIZATION, CASite, csr_der
from support.card_issuer import authority
from support.clock import TurnedClock
from support.connector import RecordingConnector
from support.directory_site import ADMINISTRATOR, DirectorySite
from support.identity_provider import StandInProvider

FACTS: Final = DeviceFacts("Google", "Pixel 9", "SN-42", "14", "2026-11-05")
SITE_URL: Final = "https://mdm.agency.example:8443"
DEVICE_URL: Final = "https://mdm.agency.example:8445"
ISSUER_URL: Final = "https://issuer.agency.example:8443/issuer"


class Phone:
    """What a phone keeps: its key and its identity."""

    def __init__(self, key: PrivateKey, done: Completed) -> None:
        self.key = key
        self.device: UUID = done.device
        self.certificate: x509.Certificate = done.issued.certificate
        self.chain = done.issued.chain
        self.thumbprint: bytes = thumbprint(done.issued.certificate)
        self.known = 0


class MDMSite:
    """One deployment's endpoint manager; every call is a transaction of its own."""

    def __init__(
        self,
        database: Database,
        clock: TurnedClock,
        directory: Path,
        provider: StandInProvider,
        *,
        authorities: tuple[str, ...] = ("device",),
    ) -> None:
        self.database, self.clock, self.provider = database, clock, provider
        entropy = provider.entropy
        self.directory = DirectorySite(database, clock, entropy)
        hierarchy = ceremony.deployment(ORGANIZATION, KeyType.P256)
        wanted = [new for new in hierarchy if new.name.startswith(authorities)]
        self.ca = CASite(database, clock, entropy, directory, hierarchy=wanted)
        self.issuer = RecordingConnector()
        self.status = DatabaseStatusSource(database)
        self.deps = Dependencies(
            database=database,
            clock=clock,
            entropy=entropy,
            refusals=Refusals(database, clock, entropy),
            digest_key=DigestKey(Secret(bytes(range(32)))),
            ca=self.ca.deps,
            identity_provider=IdentityProvider(
                provider.issuer, PublishedKeys(provider.issuer, provider.http, clock), clock
            ),
            assertion_key=ECKey.generate_key("P-256"),
            device_door=DeviceDoor(database, clock, lambda _: self.status),
            site_url=SITE_URL,
            device_url=DEVICE_URL,
            tls_pin=spki_pin(provider.tls.certificate),
            branding=Branding("Test Agency", support="help@agency.example"),
            connectors={IssuerKind.ETYMON: self.issuer.at},
            poll_interval=timedelta(milliseconds=20),
        )
        self.trust_devices()

    # ---- people and groups

    def trust_devices(self) -> None:
        """Accept device identities of the deployment's own authority."""
        entry = TrustEntry(
            "device",
            TrustKind.DEVICE,
            (self.ca.authorities["device-root"].certificate,),
            frozenset(),
            IdentifierKind.THUMBPRINT,
            intermediates=(self.ca.authorities["device"].certificate,),
        )
        with self.database.transaction() as tx:
            trust.save(tx, self.directory.deps, entry, actor=ADMINISTRATOR)

    def group(self, name: str, *members: Person) -> UUID:
        with self.database.transaction() as tx:
            group = groups.create(tx, self.directory.deps, name=name, actor=ADMINISTRATOR)
            for person in members:
                groups.add_member(tx, self.directory.deps, group.id, person.id, actor=ADMINISTRATOR)
        return group.id

    # ---- enrollment

    def profile(self, **terms: Any) -> EnrollmentProfile:
        with self.database.transaction() as tx:
            return enrollment_profiles.create(
                tx, self.deps, ProfileTerms(**{"display_name": "Headquarters", **terms}), actor=ADMINISTRATOR
            )

    def garble_network_passwords(self) -> None:
        """Have the passwords of setup networks open no more, as under a key that was lost."""
        with self.database.transaction() as tx:
            tx.execute(sa.update(tables.enrollment_profiles).values(network_password=bytes(40)))

    def token(self, profile: EnrollmentProfile | None = None, *, lifetime: timedelta | None = None) -> Secret[str]:
        profile = profile or self.profile()
        with self.database.transaction() as tx:
            given = enrollment_profiles.create_token(tx, self.deps, profile.id, lifetime=lifetime, actor=ADMINISTRATOR)
        assert given.token is not None
        return given.token.value

    def begin(self, token: Secret[str] | None = None, facts: DeviceFacts = FACTS) -> Begun:
        return enrollment.begin(self.deps, token or self.token(), facts, source="192.0.2.1")

    def access(self, person: Person, begun: Begun, **claims: object) -> AccessToken:
        text = self.access_text(person, begun, **claims)
        return self.deps.identity_provider.read(text, audience=self.deps.server_url, scope="enroll")

    def access_text(self, person: Person, begun: Begun, **claims: object) -> str:
        wanted: dict[str, Any] = {
            "audience": self.deps.server_url,
            "scope": "openid profile enroll",
            "enrollment_session": str(begun.session),
            **claims,
        }
        return self.provider.token(self.clock, person.id, **wanted)

    def complete(
        self, begun: Begun, token: AccessToken, csr: ProvenCSR, *, deps: Dependencies | None = None
    ) -> Completed:
        return enrollment.complete(deps or self.deps, begun.session, begun.secret, token, csr, source="192.0.2.1")

    def unplugged(self) -> Dependencies:
        """Return what the use cases take, with the device authority's key away."""
        signers = {**self.ca.deps.signers, "device": UnpluggedSigner(self.ca.deps.signers["device"])}
        return replace(self.deps, ca=replace(self.deps.ca, signers=signers))

    def phone(self, person: Person, *, token: Secret[str] | None = None) -> Phone:
        """Return an enrolled phone."""
        begun = self.begin(token)
        key = keys.generate(KeyType.P256)
        return Phone(key, self.complete(begun, self.access(person, begun), csr_of(key)))

    # ---- policies

    def configure(self, settings: ProfileSettings, *targets: Target, name: str = "A profile") -> ConfigurationProfile:
        with self.database.transaction() as tx:
            made = configuration_profiles.create(tx, self.deps, ProfileContent(name, settings), actor=ADMINISTRATOR)
            if targets:
                configuration_profiles.assign(tx, self.deps, made.id, targets, actor=ADMINISTRATOR)
        return made

    def assign(self, profile: ConfigurationProfile, *targets: Target) -> None:
        with self.database.transaction() as tx:
            configuration_profiles.assign(tx, self.deps, profile.id, targets, actor=ADMINISTRATOR)

    def set_issuer(self, **terms: Any) -> CredentialIssuer:
        values = {"display_name": "Agency issuer", "url": ISSUER_URL, "help_url": "https://help.agency.example/dc"}
        with self.database.transaction() as tx:
            return derived_credentials.create(tx, self.deps, IssuerTerms(**{**values, **terms}), actor=ADMINISTRATOR)

    # ---- devices

    def check_in(self, phone: Phone, **report: Any) -> Instructions | None:
        """Check in with what the phone knows; it remembers the version it is told."""
        _, told = check_in.check_in(self.deps, phone.thumbprint, Report(**{"known": phone.known, **report}))
        if told is not None:
            phone.known = told.version
        return told

    # ---- what happened

    def run_jobs(self) -> list[str]:
        """Run the jobs that are due and return what they were, with the code of the error where one failed."""
        ran: list[str] = []
        for job in jobs.claim(self.database, self.clock, list(follow_ups.HANDLERS)):
            try:
                follow_ups.HANDLERS[job.kind](self.deps, job)
                ran.append(job.kind)
            except EtymonError as error:
                ran.append(f"{job.kind}:{error.code}")
                with self.database.transaction() as tx:
                    jobs.postpone(tx, self.clock, job, error.code)
        return ran

    def mail(self) -> list[Job]:
        found = jobs.claim(self.database, self.clock, ["mail.send"])
        with self.database.transaction() as tx:
            for job in found:
                jobs.complete(tx, job)
        return found

    def events(self, name: str | None = None) -> list[RecordedEvent]:
        with self.database.snapshot() as tx:
            return trail.page(tx, name=name, limit=200)

    def later(self, by: timedelta) -> None:
        """Let the clock go on, and the audit trail with it."""
        self.clock.advance(by)
        with suppress(EtymonError):
            self.ca.seal()


class UnpluggedSigner:
    """A key in a module that was pulled out: it says what it is, and signs nothing."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @property
    def public_key(self) -> PublicKey:
        return self._signer.public_key

    @property
    def algorithm(self) -> SignatureAlgorithm:
        return self._signer.algorithm

    def sign(self, tbs: bytes) -> bytes:
        raise Unavailable("ca_key_unavailable", f"The key is away; {len(tbs)} bytes stay unsigned.")


def csr_of(key: PrivateKey) -> ProvenCSR:
    return verify_proof_of_possession(csr_der(key))


def fresh_csr() -> ProvenCSR:
    return csr_of(keys.generate(KeyType.P256))


def everybody() -> Target:
    return Target(TargetKind.ALL_USERS)


def trusted_root(name: str = "Agency Root") -> TrustedRoot:
    return TrustedRoot(authority(name).certificate.public_bytes(Encoding.DER), "root.cer")


def for_apps(*packages: str) -> DerivedCredentialForApps:
    access = CertificateAccess.SPECIFIC_APPS if packages else CertificateAccess.USER_APPROVAL
    return DerivedCredentialForApps(access, packages)


def wifi(*roots: UUID) -> WiFi:
    return WiFi("Agency", "AGENCY", ("radius.agency.example",), tuple(roots))


def email(**settings: Any) -> Email:
    return Email(**{"account_name": "Agency mail", "host": "mail.agency.example", **settings})
