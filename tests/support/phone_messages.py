# SPDX-License-Identifier: Apache-2.0
"""What a phone says to a whole site, one message at a time: enrollment, device login, link, EST.

Written after docs/protocols; a test changes or leaves out what it wants to see refused.
"""

import base64
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import httpx
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.card.external_key import SoftwareKey
from etymon.card.tls import TLSIdentity
from etymon.issuer.model import Purpose
from etymon.phone import qr_image
from etymon.phone.screen import UserCode
from etymon.pki.certificate import load
from etymon.wire import enrollment_qr, link_qr
from support import site_pages
from support.ca_site import csr_der
from support.card_office import Card
from support.issuer_phone import Phone
from support.site_pages import ShownCode
from support.whole_site import WholeSite

DEVICE: Final = {
    "manufacturer": "Google",
    "model": "Pixel 9",
    "serialNumber": "SN-BY-HAND",
    "osVersion": "14",
    "securityPatch": "2026-11-05",
}
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
CHECK_IN: Final = "/mdm/device/v1/check-in"
REDEEM: Final = "/issuer/link/v1/redeem"
AUTHORIZATION: Final = "/issuer/link/v1/authorization"
EST: Final = "/.well-known/est"

Document = dict[str, Any]


def told(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an answer: of a problem, an OAuth error, an EST refusal; empty for a success."""
    if answer.status_code < 400:
        return answer.status_code, ""
    kind = answer.headers["content-type"].partition(";")[0]
    if kind == "application/problem+json":
        assert answer.json()["type"] == f"urn:etymon:problem:{answer.json()['title']}"
        assert answer.json()["detail"], "a refusal says what to do next"
        return answer.status_code, answer.json()["title"]
    if kind == "application/json":
        return answer.status_code, answer.json()["error"]
    assert kind == "text/plain", (kind, answer.text)
    return answer.status_code, answer.headers["error-code"]


def invitation(site: WholeSite) -> enrollment_qr.Invitation:
    """Return what the site's enrollment code says."""
    return enrollment_qr.decode(qr_image.read(site.enrollment_image()).reveal()).invitation


class Enrolling:
    """A phone that enrolls by hand."""

    def __init__(self, site: WholeSite) -> None:
        self.site = site
        self.http = site.client()
        self.session: Document = {}
        self.grant: Document = {}

    def begin(self, token: str | None = None, **changes: Any) -> httpx.Response:
        """Open an enrollment session with the token of the site's code."""
        body = {"protocol": 1, "token": token or invitation(self.site).token.reveal(), "device": DEVICE, **changes}
        answer = self.http.post("/mdm/enrollment/v1/sessions", json=body)
        if answer.is_success:
            self.session = answer.json()
        return answer

    @property
    def assertion(self) -> str:
        return str(self.session["identityProvider"]["enrollmentAssertion"])

    def fresh_assertion(self, **changes: Any) -> httpx.Response:
        body = {"protocol": 1, "sessionSecret": self.session["sessionSecret"], **changes}
        return self.http.post(f"/mdm/enrollment/v1/sessions/{self.session['session']}/assertion", json=body)

    def start(self, assertion: str | None = None, **changes: str) -> httpx.Response:
        """Start a device authorization."""
        form = {
            "client_id": "etymon-phone",
            "scope": "openid profile enroll",
            "enrollment_assertion": self.assertion if assertion is None else assertion,
            **changes,
        }
        answer = self.http.post(
            "/idp/device_authorization", data={name: value for name, value in form.items() if value}
        )
        if answer.is_success:
            self.grant = answer.json()
        return answer

    @property
    def user_code(self) -> UserCode:
        return UserCode(self.grant["user_code"], self.grant["verification_uri"], self.site.clock.now())

    def poll(self, **changes: str) -> httpx.Response:
        form = {
            "grant_type": DEVICE_CODE,
            "client_id": "etymon-phone",
            "device_code": self.grant["device_code"],
            **changes,
        }
        return self.http.post("/idp/token", data=form)

    def complete(self, token: str, key: ec.EllipticCurvePrivateKey | None = None, **changes: Any) -> httpx.Response:
        """Ask for the device identity."""
        csr = csr_der(key or ec.generate_private_key(ec.SECP256R1()))
        body = {
            "protocol": 1,
            "sessionSecret": self.session["sessionSecret"],
            "csr": base64.b64encode(csr).decode(),
            **changes,
        }
        url = f"/mdm/enrollment/v1/sessions/{self.session['session']}/complete"
        return self.http.post(url, json=body, headers={"Authorization": f"Bearer {token}"})


def enrolled(site: WholeSite, card: Card) -> tuple[UUID, TLSIdentity]:
    """Enroll a phone whose key a test holds; return the device's id and its identity."""
    phone, key = Enrolling(site), ec.generate_private_key(ec.SECP256R1())
    assert phone.begin().is_success
    assert phone.start().is_success
    site_pages.approve(site.browser(card), phone.user_code)
    done = phone.complete(phone.poll().json()["access_token"], key).json()
    return UUID(done["device"]), TLSIdentity(load(base64.b64decode(done["certificate"])), SoftwareKey(key))


def check_in(client: httpx.Client, **changes: Any) -> httpx.Response:
    return client.post(CHECK_IN, json={"protocol": 1, "known": 0, **changes})


@dataclass
class Linking:
    """A phone that has scanned a link code and goes on by hand."""

    site: WholeSite
    shown: ShownCode
    phone: Phone = field(default_factory=lambda: Phone(None))

    @property
    def code(self) -> link_qr.LinkQR:
        return link_qr.decode(qr_image.read(self.shown.image).reveal())

    def client(self, identity: TLSIdentity | None) -> httpx.Client:
        return self.site.client(identity, base_url=self.site.device_url)

    def redeem(self, client: httpx.Client, **changes: Any) -> httpx.Response:
        secret = base64.urlsafe_b64encode(self.code.secret.reveal()).rstrip(b"=").decode()
        body = {
            "protocol": 1,
            "link": str(self.code.link),
            "secret": secret,
            "key": base64.b64encode(self.phone.spki).decode(),
            "device": DEVICE,
            **changes,
        }
        return client.post(REDEEM, json=body)

    def ask(self, client: httpx.Client, **changes: Any) -> httpx.Response:
        """Ask for the authorization."""
        link = self.code.link
        proof = base64.b64encode(self.phone.sign(link_qr.authorization_message(link))).decode()
        return client.post(AUTHORIZATION, json={"protocol": 1, "link": str(link), "proof": proof, **changes})

    def enroll(self, client: httpx.Client, authorization: str, purpose: Purpose) -> httpx.Response:
        """Ask for a certificate."""
        body = self.phone.body(purpose)
        proof = self.phone.sign(link_qr.request_message(purpose.value, body))
        operation = "serverkeygen" if purpose is Purpose.ENCRYPTION else "simpleenroll"
        headers = {
            "Authorization": f"Bearer {authorization}",
            "Link-Proof": base64.b64encode(proof).decode(),
            "Content-Type": "application/pkcs10",
        }
        return client.post(f"{EST}/{purpose.value}/{operation}", content=body, headers=headers)
