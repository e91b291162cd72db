# SPDX-License-Identifier: Apache-2.0
"""Small HTTPS servers on loopback, for stand-ins of outside systems."""

import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from cryptography import x509

from support.tls_files import certificates_pem

HOST: Final = "127.0.0.1"


@dataclass(slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    peer: x509.Certificate | None

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass(slots=True)
class Answer:
    """A status, a body and its type."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def html(cls, text: str, status: int = 200, **headers: str) -> "Answer":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, text.encode(), "text/html; charset=utf-8", named)

    @classmethod
    def redirect(cls, location: str, **headers: str) -> "Answer":
        return cls(
            303, b"", "text/plain", {"Location": location, **{k.replace("_", "-"): v for k, v in headers.items()}}
        )

    @classmethod
    def json(cls, members: Mapping[str, object], status: int = 200) -> "Answer":
        return cls(status, json.dumps(members).encode())

    @classmethod
    def problem(cls, status: int, code: str) -> "Answer":
        members = {"type": f"urn:etymon:problem:{code}", "title": code, "detail": f"Refused: {code}."}
        return cls(status, json.dumps(members).encode(), "application/problem+json")

    @classmethod
    def oauth_error(cls, code: str) -> "Answer":
        return cls.json({"error": code}, 400)


def server_context(chain: Path, private: Path, *, client_ca: x509.Certificate | None = None) -> ssl.SSLContext:
    """Return a server's context; with `client_ca` it asks for a client certificate and takes none as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=certificates_pem([client_ca]))
    return context


@contextmanager
def listening(handle: Callable[[Asked], Answer | None], context: ssl.SSLContext) -> Iterator[int]:
    """Serve until the block ends and lend the port; None ends the connection without an answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.connection.settimeout(10)
            super().handle_one_request()

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = self.connection
            shown = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
            peer = x509.load_der_x509_certificate(shown) if shown else None
            answer = handle(Asked(self.command, self.path, dict(self.headers), body, peer))
            if answer is None:
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    with http.server.ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
