# SPDX-License-Identifier: Apache-2.0
"""The demo's world: one directory, the services in processes of their own, a mail server, and secrets made afresh."""

import contextlib
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from etymon.ca import authorities, issuance
from etymon.ca.model import AlternativeNames, IssuanceRequest, SubjectNames
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import Entropy, SystemEntropy, random_text, random_token
from etymon.kernel.secret import Secret
from etymon.phone.key_store.attestation import PhoneMaker
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.csr import hold
from etymon.pki.keys import write_once
from etymon.server import tls_identity
from etymon.server.demo import processes
from etymon.server.demo.peers import mail_server
from etymon.server.demo.peers.credentials import PEMFiles
from etymon.server.demo.peers.mail_server import MailServer
from etymon.server.deployment import Deployment

ORGANIZATION: Final = "Example Agency"
DOMAIN: Final = "agency.example"
HOST: Final = "localhost"


@dataclass(frozen=True)
class World:
    """Where everything is. Secrets live in files that only the demo's user can read."""

    directory: Path
    ports: Mapping[str, int]
    mail: MailServer
    entropy: Entropy = field(default_factory=SystemEntropy)
    clock: SystemClock = field(default_factory=SystemClock)

    @property
    def data(self) -> Path:
        """Data directory of the organisation."""
        return self.directory / "organization"

    @property
    def card_issuer(self) -> Path:
        """Directory of the card issuer."""
        return self.directory / "card-issuer"

    @property
    def site(self) -> str:
        """Base address of the site."""
        return f"https://{HOST}:{self.ports['site']}"

    @property
    def certauth(self) -> str:
        """Base address of the certauth listener."""
        return f"https://{HOST}:{self.ports['certauth']}"

    @property
    def device(self) -> str:
        """Base address of the device listener."""
        return f"https://{HOST}:{self.ports['device']}"

    @property
    def status(self) -> str:
        """Base address of CRL and OCSP."""
        return f"http://127.0.0.1:{self.ports['status']}"

    @property
    def cards_status(self) -> str:
        """Base address of the card issuer's CRL and OCSP."""
        return f"http://127.0.0.1:{self.ports['cards']}"

    def folder(self, name: str) -> Path:
        """Return a folder of the world, made where it is missing."""
        path = self.directory / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def secret_file(self, name: str) -> Path:
        """Return the file of a secret, made at random the first time."""
        path = self.folder("secrets") / name
        if not path.exists():
            write_once(path, self._fresh(name).encode())
        return path

    def secret(self, name: str) -> Secret[str]:
        """Return a secret."""
        return Secret(self.secret_file(name).read_text("ascii"))

    @cached_property
    def deployment(self) -> Deployment:
        """The organisation as its operator opens it, beside the process that serves it."""
        return Deployment.open(self.data, self.secret("organization"), self.clock, self.entropy)

    @cached_property
    def phone_maker(self) -> PhoneMaker:
        """Who makes the simulated phones; its keys are in this process only."""
        return PhoneMaker(self.clock.now())

    @cached_property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        """What a PC of the organisation trusts as servers."""
        return tls_identity.anchors(self.deployment)

    @cached_property
    def web(self) -> httpx.Client:
        """An HTTPS client of a PC without a card."""
        context = ssl.create_default_context(
            cadata="".join(anchor.public_bytes(Encoding.PEM).decode("ascii") for anchor in self.anchors)
        )
        return httpx.Client(verify=context, trust_env=False, timeout=30)

    def server_certificate(self, name: str) -> PEMFiles:
        """Have the organisation's TLS CA certify a server of its own, such as its RADIUS server, once."""
        files = PEMFiles(self.folder("servers") / f"{name}.pem", self.folder("servers") / f"{name}.key")
        if files.key.exists():
            return files
        key = keys.generate(KeyType.P256)
        request = IssuanceRequest(
            ca="tls",
            profile="tls-server",
            request_key=f"relying-party:{name}:{random_token(self.entropy, bits=64)}",
            key=hold(key.public_key()),
            subject=SubjectNames(common_name=name, organization=ORGANIZATION),
            alternative=AlternativeNames(dns=(name,)),
            authorized_by="operator",
        )
        made = issuance.issue(self.deployment.ca, request)
        chain = (made.certificate, *made.chain)
        files.certificate.write_bytes(b"".join(item.public_bytes(Encoding.PEM) for item in chain))
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_once(files.key, plain)
        return files

    def authority_pem(self, *names: str) -> bytes:
        """Return certificates of the organisation's authorities as PEM, as its operator hands them to servers."""
        with self.deployment.database.snapshot() as tx:
            found = [authorities.load(tx, name).certificate for name in names]
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)

    def crls(self, *names: str, status: str = "") -> bytes:
        """Fetch the CRLs of authorities and return them as PEM, as a relying party's operator would."""
        base = status or self.status
        found = [httpx.get(f"{base}/crl/{name}.crl", trust_env=False).raise_for_status().content for name in names]
        return b"".join(x509.load_der_x509_crl(der).public_bytes(Encoding.PEM) for der in found)

    def _fresh(self, name: str) -> str:
        if name.endswith("-pin"):
            return random_text(self.entropy, "0123456789", 8)
        if name.endswith("-puk"):
            return random_text(self.entropy, "0123456789", 8)
        return random_token(self.entropy, bits=120)


@contextlib.contextmanager
def built(directory: Path) -> Iterator[World]:
    """Choose ports and start the mail server."""
    names = ("site", "certauth", "device", "status", "cards")
    ports = dict(zip(names, processes.free_ports(len(names)), strict=True))
    with mail_server.serving(directory / "mail", domains=frozenset({DOMAIN})) as mail:
        yield World(directory, ports, mail)


@contextlib.contextmanager
def card_issuer_running(world: World) -> Iterator[None]:
    """Run the card issuer in a process of its own."""
    arguments = ("card-issuer", "serve", world.card_issuer, "--passphrase-file", world.secret_file("card-issuer"))
    port = world.ports["cards"]
    with processes.running(world.directory / "card-issuer.log", *arguments, ready=lambda: processes.answers(port)):
        yield


@contextlib.contextmanager
def organization_running(world: World) -> Iterator[int]:
    """Run the organisation's services in a process of their own; yields its process id."""
    arguments = ("serve", "--data", world.data, "--passphrase-file", world.secret_file("organization"))

    def ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return world.web.get(f"{world.site}/healthz").status_code == httpx.codes.OK
        return False

    with processes.running(world.directory / "organization.log", *arguments, ready=ready) as pid:
        yield pid


def founders_codes(printed: str) -> Mapping[str, Secret[str]]:
    """Read the one-time codes that `etymon init` printed, by user principal name."""
    lines = re.findall(r"^\s+(\S+@\S+)\s+([0-9A-Z-]{20,})\s*$", printed, re.MULTILINE)
    return {name: Secret(code) for name, code in lines}
