# SPDX-License-Identifier: Apache-2.0
"""A phone whose credential lives for three days and is due on the third, and what it asks for then."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.ca import certificates
from etymon.directory import people
from etymon.directory.model import Person
from etymon.issuer import follow_ups, rekey, superseding
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.initial_issuance import Enrolled
from etymon.issuer.model import Purpose
from etymon.issuer.rekey import RekeyRequest
from etymon.issuer.store import credentials
from etymon.kernel.entropy import SystemEntropy
from etymon.pki.certificate import thumbprint, to_der
from etymon.storage.database import Database
from etymon.web.peer_certificate import PeerCertificate
from etymon.wire import est
from support.ca_site import csr_der
from support.clock import TurnedClock
from support.issuer_phone import Phone
from support.issuer_site import ADMINISTRATOR, PHONE_ADDRESS, IssuerSite, Link
from support.mdm_site import UnpluggedSigner

LIFETIME = timedelta(days=3)
"""Its last third is a day: the window of thirty days is longer."""


def rekeying_site(database: Database, directory: Path) -> IssuerSite:
    """Return a site whose rule makes short-lived credentials, on as many phones as anybody likes."""
    site = IssuerSite(database, TurnedClock(), SystemEntropy(), directory)
    site.save_rule(lifetime=LIFETIME, most_derivations=100)
    site.settle(site.alice)
    return site


@dataclass
class Holder:
    """A phone with credentials, each under the purpose it is for."""

    link: Link
    held: dict[Purpose, x509.Certificate] = field(default_factory=dict)

    @property
    def site(self) -> IssuerSite:
        return self.link.site

    @property
    def peer(self) -> PeerCertificate:
        """What the phone shows: its present authentication certificate."""
        return shown(self.held[Purpose.AUTHENTICATION])

    @property
    def first(self) -> x509.Certificate:
        """The authentication certificate that the link led to."""
        with self.site.database.snapshot() as tx:
            credential = credentials.by_purpose(tx, self.link.begun.derivation.id, Purpose.AUTHENTICATION)
            assert credential is not None
            kept = certificates.find(tx, credential.certificate)
        assert kept is not None
        assert kept.der is not None
        return x509.load_der_x509_certificate(kept.der)

    def rekey(
        self,
        purpose: Purpose = Purpose.AUTHENTICATION,
        body: bytes | None = None,
        *,
        peer: PeerCertificate | None = None,
        deps: Dependencies | None = None,
    ) -> Enrolled:
        request = RekeyRequest(purpose, body if body is not None else fresh_body(purpose))
        return rekey.rekey(deps or self.site.deps, request, peer or self.peer, source=PHONE_ADDRESS)

    def take(self, purpose: Purpose = Purpose.AUTHENTICATION, body: bytes | None = None) -> x509.Certificate:
        """Rekey and go on with the new certificate."""
        self.held[purpose] = self.rekey(purpose, body).certificate
        return self.held[purpose]

    def confirm(self, *purposes: Purpose, peer: PeerCertificate | None = None) -> tuple[bytes, ...]:
        named = [thumbprint(self.held[purpose]) for purpose in purposes or (Purpose.AUTHENTICATION,)]
        return superseding.confirm(self.site.deps, named, peer or self.peer, source=PHONE_ADDRESS)


def shown(certificate: x509.Certificate) -> PeerCertificate:
    return PeerCertificate(to_der(certificate))


def fresh_body(purpose: Purpose = Purpose.AUTHENTICATION) -> bytes:
    """Return a request with a new key; for encryption with a new transport key."""
    if purpose is Purpose.ENCRYPTION:
        return Phone(None).body(purpose)
    return est.encode_body(csr_der(ec.generate_private_key(ec.SECP256R1())))


def holder(site: IssuerSite, *purposes: Purpose, phone: Phone | None = None, due: bool = True) -> Holder:
    """Return a phone with credentials for these purposes, whose rekey is due unless told otherwise."""
    link = site.linked(phone)
    found = Holder(link)
    for purpose in purposes or (Purpose.AUTHENTICATION,):
        found.held[purpose] = link.enroll(purpose).certificate
    if due:
        site.turn(days=2)
    return found


def rename(site: IssuerSite, person: Person, **changes: Any) -> None:
    """Change what the directory says of a person, and let the worker see it."""
    with site.database.transaction() as tx:
        people.update(tx, site.deps, person.id, actor=ADMINISTRATOR, **changes)
    work(site)


def work(site: IssuerSite) -> None:
    """Do the issuer's jobs that are due."""
    assert follow_ups.HANDLERS
    while site.work():
        pass


def unplugged(site: IssuerSite) -> Dependencies:
    """Return what the use cases take, with the authority's key away."""
    signers = {"derived": UnpluggedSigner(site.ca.deps.signers["derived"])}
    return replace(site.deps, ca=replace(site.deps.ca, signers=signers))
