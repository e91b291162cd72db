# SPDX-License-Identifier: Apache-2.0
"""A web application that knows nobody: it sends people to the identity provider (OpenID Connect, code with PKCE)."""

import asyncio
import base64
import contextlib
import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from etymon.idp import clients as idp_clients
from etymon.idp.model import Client
from etymon.server.demo.story import Untruth
from etymon.server.demo.world import HOST, World
from etymon.server.wiring import Wiring
from etymon.web.exchange import Request, endpoint
from etymon.web.listeners import Listener, Listeners, ServerIdentity

CLIENT_ID: Final = "demo-application"


@dataclass
class Application:
    """The application: who signed in lately, and how."""

    url: str
    issuer: str
    http: httpx.Client
    signed_in: list[dict[str, Any]] = field(default_factory=list)
    _pending: dict[str, tuple[str, str]] = field(default_factory=dict)

    def start(self, _request: Request) -> Response:
        """Send whoever comes to the identity provider."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._pending[state] = (nonce, verifier)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": f"{self.url}/callback",
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint_url = self._configuration()["authorization_endpoint"]
        return RedirectResponse(f"{endpoint_url}?{urlencode(asked)}", 303)

    def callback(self, request: Request) -> Response:
        """Exchange the code and greet the person whom the ID token names."""
        state = request.query.get("state", "")
        if state not in self._pending or request.query.get("iss") != self.issuer:
            return PlainTextResponse("This sign-in did not begin here.", 400)
        nonce, verifier = self._pending.pop(state)
        form = {
            "grant_type": "authorization_code",
            "client_id": CLIENT_ID,
            "code": request.query.get("code", ""),
            "redirect_uri": f"{self.url}/callback",
            "code_verifier": verifier,
        }
        configuration = self._configuration()
        answer = self.http.post(configuration["token_endpoint"], data=form)
        if answer.status_code != httpx.codes.OK:
            return PlainTextResponse(f"The identity provider refused: {answer.text}", 403)
        keys = KeySet.import_key_set(self.http.get(configuration["jwks_uri"]).raise_for_status().json())
        claims = jwt.decode(answer.json()["id_token"], keys, algorithms=["ES256"]).claims
        registry = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": CLIENT_ID},
            nonce={"essential": True, "value": nonce},
            exp={"essential": True},
        )
        registry.validate(claims)
        self.signed_in.append(dict(claims))
        return PlainTextResponse(f"Welcome, {claims['name']}.")

    def _configuration(self) -> dict[str, str]:
        found: dict[str, str] = (
            self.http.get(f"{self.issuer}/.well-known/openid-configuration").raise_for_status().json()
        )
        return found


@contextlib.contextmanager
def serving(world: World, identity: ServerIdentity, port: int) -> Iterator[Application]:
    """Run the application on a port of the loopback until the block ends, registered as a client."""
    url = f"https://{HOST}:{port}"
    wiring = Wiring(world.deployment)
    client = Client(id=CLIENT_ID, name="Demo application", redirect_uris=(f"{url}/callback",))
    with world.deployment.database.transaction() as tx:
        idp_clients.register(tx, wiring.idp, client, actor="operator")
    application = Application(url, f"{world.site}/idp", world.web)
    routes = [
        endpoint("/", application.start, methods=("GET",)),
        endpoint("/callback", application.callback, methods=("GET",)),
    ]
    listeners = Listeners([Listener("application", Starlette(routes=routes), "127.0.0.1", port, identity)])
    thread = threading.Thread(target=lambda: asyncio.run(listeners.run()), name="application")
    thread.start()
    try:
        end = time.monotonic() + 20
        while not listeners.started:
            if time.monotonic() > end:
                raise Untruth("the web application did not start")
            time.sleep(0.05)
        yield application
    finally:
        listeners.stop()
        thread.join()
