# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the services a phone talks to, written from docs/protocols alone and kept as small as they allow.

It keeps what it was asked, can lose an answer after it has acted on the request, and can be told to answer otherwise.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.pki.pin import spki_pin
from etymon.wire import enrollment_qr, link_qr
from support.card_issuer import authority, server_certificate
from support.https_site import HOST, Answer, Asked, listening, server_context
from support.phone_issuer import StandInIssuer
from support.tls_files import certificates_pem, key_pem

TOKEN: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass
class Services:
    """Endpoint manager, identity provider and issuer of one deployment. Change its members to change its answers."""

    directory: Path
    site: str = ""
    device_listener: str = ""
    asked: list[Asked] = field(default_factory=list)
    lose_answers: set[int] = field(default_factory=set)
    """Numbers of requests (from 0) whose answers are lost on the way."""
    faults: list[Exception] = field(default_factory=list)
    instead: dict[str, list[Answer]] = field(default_factory=dict)
    """Answers given in place of the usual one for a path, first come first served."""
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    desired: dict[str, object] = field(default_factory=dict)
    version: int = 0
    managed: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.tls = authority("Deployment TLS CA")
        self.device_ca = authority("Device CA")
        self.issuer = StandInIssuer(self.directory)

    @property
    def pin(self) -> str:
        return spki_pin(self.tls.certificate)

    def paths(self, prefix: str) -> list[str]:
        return [asked.path for asked in self.asked if asked.path.startswith(prefix)]

    def last(self, prefix: str) -> Asked:
        return [asked for asked in self.asked if asked.path.startswith(prefix)][-1]

    def enrollment_code(self, *, pin: str | None = None) -> Secret[str]:
        invitation = enrollment_qr.Invitation(f"{self.site}/mdm", Secret(TOKEN), pin or self.pin)
        return enrollment_qr.encode(enrollment_qr.Provisioning(invitation))

    def link_code(self, *, pin: bytes | None = None, password: str = "") -> Secret[str]:
        """Make a link as the issuer's page would, with a number beside it if one is given, and return its code."""
        link, secret = uuid4(), SystemEntropy().octets(16)
        self.issuer.links[str(link)] = secret
        if password:
            self.issuer.passwords[str(link)] = password
        octets = base64.urlsafe_b64decode(self.pin + "=")
        code = link_qr.LinkQR(f"{self.site}/issuer", link, Secret(secret), pin or octets, len(password))
        return link_qr.encode(code)

    def handle(self, asked: Asked) -> Answer | None:
        """Return the answer to a request, or None where it is lost after all was done."""
        number = len(self.asked)
        self.asked.append(asked)
        try:
            answer = self.answer(asked)
        except Exception as fault:  # the test that made it fails when the block ends
            self.faults.append(fault)
            raise
        return None if number in self.lose_answers else answer

    def answer(self, asked: Asked) -> Answer:
        prepared = self.instead.get(asked.path)
        if prepared:
            return prepared.pop(0)
        method, path = asked.method, asked.path
        exact: dict[tuple[str, str], Callable[[Asked], Answer]] = {
            ("POST", "/mdm/enrollment/v1/sessions"): self._begin,
            ("GET", "/idp/.well-known/openid-configuration"): self._discovery,
            ("POST", "/idp/device_authorization"): self._device_authorization,
            ("POST", "/idp/token"): self._token,
            ("POST", "/mdm/device/v1/check-in"): self._check_in,
        }
        if (method, path) in exact:
            return exact[method, path](asked)
        if path.endswith("/assertion"):
            return Answer.json({"enrollmentAssertion": "assertion-fresh"})
        if path.endswith("/complete"):
            return self._complete(asked)
        if path.startswith(("/issuer/", "/.well-known/est")):
            kind, status, body = self.issuer.answer(path, asked.headers, asked.body, asked.peer, self._urls())
            return Answer(status, body, kind)
        return Answer.problem(404, "not_found")

    def notify(self, *policies: Mapping[str, object], **members: object) -> None:
        """Make a newer desired state."""
        self.version += 1
        self.desired = {"policies": list(policies), **members}

    def _urls(self) -> tuple[str, str]:
        return self.site, self.device_listener

    def _begin(self, asked: Asked) -> Answer:
        if asked.document["token"] != TOKEN:
            return Answer.problem(403, "enrollment_token_unknown")
        session = str(uuid4())
        self.sessions[session] = {"secret": uuid4().hex, "key": None}
        provider = {
            "issuer": f"{self.site}/idp",
            "clientId": "etymon-phone",
            "scope": "openid profile enroll",
            "enrollmentAssertion": "assertion-first",
        }
        return Answer.json(
            {
                "session": session,
                "sessionSecret": self.sessions[session]["secret"],
                "expiresAt": moment(timedelta(minutes=15)),
                "organization": self._organization(),
                "identityProvider": provider,
            },
            201,
        )

    def _organization(self) -> Mapping[str, object]:
        logo = {"type": "image/png", "value": base64.b64encode(b"logo").decode()}
        return {"displayName": "Agency", "themeColor": "#0b5cad", "logo": logo}

    def _discovery(self, _: Asked) -> Answer:
        issuer = f"{self.site}/idp"
        return Answer.json(
            {
                "issuer": issuer,
                "device_authorization_endpoint": f"{issuer}/device_authorization",
                "token_endpoint": f"{issuer}/token",
            }
        )

    def _device_authorization(self, asked: Asked) -> Answer:
        assert asked.form["client_id"] == "etymon-phone"
        assert asked.form["enrollment_assertion"].startswith("assertion-")
        return Answer.json(
            {
                "device_code": uuid4().hex,
                "user_code": "BCDF-GHJK",
                "verification_uri": f"{self.site}/idp/device",
                "expires_in": 300,
                "interval": 5,
            }
        )

    def _token(self, asked: Asked) -> Answer:
        assert asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code"
        return Answer.json({"access_token": "token-for-enroll", "token_type": "Bearer", "expires_in": 600})

    def _complete(self, asked: Asked) -> Answer:
        session = self.sessions.get(asked.path.split("/")[-2])
        if asked.headers.get("Authorization") != "Bearer token-for-enroll":
            return Answer.problem(401, "token_required")
        if session is None or asked.document["sessionSecret"] != session["secret"]:
            return Answer.problem(404, "session_unknown")
        request = x509.load_der_x509_csr(base64.b64decode(asked.document["csr"]))
        assert request.is_signature_valid
        if session["key"] not in (None, request.public_key()):
            return Answer.problem(409, "session_already_completed")
        if session["key"] is None:
            session["key"] = request.public_key()
            session["device"] = str(uuid4())
            names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:uuid:{session['device']}")])
            builder = x509.CertificateBuilder().subject_name(request.subject).public_key(request.public_key())
            session["certificate"] = self.device_ca.issue(builder.add_extension(names, critical=False))
            self.managed.add(der(session["certificate"]))
        return Answer.json(
            {
                "device": session["device"],
                "certificate": base64.b64encode(der(session["certificate"])).decode(),
                "chain": [base64.b64encode(der(self.device_ca.certificate)).decode()],
                "checkIn": f"{self.device_listener}/mdm/device/v1/check-in",
                "organization": self._organization(),
            }
        )

    def _check_in(self, asked: Asked) -> Answer:
        if asked.peer is None:
            return Answer.problem(401, "device_identity_required")
        if der(asked.peer) not in self.managed:
            return Answer.problem(403, "device_not_managed")
        done = {item["command"] for item in asked.document["commands"]}
        commands = self.desired.get("commands", [])
        assert isinstance(commands, list)
        ended = [item for item in commands if item["command"] in done]
        if any(item["type"] in {"retire", "wipe"} for item in ended):
            self.managed.discard(der(asked.peer))
        self.desired["commands"] = [item for item in commands if item["command"] not in done]
        if asked.document["known"] >= self.version:
            return Answer(204)
        return Answer.json({"version": self.version, **self.desired})


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def moment(after: timedelta) -> str:
    return (datetime.now(UTC) + after).isoformat().replace("+00:00", "Z")


@contextmanager
def serving(services: Services) -> Iterator[Services]:
    """Run both listeners on loopback over TLS until the block ends."""
    certificate, key = server_certificate(services.tls, addresses=(HOST,))
    chain, private = services.directory / "server.pem", services.directory / "server.key"
    chain.write_text(certificates_pem([certificate, services.tls.certificate]))
    private.write_bytes(key_pem(key))
    with listening(services.handle, server_context(chain, private)) as port:
        services.site = f"https://{HOST}:{port}"
        context = server_context(chain, private, client_ca=services.device_ca.certificate)
        with listening(services.handle, context) as device_port:
            services.device_listener = f"https://{HOST}:{device_port}"
            yield services
    assert services.faults == []
