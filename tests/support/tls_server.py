# SPDX-License-Identifier: Apache-2.0
"""A small TLS server that asks for a client certificate and says whose it got: Python's ssl, that is OpenSSL."""

import contextlib
import http.server
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_GOODBYE_SECONDS: Final = 2.0


@dataclass(slots=True)
class TLSServer:
    """A running server, and the client certificates it was shown; None for a client that showed none."""

    port: int
    seen: list[x509.Certificate | None] = field(default_factory=list)


def write_pem(
    path: Path, certificates: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey | None = None
) -> Path:
    """Write certificates, and a key behind them, as PEM."""
    parts = [certificate.public_bytes(Encoding.PEM) for certificate in certificates]
    if key:
        parts.append(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.write_bytes(b"".join(parts))
    return path


def server_context(
    pem: Path, client_cas: Path | None, *, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, required: bool = False
) -> ssl.SSLContext:
    """Return a context of one TLS version that asks for a client certificate when `client_cas` is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.num_tickets = 0
    context.load_cert_chain(pem)
    if client_cas:
        context.load_verify_locations(client_cas)
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


@contextmanager
def tls_server(listener: socket, context: ssl.SSLContext, *, body: bytes = b"") -> Iterator[TLSServer]:
    """Serve on a listening socket until the block ends; each answer names the client, and `body` follows."""
    found = TLSServer(listener.getsockname()[1])

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 30

        def setup(self) -> None:
            # The handshake belongs to the connection's own thread: a slow client holds up nobody.
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            # Closing with the peer's last bytes unread would tear away the answer as well.
            self.request.settimeout(_GOODBYE_SECONDS)
            with contextlib.suppress(OSError, ValueError):
                self.request.unwrap()
            self.request.close()

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, sent: bytes) -> None:
            der = self.request.getpeercert(binary_form=True)
            certificate = x509.load_der_x509_certificate(der) if der else None
            found.seen.append(certificate)
            name = certificate.subject.rfc4514_string() if certificate else "nobody"
            text = f"client: {name}; {self.request.version()}; {len(sent)} bytes sent\n".encode() + body
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing: refused handshakes are what some tests are about."""

    server = Server(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
