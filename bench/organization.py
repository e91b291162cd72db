# SPDX-License-Identifier: Apache-2.0
"""A real organisation on loopback for what is measured over TLS: card issuer, services, one card, one phone."""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette

from etymon.ca import issuance
from etymon.ca.http import status
from etymon.ca.model import AlternativeNames, IssuanceRequest, SubjectNames
from etymon.directory import bindings, people
from etymon.directory.model import Person, Role
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.mdm import enrollment, enrollment_profiles
from etymon.mdm.enrollment_profile import ProfileTerms
from etymon.mdm.identity_provider import ACR_CARD, AccessToken
from etymon.mdm.model import DeviceFacts
from etymon.pki.csr import verify_proof_of_possession
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.server import tls_identity
from etymon.server.card_issuer import CardIssuer
from etymon.server.deployment import Deployment
from etymon.server.initialization import Founder, RootKeys, initialize
from etymon.server.site import Site
from etymon.server.wiring import Wiring
from etymon.web.listeners import Listener, Listeners
from etymon.wire import fascn
from support.killed_organization import LISTENERS, reserved_ports

PASSPHRASE: Final = Secret("for this run alone")
CARD_LIFETIME: Final = timedelta(days=1000)
CLOCK: Final = SystemClock()
ENTROPY: Final = SystemEntropy()


@dataclass(frozen=True)
class Organization:
    """What runs, and TLS contexts of a PC with Alice's certificate and of her phone."""

    site_url: str
    certauth_url: str
    device_url: str
    card: ssl.SSLContext
    device: ssl.SSLContext


@contextlib.contextmanager
def running(directory: Path, database_url: str) -> Iterator[Organization]:
    """Run an organisation on the database named until the block ends; its files are in `directory`."""
    with contextlib.ExitStack() as stack:
        ports = stack.enter_context(reserved_ports((*LISTENERS, "cards")))
        cards = CardIssuer.create(
            directory / "cards",
            PASSPHRASE,
            "Card Agency",
            clock=CLOCK,
            entropy=ENTROPY,
            status_url=f"http://127.0.0.1:{ports['cards']}",
        )
        door = Listener("cards", Starlette(routes=status.routes(cards.authority)), "127.0.0.1", ports["cards"])
        stack.enter_context(_served(Listeners([door])))
        deployment = _organization(directory, cards, ports, database_url)
        wiring = Wiring(deployment)
        site = Site(wiring, with_worker=True)
        stack.enter_context(_running_site(site))
        alice = _alice(wiring)
        card_key, card = _card(cards, alice)
        with deployment.database.transaction() as tx:
            bindings.bind(
                tx, wiring.directory, trust_entry="cards", identifier=_uuid(card), person_id=alice.id, actor="bench"
            )
        device_key, device = _phone(wiring, alice)
        yield Organization(
            deployment.settings.site_url,
            deployment.settings.certauth_url,
            deployment.settings.device_url,
            _context(directory / "card", deployment, card_key, (card,)),
            _context(directory / "device", deployment, device_key, device),
        )


def _organization(directory: Path, cards: CardIssuer, ports: Mapping[str, int], database_url: str) -> Deployment:
    root, intermediates = cards.chain()
    entry = TrustEntry(
        name="cards",
        kind=TrustKind.CARD,
        anchors=(root,),
        intermediates=intermediates,
        policies=frozenset({cards.authority.policy_oids["piv-authentication"]}),
        identifier=IdentifierKind.UUID,
        status_hosts=frozenset({f"127.0.0.1:{ports['cards']}"}),
    )
    configuration: dict[str, object] = {
        "organization": "Example Agency",
        "status_url": f"http://127.0.0.1:{ports['status']}",
        "loopback_demo": True,
        "database_url": database_url,
        **{f"{name}_port": ports[name] for name in LISTENERS},
    }
    initialize(
        directory / "data",
        configuration,
        passphrase=PASSPHRASE,
        root_keys=RootKeys(directory / "roots", PASSPHRASE),
        founders=[Founder(Role.ADMINISTRATOR, "ada@agency.example", "Ada Adler", "ada@agency.example")],
        trust_entries=[entry],
        clock=CLOCK,
        entropy=ENTROPY,
        progress=lambda _: None,
    )
    return Deployment.open(directory / "data", PASSPHRASE, CLOCK, ENTROPY)


