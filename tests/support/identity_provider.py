# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an outside identity provider: it publishes keys over TLS and signs access tokens (RFC 9068)."""

import http.server
import json
import ssl
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from etymon.kernel.entropy import SystemEntropy
from support.card_issuer import Authority, authority, server_certificate
from support.clock import TurnedClock
from support.tls_files import trusting, write_identity

CARD: Final = "urn:etymon:acr:card"
DERIVED: Final = "urn:etymon:acr:derived"


class StandInProvider:
    """One provider; its documents can be changed to what a test needs."""

    def __init__(self, directory: Path) -> None:
        self.entropy = SystemEntropy()
        self.tls: Authority = authority("Stand-in TLS CA")
        certificate, key = server_certificate(self.tls, addresses=("127.0.0.1",))
        self._chain, self._key = write_identity(directory, "provider", certificate, key)
        self.issuer = ""
        self.signing_keys: list[ECKey] = [ECKey.generate_key("P-256")]
        self.documents: dict[str, object] = {}
        self.asked: list[str] = []
        self.http = httpx.Client(verify=trusting([self.tls.certificate]), trust_env=False, timeout=5)

    @contextmanager
    def running(self) -> Iterator["StandInProvider"]:
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                document = provider.document(self.path)
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(404 if document is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._chain, self._key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.issuer = f"https://127.0.0.1:{server.server_address[1]}/idp"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.http.close()
            server.shutdown()
            server.server_close()
            thread.join()

    def document(self, path: str) -> object:
        """Return what is published at `path`; None where nothing is."""
        if path in self.documents:
            return self.documents[path]
        if path == "/idp/.well-known/openid-configuration":
            return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks"}
        if path == "/idp/jwks":
            return {"keys": [_published(key) for key in self.signing_keys]}
        return None

    def token(
        self,
        clock: TurnedClock,
        person: UUID,
        *,
        audience: str,
        scope: str,
        key: ECKey | None = None,
        header: dict[str, Any] | None = None,
        dropped: Collection[str] = (),
        **claims: object,
    ) -> str:
        """Return an access token; claims that are None are left out, and so are `dropped` members of its header."""
        now = int(clock.now().timestamp())
        body: dict[str, object] = {
            "iss": self.issuer,
            "sub": str(person),
            "aud": audience,
            "client_id": "test",
            "scope": scope,
            "iat": now,
            "exp": now + 600,
            "jti": str(uuid4()),
            "acr": CARD,
            "amr": ["sc", "pin", "mfa"],
            **claims,
        }
        signing = key or self.signing_keys[0]
        head = {"alg": "ES256", "typ": "at+jwt", "kid": signing.thumbprint(), **(header or {})}
        head = {name: value for name, value in head.items() if name not in dropped}
        present = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(head, present, signing, algorithms=["ES256"], default_type=None)


def _published(key: ECKey) -> dict[str, str]:
    public = {name: str(value) for name, value in key.as_dict(private=False).items()}
    return {**public, "kid": key.thumbprint(), "use": "sig", "alg": "ES256"}
