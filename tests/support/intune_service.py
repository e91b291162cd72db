# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Microsoft's cloud, written from the contract for third-party certification authorities.

Tokens of the tenant, the directory of services, the three SCEP actions and the two calls for revocations. It asserts
what the contract asks of us, and answers what a test tells it to.
"""

import base64
import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from asn1crypto import csr

from etymon.issuer.intune.connection import Connection, Tenant
from etymon.issuer.intune.outbound import Outbound, Patience
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import Secret
from support.card_issuer import authority, server_certificate
from support.clock import TurnedClock
from support.https_site import Answer, Asked, listening, server_context
from support.tls_files import trusting, write_identity

PATIENCE: Final = Patience(request=10, call=60)
"""A busy machine takes its time; tests of time have less patience."""

TENANT: Final = "agency.onmicrosoft.example"
CLIENT: Final = "5b0a2a3e-4d7c-4a0b-9a54-6f3a1f5c0d11"
SECRET: Final = "the application's secret"
SERVICE_SCOPE: Final = "https://api.manage.microsoft.com//.default"
DIRECTORY: Final = "/v1.0/servicePrincipals/appId=0000000a-0000-0000-c000-000000000000/endpoints"
ACTIONS: Final = "/TrafficGateway/Scep"
REVOCATIONS: Final = "/TrafficGateway/Pki"


@dataclass
class Intune:
    """What it is told to say, and what it was asked."""

    codes: dict[str, str] = field(default_factory=dict)
    """Code by action, where it is not Success."""
    statuses: dict[str, int] = field(default_factory=dict)
    """HTTP status by the last word of the path, where it is not 200."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    token_scopes: list[str] = field(default_factory=list)
    look_ups: int = 0
    url: str = ""
    service_url: str = ""
    capitals: bool = False
    revocations: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    silent: bool = False

    def of(self, action: str) -> list[dict[str, Any]]:
        """Return what an action was sent."""
        return [body for name, body in self.asked if name == action]

    def handle(self, asked: Asked) -> Answer | None:
        path = urlsplit(asked.path).path
        last = path.rpartition("/")[2]
        if self.silent:
            return None
        if last in self.statuses or last in self.bodies:
            return Answer(self.statuses.get(last, 200), self.bodies.get(last, b""))
        if path == f"/{TENANT}/oauth2/v2.0/token":
            return self._token(asked.form)
        if path == DIRECTORY:
            return self._directory(asked)
        self._check_headers(asked, "2018-02-20" if path.startswith(ACTIONS) else "5019-05-05")
        body = asked.document
        self.asked.append((last, body))
        if path.startswith(f"{ACTIONS}/ScepActions/"):
            return self._act(last, body)
        return self._revoke(last, body)

    def _token(self, form: dict[str, str]) -> Answer:
        right = (form["grant_type"], form["client_id"], form["client_secret"])
        if right != ("client_credentials", CLIENT, SECRET):
            return Answer.json({"error": "invalid_client"}, 401)
        self.token_scopes.append(form["scope"])
        token = f"token-{uuid.uuid4()}"
        self.tokens[token] = form["scope"]
        return Answer.json({"token_type": "Bearer", "expires_in": 3599, "access_token": token})

    def _directory(self, asked: Asked) -> Answer:
        self.look_ups += 1
        assert self._scope(asked) == f"{self.url}/.default"
        service = self.service_url or self.url
        listed = [
            {"providerName": "AnotherFEService", "uri": "https://elsewhere.test/"},
            {"providerName": "SCEPRequestValidationFEService", "uri": f"{service}{ACTIONS}"},
            {"providerName": "pkiConnectorFEService", "uri": f"{service}{REVOCATIONS}/"},
        ]
        return Answer.json({"value": listed})

    def _scope(self, asked: Asked) -> str | None:
        scheme, _, token = asked.headers["Authorization"].partition(" ")
        assert scheme == "Bearer"
        return self.tokens.get(token)

    def _check_headers(self, asked: Asked, version: str) -> None:
        sent = {name.lower(): value for name, value in asked.headers.items()}
        assert self._scope(asked) == SERVICE_SCOPE
        assert sent["content-type"] == "application/json"
        assert sent["api-version"] == version
        assert str(uuid.UUID(sent["client-request-id"])) == sent["client-request-id"]
        assert sent["useragent"]

    def _act(self, action: str, body: dict[str, Any]) -> Answer:
        (told,) = body.values()
        assert list(body) == ["request" if action == "validateRequest" else "notification"]
        assert isinstance(told["transactionId"], str)
        assert "\n" not in told["certificateRequest"]
        read = csr.CertificationRequest.load(base64.b64decode(told["certificateRequest"], validate=True), strict=True)
        assert read["certification_request_info"]["subject"].native
        assert told["callerInfo"]
        if action == "successNotification":
            assert re.fullmatch(r"[0-9A-F]{40}", told["certificateThumbprint"])
            assert re.fullmatch(r"[0-9a-f]+", told["certificateSerialNumber"])
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["certificateExpirationDateUtc"])
            assert {"issuingCertificateAuthority", "caConfiguration", "certificateAuthority"} <= told.keys()
        if action == "failureNotification":
            assert -(2**31) <= told["hResult"] < 2**31
            assert len(told["errorDescription"]) <= 255
        code = self.codes.get(action, "success" if self.capitals else "Success")
        names = ("Code", "ErrorDescription") if self.capitals else ("code", "errorDescription")
        return Answer.json({names[0]: code, names[1]: ""})

    def _revoke(self, action: str, body: dict[str, Any]) -> Answer:
        if action == "downloadRevocationRequests":
            assert 1 <= body["downloadParameters"]["maxRequests"] <= 500
            waiting, self.revocations = self.revocations, []
            return Answer.json({"Value" if self.capitals else "value": waiting})
        for result in body["results"]:
            assert result["succeeded"] == (result["errorCode"] == "None") == (not result["errorMessage"])
        self.results += body["results"]
        return Answer.json({"value": True})


@contextmanager
def running(directory: Path, clock: TurnedClock, entropy: Entropy) -> Iterator[tuple[Intune, Connection]]:
    """Serve over TLS on loopback, and lend the way there."""
    cloud = Intune()
    ca = authority("Cloud TLS CA")
    certificate, key = server_certificate(ca, dns=("localhost",))
    context = server_context(*map(Path, write_identity(directory, "cloud", certificate, key)))
    with listening(cloud.handle, context) as port:
        cloud.url = f"https://localhost:{port}"
        tenant = Tenant(TENANT, CLIENT, Secret(SECRET), cloud.url, cloud.url, SERVICE_SCOPE, ("localhost",))
        yield cloud, Connection(tenant, Outbound(trusting([ca.certificate]), PATIENCE), clock, entropy)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()
