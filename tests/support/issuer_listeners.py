# SPDX-License-Identifier: Apache-2.0
"""The issuer of `issuer_site` on TLS listeners of its own: browsers, phones and outside programs reach it."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from cryptography import x509
from starlette.applications import Starlette

from etymon.issuer.http import certauth_routes, device_routes, site_routes, status_routes
from etymon.kernel.entropy import Entropy
from etymon.pki.pin import spki_pin
from etymon.web.listeners import ClientCertificate, Listener, ServerIdentity
from support.browser import Browser
from support.card_issuer import authority, server_certificate
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.declared_pki import Certified
from support.issuer_phone import Phone
from support.issuer_site import IssuerSite
from support.tls_files import PrivateKey, certificates_pem, listening, trusting, write_identity


class RunningIssuer:
    """Addresses, and clients that trust them."""

    def __init__(self, site: IssuerSite, directory: Path) -> None:
        self.site, self.directory = site, directory
        self.tls = authority("Test TLS CA")
        certificate, key = server_certificate(self.tls, dns=("localhost",), addresses=("127.0.0.1",))
        chain, private = write_identity(directory, "server", certificate, key)
        Path(chain).write_text(certificates_pem([certificate, self.tls.certificate]))
        self.identity = ServerIdentity(chain, private)
        self.anchor = directory / "tls-ca.pem"
        self.anchor.write_text(certificates_pem([self.tls.certificate]))
        self.status_url = ""
        self._open: list[Browser | httpx.Client] = []

    @contextmanager
    def running(self) -> Iterator["RunningIssuer"]:
        authorities = self.site.ca.authorities.values()
        ours = [found.certificate for found in authorities]
        cards = certificates_pem([self.site.cards.certificate, *ours])
        listeners = [
            Listener("site", _nothing, "127.0.0.1", 0, self.identity),
            Listener("certauth", _nothing, "127.0.0.1", 0, self.identity, ClientCertificate.OPTIONAL, cards),
            Listener("device", _nothing, "127.0.0.1", 0, self.identity, ClientCertificate.OPTIONAL, cards),
            Listener("status", _nothing, "127.0.0.1", 0),
        ]
        with listening(listeners, lambda ports: self._applications(dict(ports))):
            try:
                yield self
            finally:
                for client in self._open:
                    client.close()

    def _applications(self, ports: dict[str, int]) -> dict[str, Starlette]:
        urls = [f"https://localhost:{ports[name]}" for name in ("site", "certauth", "device")]
        self.status_url = f"http://localhost:{ports['status']}"
        self.site.deps = deps = self.site.dependencies(*urls, tls_pin=spki_pin(self.tls.certificate))
        return {
            "site": Starlette(routes=site_routes(deps)),
            "certauth": Starlette(routes=certauth_routes(deps)),
            "device": Starlette(routes=device_routes(deps)),
            "status": Starlette(routes=status_routes(deps)),
        }

    def browser(self, card: Certified | None = None, *, headers: dict[str, str] | None = None) -> Browser:
        """Return a browser; with a card it shows that card's certificate at certauth."""
        context = self.trusting()
        if card is not None:
            context = self.showing("card", card.certificate, card.key)
        browser = Browser(
            httpx.HTTPTransport(verify=self.trusting()),
            httpx.HTTPTransport(verify=context),
            certauth_origin=self.site.deps.certauth_url,
            headers=headers,
        )
        self._open.append(browser)
        return browser

    def client(self, phone: Phone | None = None) -> httpx.Client:
        """Return a client of the device listener; with a phone it shows the device identity."""
        context = self.trusting()
        if phone is not None and phone.device is not None and phone.device_key is not None:
            context = self.showing("device", phone.device, phone.device_key)
        client = httpx.Client(verify=context, base_url=self.site.deps.device_url, trust_env=False, timeout=40)
        self._open.append(client)
        return client

    def program(self) -> httpx.Client:
        """Return a client of the site listener."""
        client = httpx.Client(verify=self.trusting(), base_url=self.site.deps.site_url, trust_env=False)
        self._open.append(client)
        return client

    def trusting(self) -> ssl.SSLContext:
        return trusting([self.tls.certificate])

    def showing(self, name: str, certificate: x509.Certificate, key: PrivateKey) -> ssl.SSLContext:
        context = self.trusting()
        context.load_cert_chain(*write_identity(self.directory, f"{name}{certificate.serial_number}", certificate, key))
        return context


@contextmanager
def issuer_on_sqlite(
    databases: SQLiteDatabases, clock: TurnedClock, entropy: Entropy, directory: Path
) -> Iterator[RunningIssuer]:
    """Give a new issuer that runs: pages do not care which engine it is; the contract suites run on both."""
    database = databases.migrated()
    with RunningIssuer(IssuerSite(database, clock, entropy, directory), directory).running() as running:
        yield running
    databases.drop(database)


async def _nothing(*_: object) -> None:
    """Stand where an application comes later."""
