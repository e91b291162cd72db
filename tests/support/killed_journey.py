# SPDX-License-Identifier: Apache-2.0
"""What a phone and an endpoint manager ask of a site, each request one that may be sent again."""

import base64
import email
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from etymon.directory.model import Person
from etymon.issuer.model import Purpose
from etymon.wire import link_qr
from support.ca_site import csr_der
from support.issuer_phone import Phone
from support.issuer_story import redemption, waiting
from support.killed_certificates import key_opened_by_openssl
from support.killed_organization import Organization


@dataclass(frozen=True)
class Operation:
    """A request that is sent until it is answered. `essence` is what must be the same in every answer."""

    name: str
    send: Callable[..., httpx.Response]
    essence: Callable[[httpx.Response], object]
    request_key: str = ""
    """Under which the CA keeps what the request leads to, where that is a certificate."""


Story = Generator[Operation, httpx.Response, None]


@dataclass
class Journey:
    """One person and one phone, from enrollment to the last certificate."""

    organization: Organization
    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    device: x509.Certificate = field(init=False)
    phone: Phone = field(init=False)
    link: uuid.UUID = field(init=False)
    credentials: dict[Purpose, x509.Certificate] = field(default_factory=dict)

    def story(self) -> Story:
        """Yield what the phone asks for, step by step, and take the answers."""
        person = self.organization.person(self.name)
        yield from self._enroll(person)
        session, begun = self.organization.begin(person)
        self.link = begun.derivation.id
        with self.organization.client(self.organization.device_url, self.device, self.key) as http:
            yield Operation(
                "redemption", _json(http, "POST", "/issuer/link/v1/redeem", redemption(begun, self.phone)), _document
            )
            self.organization.confirm(session, begun, self.phone)
            asked = _json(http, "POST", "/issuer/link/v1/authorization", waiting(begun, self.phone))
            answer = yield Operation("authorization", asked, _document)
            authorization = answer.json()["authorization"]
            for purpose in Purpose:
                answer = yield self._enrollment(http, purpose, authorization)
                self.credentials[purpose] = certificate_of(answer)

    def _enroll(self, person: Person) -> Story:
        organization = self.organization
        with organization.client(organization.site_url) as http:
            facts = {"manufacturer": "Google", "model": "Pixel 9", "serialNumber": self.name}
            begin = {"protocol": 1, "token": organization.token.reveal(), "device": facts}
            begun = yield Operation("begin", _json(http, "POST", "/mdm/enrollment/v1/sessions", begin), _nothing)
            session, secret = begun.json()["session"], begun.json()["sessionSecret"]
            http.headers["Authorization"] = f"Bearer {organization.access_token(person, session)}"
            csr = base64.b64encode(csr_der(self.key)).decode()
            complete = {"protocol": 1, "sessionSecret": secret, "csr": csr}
            path = f"/mdm/enrollment/v1/sessions/{session}/complete"
            answer = yield Operation(
                "enrollment", _json(http, "POST", path, complete), _document, f"enrollment:{session}"
            )
        self.device = x509.load_der_x509_certificate(base64.b64decode(answer.json()["certificate"]))
        self.phone = Phone(self.device, self.key)

    def _enrollment(self, http: httpx.Client, purpose: Purpose, authorization: str) -> Operation:
        body = self.phone.body(purpose)
        proof = self.phone.sign(link_qr.request_message(purpose.value, body))
        headers = {
            "Content-Type": "application/pkcs10",
            "Authorization": f"Bearer {authorization}",
            "Link-Proof": base64.b64encode(proof).decode(),
        }
        operation = "serverkeygen" if purpose is Purpose.ENCRYPTION else "simpleenroll"
        path = f"/.well-known/est/{purpose.value}/{operation}"

        def send(**more: str) -> httpx.Response:
            return http.post(path, content=body, headers={**headers, **more})

        essence = self._certificate_with_key if purpose is Purpose.ENCRYPTION else certificate_of
        return Operation(purpose.value, send, essence, f"derivation:{self.link}:{purpose.value}")

    def _certificate_with_key(self, answer: httpx.Response) -> x509.Certificate:
        """Return the certificate whose key lies beside it, sealed anew for this phone in every answer."""
        certificate, enveloped = certificate_of(answer), base64.b64decode(parts_of(answer)[0])
        transport_key = self.phone.keys[Purpose.ENCRYPTION]
        opened = key_opened_by_openssl(enveloped, transport_key, self.organization.directory)
        assert opened == certificate.public_key()
        return certificate


def invalidation(manager: httpx.Client, order: Mapping[str, str]) -> Operation:
    """Return the endpoint manager's order that ends a device's credentials, or one."""
    path = f"/issuer/management/v1/invalidations/{uuid.uuid4()}"
    return Operation("invalidation", _json(manager, "PUT", path, {"reason": "keyCompromise", **order}), _document)


def certificate_of(answer: httpx.Response) -> x509.Certificate:
    """Return the certificate in an answer of EST."""
    (certificate,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(parts_of(answer)[-1]))
    return certificate


def parts_of(answer: httpx.Response) -> list[bytes]:
    """Return the bodies of an answer of one part or of several."""
    kind = answer.headers["content-type"]
    if not kind.startswith("multipart/"):
        return [answer.content]
    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + answer.content)
    return [str(part.get_payload()).encode() for part in message.walk() if not part.is_multipart()]


def _json(http: httpx.Client, method: str, path: str, body: Mapping[str, object]) -> Callable[..., httpx.Response]:
    def send(**more: str) -> httpx.Response:
        return http.request(method, path, json=body, headers=more)

    return send


def _document(answer: httpx.Response) -> object:
    return answer.json()


def _nothing(_answer: httpx.Response) -> object:
    """Return what is the same in answers that each begin something of their own."""
    return None
