# SPDX-License-Identifier: Apache-2.0
"""The two TLS listeners of an identity provider on loopback, and the files their clients and servers need."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from etymon.idp.dependencies import Dependencies
from etymon.idp.http import certauth_routes, site_routes
from etymon.web.listeners import ClientCertificate, Listener, Listeners, ServerIdentity
from support.card_issuer import Authority, authority, server_certificate
from support.declared_pki import Certified

START_LIMIT_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files of the TLS server and of the authorities its clients come from."""

    directory: Path
    tls: Authority
    server: ServerIdentity

    @classmethod
    def in_(cls, directory: Path) -> "Files":
        tls = authority("Test TLS CA")
        certificate, key = server_certificate(tls, dns=("localhost",), addresses=("127.0.0.1",))
        chain, private = directory / "server.pem", directory / "server.key"
        chain.write_bytes(pem(Certified(certificate, key)))
        private.write_bytes(key_pem(Certified(certificate, key)))
        (directory / "tls-ca.pem").write_bytes(pem(Certified(tls.certificate, tls.key)))
        return cls(directory, tls, ServerIdentity(str(chain), str(private)))

    @property
    def anchor(self) -> Path:
        return self.directory / "tls-ca.pem"

    def trusting(self) -> ssl.SSLContext:
        """Return a client context that trusts the server and shows nothing."""
        return ssl.create_default_context(cafile=str(self.anchor))

    def showing(self, certified: Certified) -> ssl.SSLContext:
        """Return a client context that shows a certificate."""
        context = self.trusting()
        name = f"client-{certified.certificate.serial_number}.pem"
        file = self.directory / name
        file.write_bytes(pem(certified) + key_pem(certified))
        context.load_cert_chain(str(file))
        return context


def pem(certified: Certified) -> bytes:
    return certified.certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(certified: Certified) -> bytes:
    return certified.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@contextmanager
def serving(
    identity: ServerIdentity, client_cas: str, apps: Callable[[str, str], tuple[Starlette, Starlette]]
) -> Iterator[tuple[str, str]]:
    """Serve site and certauth on ports of their own; `apps` makes them once their addresses are known."""
    made: dict[str, Starlette] = {}

    def late(name: str) -> Callable[[Scope, Receive, Send], Any]:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await made[name](scope, receive, send)

        return app

    listeners = Listeners(
        [
            Listener("site", late("site"), "127.0.0.1", 0, identity),
            Listener(
                "certauth",
                late("certauth"),
                "127.0.0.1",
                0,
                identity,
                ClientCertificate.OPTIONAL,
                client_cas,
                keep_alive=False,
                tls13_only=True,
            ),
        ]
    )
    thread = threading.Thread(target=lambda: asyncio.run(listeners.run()), daemon=True)
    thread.start()
    started = threading.Event()
    for _ in range(START_LIMIT_SECONDS * 100):
        if listeners.started or not thread.is_alive():
            break
        started.wait(0.01)
    assert listeners.started
    ports = listeners.ports()
    site_url, certauth_url = (f"https://127.0.0.1:{ports[name]}" for name in ("site", "certauth"))
    made["site"], made["certauth"] = apps(site_url, certauth_url)
    try:
        yield site_url, certauth_url
    finally:
        listeners.stop()
        thread.join()


def applications(deps: Dependencies) -> tuple[Starlette, Starlette]:
    return Starlette(routes=site_routes(deps)), Starlette(routes=certauth_routes(deps))
