# SPDX-License-Identifier: Apache-2.0
"""Certificates and keys as the files that TLS libraries read, and listeners on ports of their own."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.types import ASGIApp, Receive, Scope, Send

from etymon.web.listeners import Listener, Listeners

START_LIMIT_SECONDS: Final = 30

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def certificates_pem(certificates: Sequence[x509.Certificate]) -> str:
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_identity(directory: Path, name: str, certificate: x509.Certificate, key: PrivateKey) -> tuple[str, str]:
    """Write a certificate and its key; return the two files' names."""
    chain, private = directory / f"{name}.pem", directory / f"{name}.key"
    chain.write_text(certificates_pem([certificate]))
    private.write_bytes(key_pem(key))
    return str(chain), str(private)


def trusting(anchors: Sequence[x509.Certificate]) -> ssl.SSLContext:
    """Return a client context that trusts these and shows nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificates_pem(anchors))
    return context


@contextmanager
def listening(
    listeners: Sequence[Listener], apps: Callable[[Mapping[str, int]], Mapping[str, ASGIApp]]
) -> Iterator[Mapping[str, int]]:
    """Run listeners; `apps` makes their applications once the ports are known. Their own `app` is not used."""
    made: dict[str, ASGIApp] = {}

    def late(name: str) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await made[name](scope, receive, send)

        return app

    running = Listeners(
        Listener(one.name, late(one.name), one.host, one.port, one.identity, one.client_certificate, one.client_cas)
        for one in listeners
    )
    thread = threading.Thread(target=lambda: asyncio.run(running.run()), daemon=True)
    thread.start()
    pause = threading.Event()
    for _ in range(START_LIMIT_SECONDS * 100):
        if running.started or not thread.is_alive():
            break
        pause.wait(0.01)
    assert running.started
    ports = running.ports()
    made.update(apps(ports))
    try:
        yield ports
    finally:
        running.stop()
        thread.join()
