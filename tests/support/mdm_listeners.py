# SPDX-License-Identifier: Apache-2.0
"""The endpoint manager of `mdm_site` on TLS listeners of its own, with the administration API beside it."""

import itertools
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography import x509
from starlette.applications import Starlette
from starlette.routing import Mount

from etymon.directory import roles
from etymon.directory.model import Person, Role
from etymon.escrow.dependencies import Dependencies as EscrowDependencies
from etymon.escrow.key_encryption import SoftwareKeyEncryptionKey
from etymon.graph import http as graph_http
from etymon.graph.dependencies import Dependencies
from etymon.issuer.dependencies import Dependencies as IssuerDependencies
from etymon.kernel.secret import Secret
from etymon.mdm.http import device_routes, site_routes
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.pin import spki_pin
from etymon.pki.signer import SoftwareSigner
from etymon.web.branding import Branding
from etymon.web.listeners import ClientCertificate, Listener, ServerIdentity
from support.appointments import give
from support.ca_site import proven_key
from support.card_issuer import authority, server_certificate
from support.mdm_site import MDMSite, Phone
from support.registration_keys import NoRegistrationKeys
from support.tls_files import PrivateKey, certificates_pem, key_pem, listening, trusting, write_identity

AUTHORITIES: Final = ("device", "derived")
"""What a site needs whose doors refuse derived credentials with an answer."""


class RunningSite:
    """Addresses, and clients that trust them."""

    def __init__(self, site: MDMSite, directory: Path) -> None:
        self.site, self.directory = site, directory
        self.tls = authority("Test TLS CA")
        certificate, key = server_certificate(self.tls, addresses=("127.0.0.1",))
        self.identity = ServerIdentity(*write_identity(directory, "server", certificate, key))
        self.graph: Dependencies
        self.app: Any = None
        self._numbers = itertools.count()
        self._clients: list[httpx.Client] = []

    @contextmanager
    def running(self) -> Iterator["RunningSite"]:
        ours = certificates_pem([found.certificate for found in self.site.ca.authorities.values()])
        listeners = [
            Listener("site", _nothing, "127.0.0.1", 0, self.identity),
            Listener("device", _nothing, "127.0.0.1", 0, self.identity, ClientCertificate.OPTIONAL, ours),
        ]
        with listening(listeners, self._applications):
            try:
                yield self
            finally:
                self.site.deps.wake_ups.close()
                for client in self._clients:
                    client.close()

    def _applications(self, ports: Mapping[str, int]) -> dict[str, Starlette]:
        site_url, device_url = (f"https://127.0.0.1:{ports[name]}" for name in ("site", "device"))
        self.site.deps = deps = replace(
            self.site.deps, site_url=site_url, device_url=device_url, tls_pin=spki_pin(self.tls.certificate)
        )
        self.graph = Dependencies(deps, self._issuer(site_url, device_url))
        self.app = graph_http.create_app(self.graph)
        return {
            "site": Starlette(routes=[*site_routes(deps), Mount("/graph", self.app)]),
            "device": Starlette(routes=device_routes(deps)),
        }

    def _issuer(self, site_url: str, device_url: str) -> IssuerDependencies:
        site, deps = self.site, self.site.deps
        signing_key = keys.generate(KeyType.P256)
        return IssuerDependencies(
            database=deps.database,
            clock=deps.clock,
            entropy=deps.entropy,
            refusals=deps.refusals,
            digest_key=deps.digest_key,
            site_url=site_url,
            certauth_url=site_url,
            device_url=device_url,
            tls_pin=deps.tls_pin,
            branding=Branding("Test Agency"),
            ca=deps.ca,
            registration_keys=NoRegistrationKeys(),
            escrow=EscrowDependencies(
                deps.database,
                deps.clock,
                deps.entropy,
                deps.digest_key,
                SoftwareKeyEncryptionKey(Secret(bytes(32)), deps.entropy),
                SoftwareSigner(signing_key),
                site.ca.issue("key-generation-signer", key=proven_key(signing_key)).certificate,
            ),
            status_of=lambda _: site.status,
            oidc_issuer=site.provider.issuer,
        )

    # ---- clients

    def phone_client(self, phone: Phone | None = None) -> httpx.Client:
        """Return a client of the device listener; with a phone it shows the device identity."""
        if phone is None:
            return self._client(self.site.deps.device_url, trusting([self.tls.certificate]))
        return self.device_client(phone.certificate, phone.key)

    def device_client(self, certificate: x509.Certificate, key: PrivateKey) -> httpx.Client:
        """Return a client of the device listener that shows a certificate."""
        context = trusting([self.tls.certificate])
        file = self.directory / f"client{next(self._numbers)}.pem"
        file.write_bytes(certificates_pem([certificate]).encode() + key_pem(key))
        context.load_cert_chain(str(file))
        return self._client(self.site.deps.device_url, context)

    def site_client(self) -> httpx.Client:
        """Return a client of the site listener."""
        return self._client(self.site.deps.site_url, trusting([self.tls.certificate]))

    def administration(self, person: Person | None = None, **claims: Any) -> httpx.Client:
        """Return a client of the administration API that presents a person's token."""
        client = self._client(self.graph.url, trusting([self.tls.certificate]))
        if person is not None:
            client.headers["Authorization"] = f"Bearer {self.administration_token(person, **claims)}"
        return client

    def administration_token(self, person: Person, **claims: Any) -> str:
        with self.site.database.snapshot() as tx:
            present = [role.value for role in roles.roles_of(tx, person.id)]
        wanted = {"audience": self.graph.url, "scope": "openid administration", "roles": present, **claims}
        return self.site.provider.token(self.site.clock, person.id, **wanted)

    def somebody(self, name: str, *held: Role) -> Person:
        """Return a person with roles."""
        person = self.site.directory.person(name)
        with self.site.database.transaction() as tx:
            give(tx, self.site.directory.deps, person, *held)
        return person

    def _client(self, base_url: str, context: ssl.SSLContext) -> httpx.Client:
        client = httpx.Client(verify=context, base_url=base_url, trust_env=False, timeout=30)
        self._clients.append(client)
        return client


async def _nothing(*_: object) -> None:
    """Stand where the listener's application will be."""
