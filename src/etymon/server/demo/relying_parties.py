# SPDX-License-Identifier: Apache-2.0
"""Whoever accepts derived credentials in the demo: web servers, a RADIUS server, and mail programs.

Each is tried with the same key and the same configuration before and after revocation. One of each kind learns of
revocation from a CRL, one from OCSP.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from etymon.phone.device import Device
from etymon.phone.profiles.desired_state import credential_entry
from etymon.phone.state import Purpose
from etymon.server.demo.chapters.enrollment import Held
from etymon.server.demo.chapters.founding import RADIUS_NAME, SSID
from etymon.server.demo.peers import curl, eapol_test, freeradius, nginx, openssl_cms, programs
from etymon.server.demo.peers.credentials import TokenKey
from etymon.server.demo.peers.freeradius import FreeRADIUS
from etymon.server.demo.peers.nginx import Nginx
from etymon.server.demo.peers.programs import Judgement
from etymon.server.demo.peers.revocation import ByCRL, ByOCSP, Revocation
from etymon.server.demo.world import HOST, World

CAS = ("derived", "derived-root")


@dataclass
class Servers:
    """The servers that run, by how they learn of revocation: `crl` or `ocsp`."""

    web: dict[str, Nginx] = field(default_factory=dict)
    radius: dict[str, FreeRADIUS] = field(default_factory=dict)

    def renew_crls(self, world: World) -> None:
        """Do what an operator's cron job does: fetch the CRLs and hand them to the servers."""
        for web in (self.web[kind] for kind in self.web if kind == "crl"):
            web.renew_crls(world.crls(*CAS))
        for radius in (self.radius[kind] for kind in self.radius if kind == "crl"):
            radius.renew_crls(world.crls(*CAS))


@contextlib.contextmanager
def running(world: World) -> Iterator[Servers]:
    """Start every server whose program is installed."""
    anchors = world.authority_pem(*CAS)
    ways: dict[str, Revocation] = {"crl": ByCRL(world.crls(*CAS)), "ocsp": ByOCSP()}
    servers = Servers()
    with contextlib.ExitStack() as started:
        if not programs.missing("nginx"):
            certificate = world.server_certificate(HOST)
            for kind, revocation in ways.items():
                folder = world.directory / f"nginx-{kind}"
                servers.web[kind] = started.enter_context(
                    nginx.serving(folder, certificate, anchors=anchors, revocation=revocation)
                )
        if not programs.missing("freeradius"):
            certificate = world.server_certificate(RADIUS_NAME)
            for kind, revocation in ways.items():
                servers.radius[kind] = started.enter_context(
                    freeradius.serving(
                        world.directory / f"freeradius-{kind}",
                        certificate,
                        anchors=anchors,
                        revocation=revocation,
                        secret=world.secret(f"radius-{kind}"),
                    )
                )
        yield servers


def visit_web_server(world: World, server: Nginx, held: Held) -> Judgement:
    """Ask for the web server's page with the phone's authentication key, which stays in its token; nginx judges."""
    since = server.log.position()
    curl.get(
        server.url,
        server_anchors=_file(world, "tls-root", world.authority_pem("tls-root")),
        directory=world.folder("judges"),
        credential=token_key(world, held, Purpose.AUTHENTICATION),
    )
    return server.judgement(since=since)


def join_network(world: World, server: FreeRADIUS, held: Held) -> tuple[Judgement, Judgement]:
    """Join the office network as policy set it up on the phone; the supplicant and FreeRADIUS judge."""
    since = server.log.position()
    network, _ = held.phone.wifi_network(SSID)
    token = token_key(world, held, Purpose.AUTHENTICATION)
    tried = eapol_test.authenticate(
        network, server, directory=world.folder("judges"), token=token, secrets=(token.pin,)
    )
    return tried.judgement, server.judgement(since=since)


def judge_signed_mail(world: World, mail: bytes, sender: str) -> Judgement:
    """Have OpenSSL judge a signed mail, with the CRLs of now."""
    return openssl_cms.verify(
        mail, anchors=world.authority_pem(*CAS), crls=world.crls(*CAS), sender=sender, directory=world.folder("judges")
    ).judgement


def encrypt_mail(world: World, held: Held, content: bytes) -> openssl_cms.Mail:
    """Have OpenSSL encrypt a mail to the phone's encryption certificate."""
    certificate = certificate_pem(held.phone.device, Purpose.ENCRYPTION)
    return openssl_cms.encrypt(
        content,
        _file(world, f"{held.person.key}-encryption", certificate),
        sender="sender@agency.example",
        recipient=held.person.address,
        subject="For your eyes only",
        directory=world.folder("judges"),
    )


def token_key(world: World, held: Held, purpose: Purpose) -> TokenKey:
    """Return how other programs reach a key of the phone; it needs SoftHSM and an open use session."""
    programs.required("softhsm2-util")
    device = held.phone.device
    entry = credential_entry(device, purpose)
    reference = device.keys.token_reference(entry.alias) if entry else None
    if entry is None or reference is None:
        raise programs.ProgramsMissing((programs.MissingProgram("softhsm2-util", "softhsm2"),))
    return TokenKey(
        certificate=_file(world, f"{held.person.key}-{purpose.value}", certificate_pem(device, purpose)),
        module=reference.module,
        token=reference.token,
        key_id=reference.key_id,
        pin=reference.pin,
        settings={"SOFTHSM2_CONF": str(reference.configuration)},
    )


def certificate_pem(device: Device, purpose: Purpose) -> bytes:
    """Return a certificate of the phone, followed by its issuers."""
    entry = credential_entry(device, purpose)
    if entry is None or entry.certificate is None:
        return b""
    return b"".join(item.public_bytes(Encoding.PEM) for item in (entry.certificate, *entry.chain))


def _file(world: World, name: str, content: bytes) -> Path:
    file = world.folder("judges") / f"{name}.pem"
    file.write_bytes(content)
    return file
