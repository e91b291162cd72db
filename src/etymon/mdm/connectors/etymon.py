# SPDX-License-Identifier: Apache-2.0
"""Our own issuer, over its management API (docs/protocols/management.md)."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from joserfc.jwk import ECKey

from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, NotPermitted, Unavailable
from etymon.kernel.secret import Secret
from etymon.mdm import signed_statements
from etymon.mdm.connectors.connector import InvalidationOrder, RekeyDue, RekeysDue
from etymon.mdm.credential_issuer import IssuerDescription

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME: Final = timedelta(minutes=2)
SCOPE: Final = "management"
SPARE: Final = timedelta(seconds=30)
"""A token that ends within this is not used any more."""


@dataclass(frozen=True, slots=True)
class Client:
    """How we sign in at an issuer: our client there and the key whose public half it knows (RFC 7523 §2.2)."""

    id: str
    key: ECKey
    http: httpx.Client
    clock: Clock
    entropy: Entropy


class EtymonConnector:
    """One issuer at `url`, such as `https://HOST:8443/issuer`."""

    def __init__(self, url: str, client: Client) -> None:
        self._url = url
        self._client = client
        self._lock = threading.Lock()
        self._token: tuple[Secret[str], datetime] | None = None

    def describe(self) -> IssuerDescription:
        """Return what the issuer says of itself."""
        answer = self._call("GET", "/management/v1/issuer")
        match answer:
            case {"name": str(name), "selfService": str(self_service), "purposes": list(purposes)} if (
                0 < len(name) <= 200 and self_service.startswith("https://") and len(self_service) <= 500
            ):
                return IssuerDescription(name, self_service, tuple(map(str, purposes)))
            case _:
                raise _unavailable("issuer_not_understood")

    def rekeys_due(self, since: datetime, following: str | None = None) -> RekeysDue:
        """Return a page of the certificates that are to be rekeyed."""
        place = {"since": f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"} if following is None else {"cursor": following}
        answer = self._call("GET", f"/management/v1/rekeys?{urlencode(place)}")
        match answer:
            case {"rekeys": list(found), "next": None | str() as further}:
                return RekeysDue(tuple(map(_rekey_due, found)), further)
            case _:
                raise _unavailable("issuer_not_understood")

    def invalidate(self, order: InvalidationOrder) -> tuple[str, ...]:
        """End every credential on a device."""
        body = {
            "device": order.device_thumbprint.hex(),
            "reason": order.reason.value,
            "comment": order.comment,
        }
        answer = self._call("PUT", f"/management/v1/invalidations/{order.id}", body)
        match answer:
            case {"state": "done", "credentials": list(credentials)}:
                return tuple(map(str, credentials))
            case _:
                raise _unavailable("issuer_not_understood")

    def _call(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        response = self._send(method, path, body, self._bearer())
        if response.status_code == 401:  # the token was withdrawn before its time
            response = self._send(method, path, body, self._bearer(fresh=True))
        if response.status_code == 409:
            raise Conflict("invalidation_conflict", "The issuer knows another order under this id.")
        if response.status_code in {401, 403}:
            raise NotPermitted("issuer_refuses_us", "The issuer does not take orders from this endpoint manager.")
        if response.status_code != 200:
            raise _unavailable()
        return _document(response)

    def _send(self, method: str, path: str, body: Mapping[str, str] | None, token: Secret[str]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"}
        try:
            return self._client.http.request(method, self._url + path, json=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise _unavailable() from exc

    def _bearer(self, *, fresh: bool = False) -> Secret[str]:
        with self._lock:
            now = self._client.clock.now()
            if fresh or self._token is None or self._token[1] <= now + SPARE:
                self._token = self._sign_in(now)
            return self._token[0]

    def _sign_in(self, now: datetime) -> tuple[Secret[str], datetime]:
        client = self._client
        endpoint = f"{self._url}/oauth/token"
        claims = {"iss": client.id, "sub": client.id, "aud": endpoint}
        assertion = signed_statements.sign(
            client.key, client.clock, client.entropy, claims, lifetime=ASSERTION_LIFETIME
        )
        form = {
            "grant_type": "client_credentials",
            "scope": SCOPE,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        try:
            response = client.http.post(endpoint, data=form)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise _unavailable() from exc
        if response.status_code in {400, 401, 403}:
            raise NotPermitted(
                "issuer_refuses_us", "The issuer does not know this endpoint manager. Register it there."
            )
        if response.status_code != 200:
            raise _unavailable()
        match _document(response):
            case {"access_token": str(token), "expires_in": int(seconds)}:
                return Secret(token), now + timedelta(seconds=min(seconds, 86_400))
            case _:
                raise _unavailable("issuer_not_understood")


def _rekey_due(told: object) -> RekeyDue:
    match told:
        case {"thumbprint": str(certificate), "device": str(device), "rekeyFrom": str(since)}:
            try:
                return RekeyDue(bytes.fromhex(certificate), bytes.fromhex(device), datetime.fromisoformat(since))
            except ValueError as exc:
                raise _unavailable("issuer_not_understood") from exc
        case _:
            raise _unavailable("issuer_not_understood")


def _document(response: httpx.Response) -> Mapping[str, Any]:
    try:
        document = response.json()
    except ValueError as exc:
        raise _unavailable("issuer_not_understood") from exc
    if not isinstance(document, dict):
        raise _unavailable("issuer_not_understood")
    return document


def _unavailable(code: str = "issuer_unavailable") -> Unavailable:
    return Unavailable(code, "The credential issuer does not answer as it should. It is asked again later.")
