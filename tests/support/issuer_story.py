# SPDX-License-Identifier: Apache-2.0
"""Documents that phones send to the issuer, what a phone reads from the page, and an endpoint manager beside it."""

import base64
import uuid
from dataclasses import dataclass
from typing import Any, cast

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from etymon.issuer import clients
from etymon.issuer.initial_issuance import Begun
from etymon.issuer.model import Derivation
from etymon.kernel.secret import Secret
from etymon.wire import link_qr
from support.browser import Page
from support.issuer_listeners import RunningIssuer
from support.issuer_phone import Phone
from support.issuer_site import ADMINISTRATOR, scanned
from support.qr_reader import scan

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
API = "/issuer/management/v1"


@dataclass(frozen=True)
class _KnownById:
    id: uuid.UUID


def scanned_code(page: Page) -> Begun:
    """Return what a phone knows that has scanned the code on a page."""
    return known_by(scan(page.text))


def known_by(text: str) -> Begun:
    """Return what a phone knows of a link from its code: of the derivation nothing but the id."""
    return Begun(cast("Derivation", _KnownById(link_qr.decode(text).link)), Secret(text))


def redemption(begun: Begun, phone: Phone, **changes: Any) -> dict[str, Any]:
    secret = base64.urlsafe_b64encode(scanned(begun).secret.reveal()).rstrip(b"=").decode()
    return {
        "protocol": 1,
        "link": str(begun.derivation.id),
        "secret": secret,
        "key": base64.b64encode(phone.spki).decode(),
        "device": {"manufacturer": "Google", "model": "Pixel 9", "serialNumber": "SN-42"},
        **changes,
    }


def waiting(begun: Begun, phone: Phone, **changes: Any) -> dict[str, Any]:
    link = begun.derivation.id
    proof = base64.b64encode(phone.sign(link_qr.authorization_message(link))).decode()
    return {"protocol": 1, "link": str(link), "proof": proof, **changes}


@dataclass
class Manager:
    """An endpoint manager that is registered, with its key."""

    issuer: RunningIssuer
    id: str
    key: Any
    http: httpx.Client

    def assertion(self, *, algorithm: str = "ES256", **claims: Any) -> str:
        site = self.issuer.site
        now = int(site.clock.now().timestamp())
        whole = {
            "iss": self.id,
            "sub": self.id,
            "aud": f"{site.deps.issuer_url}/oauth/token",
            "iat": now,
            "exp": now + 60,
            "jti": str(uuid.uuid4()),
            **claims,
        }
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode({"alg": algorithm}, kept, self.key, algorithms=[algorithm])

    def ask(self, assertion: str | None = None, **form: str) -> httpx.Response:
        fields = {
            "grant_type": "client_credentials",
            "scope": "management",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion() if assertion is None else assertion,
            **form,
        }
        return self.http.post("/issuer/oauth/token", data={name: value for name, value in fields.items() if value})

    def bearer(self) -> dict[str, str]:
        answer = self.ask()
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def get(self, path: str, **query: str) -> httpx.Response:
        return self.http.get(f"{API}/{path}", params=query, headers=self.bearer())

    def end(self, invalidation: uuid.UUID | str | None = None, **body: Any) -> httpx.Response:
        body = {"reason": "keyCompromise", **body}
        sent = {name: value for name, value in body.items() if value is not None}
        return self.http.put(f"{API}/invalidations/{invalidation or uuid.uuid4()}", json=sent, headers=self.bearer())


def key_manager(issuer: RunningIssuer, id_: str = "mdm", *, devices: str = "device") -> Manager:
    key = ECKey.generate_key("P-256")
    with issuer.site.database.transaction() as tx:
        clients.register(
            tx,
            issuer.site.deps,
            client_id=id_,
            name="Endpoint manager",
            public_key=key.as_dict(private=False),
            device_trust_entries=[devices],
            actor=ADMINISTRATOR,
        )
    return Manager(issuer, id_, key, issuer.program())