def _alice(wiring: Wiring) -> Person:
    with wiring.deployment.database.transaction() as tx:
        return people.create(
            tx,
            wiring.directory,
            user_principal_name="alice@agency.example",
            display_name="Alice Adams",
            mail_addresses=("alice@agency.example",),
            actor="bench",
        )


def _card(cards: CardIssuer, person: Person) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Certify a key file as a card: signing in a card's own code would be measured otherwise."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = IssuanceRequest(
        ca="card",
        profile="piv-authentication",
        request_key="bench",
        key=verify_proof_of_possession(_csr(key)),
        subject=SubjectNames(common_name="ADAMS.ALICE", country="XX"),
        alternative=AlternativeNames(uuid=person.id, fascn=fascn.encode(fascn.non_federal())),
        authorized_by="bench",
        not_after=CLOCK.now() + CARD_LIFETIME,
    )
    with cards.database.transaction() as tx:
        planned = issuance.plan(tx, cards.authority, request)
    return key, issuance.complete(cards.authority, planned.id).certificate


def _phone(wiring: Wiring, person: Person) -> tuple[ec.EllipticCurvePrivateKey, tuple[x509.Certificate, ...]]:
    with wiring.deployment.database.transaction() as tx:
        profile = enrollment_profiles.create(tx, wiring.mdm, ProfileTerms("Phones"), actor="bench")
        profile = enrollment_profiles.create_token(tx, wiring.mdm, profile.id, lifetime=None, actor="bench")
    if profile.token is None:
        message = "the profile has no token"
        raise RuntimeError(message)
    begun = enrollment.begin(
        wiring.mdm, profile.token.value, DeviceFacts("Etymon", "Phone", "SN1", "14", ""), source=""
    )
    claims = {"enrollment_session": str(begun.session)}
    token = AccessToken(person.id, ACR_CARD, frozenset({"enroll"}), frozenset(), claims)
    key = ec.generate_private_key(ec.SECP256R1())
    done = enrollment.complete(
        wiring.mdm, begun.session, begun.secret, token, verify_proof_of_possession(_csr(key)), source=""
    )
    return key, (done.issued.certificate, *done.issued.chain)


def _csr(key: ec.EllipticCurvePrivateKey) -> bytes:
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return csr.public_bytes(Encoding.DER)


def _uuid(certificate: x509.Certificate) -> str:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0].removeprefix("urn:uuid:")


def _context(
    stem: Path, deployment: Deployment, key: ec.EllipticCurvePrivateKey, chain: tuple[x509.Certificate, ...]
) -> ssl.SSLContext:
    file = stem.with_suffix(".pem")
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    )
    anchors = "".join(anchor.public_bytes(Encoding.PEM).decode() for anchor in tls_identity.anchors(deployment))
    context = ssl.create_default_context(cadata=anchors)
    context.load_cert_chain(file)
    return context


@contextlib.contextmanager
def _served(listeners: Listeners) -> Iterator[None]:
    thread = threading.Thread(target=lambda: asyncio.run(listeners.run()))
    thread.start()
    try:
        _wait(thread, listeners)
        yield
    finally:
        listeners.stop()
        thread.join()


@contextlib.contextmanager
def _running_site(site: Site) -> Iterator[None]:
    thread = threading.Thread(target=site.run)
    thread.start()
    try:
        _wait(thread, site.listeners)
        yield
    finally:
        site.stop()
        thread.join()


def _wait(thread: threading.Thread, listeners: Listeners) -> None:
    """Wait until every listener answers; the thread says on standard error why it does not."""
    while not listeners.started:
        if not thread.is_alive():
            message = "the listeners did not start"
            raise RuntimeError(message)
        time.sleep(0.02)
