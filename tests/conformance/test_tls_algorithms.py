# SPDX-License-Identifier: Apache-2.0
"""Which algorithms the listeners and the phone agree on: AES, and keys of RSA 2048 or P-256 at least (C-24)."""

import asyncio
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from etymon.card.server_trust import ServerTrust
from etymon.card.tls import CardTLSTransport
from etymon.kernel.clock import SystemClock
from etymon.kernel.errors import Malformed
from etymon.server import tls_identity
from etymon.web.listeners import ClientCertificate, Listener, Listeners, ServerIdentity
from support import patience, programs
from support.card_issuer import authority, common_name, server_certificate
from support.tls_files import PrivateKey, write_identity
from support.tls_server import tls_server

pytestmark = pytest.mark.xdist_group("tls_algorithms")

TLS_CA = authority("Test TLS CA")
CHACHA = "TLS_CHACHA20_POLY1305_SHA256"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    identity = ServerIdentity(*_served(tmp_path_factory.mktemp("tls")))
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("answered"))])
    door = Listeners([Listener("tls", app, "127.0.0.1", 0, identity, ClientCertificate.OPTIONAL)])
    ready = threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(door.run(ready=ready.set),))
    thread.start()
    assert ready.wait(patience.LIMIT_SECONDS)
    yield door.ports()["tls"]
    door.stop()
    thread.join()


def s_client(port: int, *options: str) -> str:
    """Ask for the page with OpenSSL, and return all it says."""
    command = [
        str(programs.required("openssl")),
        *("s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-ign_eof", *options),
    ]
    asked = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    done = subprocess.run(command, input=asked, capture_output=True, check=False, timeout=60)
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    ("options", "agreed"),
    [
        (("-tls1_3",), "TLS_AES_256_GCM_SHA384"),
        (("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"), "TLS_AES_128_GCM_SHA256"),
        (("-tls1_3", "-ciphersuites", f"{CHACHA}:TLS_AES_256_GCM_SHA384"), "TLS_AES_256_GCM_SHA384"),
        (("-tls1_2",), "ECDHE-ECDSA-AES256-GCM-SHA384"),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"), "AES128-GCM-SHA256"),
    ],
)
def test_aes_is_agreed_on(port: int, options: tuple[str, ...], agreed: str) -> None:
    told = s_client(port, *options)
    assert f"Cipher is {agreed}" in told or f"{agreed}\n" in told
    assert told.count("answered") == 1


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_3", "-ciphersuites", CHACHA),
        ("-tls1_2", "-cipher", "CHACHA20:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "CAMELLIA:ARIA:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "kRSA+AES:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"),
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
    ],
    ids=" ".join,
)
def test_without_aes_and_a_fresh_key_nothing_is_answered(port: int, options: tuple[str, ...]) -> None:
    assert "answered" not in s_client(port, *options)
    assert "answered" in s_client(port), "others are"


def _identity(directory: Path, key: PrivateKey, days: int = 30) -> tuple[str, str]:
    builder = x509.CertificateBuilder().subject_name(common_name("localhost")).public_key(key.public_key())
    certificate = TLS_CA.issue(builder, end=datetime.now(UTC) + timedelta(days=days))
    return write_identity(directory, "server", certificate, key)


WEAK: dict[str, tuple[PrivateKey, int]] = {
    "RSA of 1024 bits": (rsa.generate_private_key(65537, 1024), 30),  # noqa: S505 - it is refused
    "P-224": (ec.generate_private_key(ec.SECP224R1()), 30),
    "RSA of 2048 bits beyond 2030": (rsa.generate_private_key(65537, 2048), 2500),
}


@pytest.mark.parametrize("name", WEAK)
def test_a_server_key_that_is_too_short_is_not_shown(tmp_path: Path, name: str) -> None:
    key, days = WEAK[name]
    with pytest.raises(Malformed) as refused:
        tls_identity._of_files(*_identity(tmp_path, key, days))  # noqa: SLF001 - settings need a whole site
    assert refused.value.code in {"tls_key_weak", "tls_files_unusable"}, "OpenSSL itself refuses the shortest"


def test_a_strong_server_key_is_shown(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    shown = tls_identity._of_files(*_identity(tmp_path, key))  # noqa: SLF001 - as above
    shown.present(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def phone_says(port: int) -> str:
    """Ask a server for a page as phones and cards do; return the answer, or the name of the failure."""
    transport = CardTLSTransport(trust=ServerTrust((TLS_CA.certificate,)), clock=SystemClock())
    with httpx.Client(transport=transport, timeout=30) as client:
        try:
            return client.get(f"https://localhost:{port}/").text
        except httpx.TransportError as refused:
            return type(refused).__name__


def test_the_phone_agrees_on_aes_with_our_listeners(port: int) -> None:
    assert phone_says(port) == "answered"


@pytest.mark.parametrize("ciphers", ["ECDHE+CHACHA20", "ECDHE+AES256+SHA1", "ECDHE+ARIA"])
def test_the_phone_takes_no_server_without_aes_and_a_fresh_key(tmp_path: Path, ciphers: str) -> None:
    chain, private = _served(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(chain, private)
    for offered, told in ((ciphers, "ConnectError"), ("ECDHE+AESGCM", "client: nobody")):
        context.set_ciphers(offered)
        with tls_server(socket.create_server(("127.0.0.1", 0)), context) as server:
            assert phone_says(server.port).startswith(told)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(("group", "told"), [("X25519", "ConnectError"), ("P-256", "")])
def test_the_phone_takes_no_server_that_agrees_on_a_shorter_curve_alone(tmp_path: Path, group: str, told: str) -> None:
    chain, private = _served(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        *(str(programs.required("openssl")), "s_server", "-accept", f"127.0.0.1:{port}", "-cert", chain),
        *("-key", private, "-groups", group, "-www", "-quiet", "-naccept", "10"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            patience.until(lambda: _accepts(port), "the server answers")
            assert (phone_says(port) == told) if told else ("s_server" in phone_says(port))
        finally:
            server.kill()


def _served(directory: Path) -> tuple[str, str]:
    return write_identity(directory, "server", *server_certificate(TLS_CA, dns=("localhost",)))


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
