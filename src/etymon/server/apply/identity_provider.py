# SPDX-License-Identifier: Apache-2.0
"""The identity provider as a program sees it: where its endpoints are, and what its token endpoint answers."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import httpx

from etymon.kernel.clock import Clock
from etymon.kernel.errors import NotPermitted, Unavailable
from etymon.kernel.secret import Secret

CLIENT_ID: Final = "etymon-administration"
SCOPE: Final = "openid profile administration"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Endpoints of an OpenID provider (OpenID Connect Discovery §3)."""

    issuer: str
    authorization: str
    token: str
    device_authorization: str


@dataclass(frozen=True, slots=True)
class Granted:
    """An access token, until when it is good, and the subject identifier of who signed in."""

    access_token: Secret[str] = field(repr=False)
    expires_at: datetime
    subject: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An error of the token endpoint (RFC 6749 §5.2)."""

    error: str
    description: str


class Provider:
    """A client of one identity provider. Raises Unavailable where it does not answer or cannot be understood."""

    def __init__(self, http: httpx.Client, site_url: str, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self.endpoints = _discover(http, site_url)

    def start_device_authorization(self) -> Mapping[str, Any]:
        """Start a device authorization and return what is answered (RFC 8628 §3.2)."""
        response = _post(self._http, self.endpoints.device_authorization, {"client_id": CLIENT_ID, "scope": SCOPE})
        document = _document(response)
        if not response.is_success:
            raise refusal(Refused(str(document.get("error")), str(document.get("error_description", ""))))
        return document

    def ask_for_token(self, form: Mapping[str, str]) -> Granted | Refused:
        """Send a grant to the token endpoint (RFC 6749 §3.2)."""
        response = _post(self._http, self.endpoints.token, {"client_id": CLIENT_ID, **form})
        document = _document(response)
        if not response.is_success:
            return Refused(str(document.get("error")), str(document.get("error_description", "")))
        token, seconds = document.get("access_token"), document.get("expires_in")
        subject = self._subject(document.get("id_token"))
        if not isinstance(token, str) or not isinstance(seconds, int) or subject is None:
            raise _not_understood(self.endpoints.token)
        return Granted(Secret(token), self._clock.now() + timedelta(seconds=seconds), subject)

    def _subject(self, id_token: object) -> str | None:
        """Return whom an ID token names. It came from the issuer over TLS (OpenID Connect Core §3.1.3.7, item 6)."""
        try:
            payload = str(id_token).split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            issuer, audience, subject = claims["iss"], claims["aud"], claims["sub"]
        except (ValueError, IndexError, KeyError, TypeError):
            return None
        meant = issuer == self.endpoints.issuer and CLIENT_ID in ([audience] if isinstance(audience, str) else audience)
        return subject if meant and isinstance(subject, str) else None


def refusal(refused: Refused) -> NotPermitted:
    """Return the error that tells why there is no token."""
    reasons = {
        "access_denied": "The sign-in was denied.",
        "expired_token": "Nobody approved the sign-in in time. Run the command again.",
        "invalid_client": f"The identity provider does not know the client {CLIENT_ID}. `etymon init` registers it.",
        "unauthorized_client": f"The client {CLIENT_ID} may not sign in this way. Look at its registration.",
        "invalid_scope": f"The client {CLIENT_ID} may not ask for the scope administration. Look at its registration.",
    }
    told = reasons.get(refused.error) or f"The identity provider refuses: {refused.description or refused.error}."
    return NotPermitted("sign_in_refused", told)


def _discover(http: httpx.Client, site_url: str) -> Endpoints:
    address = f"{site_url}/idp/.well-known/openid-configuration"
    try:
        response = http.get(address)
    except httpx.TransportError as exc:
        raise _unreachable(site_url, exc) from exc
    document = _document(response)
    names = ("issuer", "authorization_endpoint", "token_endpoint", "device_authorization_endpoint")
    if not all(isinstance(document.get(name), str) for name in names):
        raise _not_understood(address)
    found = Endpoints(*(document[name] for name in names))
    own = (found.authorization, found.token, found.device_authorization)
    if found.issuer != f"{site_url}/idp" or not all(url.startswith(site_url + "/") for url in own):
        raise Unavailable(
            "identity_provider_elsewhere",
            f"The identity provider calls itself {found.issuer}. Name the site by that address: --site.",
        )
    return found


def _post(http: httpx.Client, address: str, form: Mapping[str, str]) -> httpx.Response:
    try:
        return http.post(address, data=dict(form))
    except httpx.TransportError as exc:
        raise _unreachable(address, exc) from exc


def _document(response: httpx.Response) -> Mapping[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _not_understood(str(response.request.url))
    return document


def _unreachable(address: str, fault: Exception) -> Unavailable:
    if "CERTIFICATE_VERIFY_FAILED" in str(fault):
        return Unavailable(
            "identity_provider_not_trusted",
            f"The TLS certificate of {address} is not trusted here. Name its anchors with --ca, or the site's data "
            f"directory with --data: {fault}.",
        )
    return Unavailable("identity_provider_unreachable", f"{address} does not answer: {fault}.")


def _not_understood(address: str) -> Unavailable:
    return Unavailable("identity_provider_not_understood", f"What {address} answers is no identity provider's answer.")
