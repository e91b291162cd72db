# SPDX-License-Identifier: Apache-2.0
"""The way to Intune: tokens of the tenant, where its services are, and one call with the headers they ask for.

Which hosts are talked to is fixed by settings; the directory of services may only choose among them.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from etymon.issuer.intune.outbound import Outbound, unavailable
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy, random_id
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret

INTUNE_APPLICATION: Final = "0000000a-0000-0000-c000-000000000000"
PROVIDER: Final = "Etymon"
SPARE: Final = timedelta(minutes=1)
"""A token that ends within this is not used any more."""
LONGEST_TOKEN_LIFETIME: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose Intune it is, and how we sign in. URLs are https origins; hosts of services end in `service_hosts`."""

    tenant: str
    client_id: str
    client_secret: Secret[str]
    login_url: str
    graph_url: str
    scope: str
    service_hosts: tuple[str, ...]

    @property
    def graph_scope(self) -> str:
        """The scope of the token that the directory of services asks for."""
        return f"{self.graph_url}/.default"


class Connection:
    """Calls services of a tenant by their provider names; tokens and addresses are kept while they are good."""

    def __init__(self, tenant: Tenant, outbound: Outbound, clock: Clock, entropy: Entropy) -> None:
        self._tenant, self._outbound, self._clock, self._entropy = tenant, outbound, clock, entropy
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[Secret[str], datetime]] = {}
        self._services: Mapping[str, str] = {}

    def call(self, provider: str, path: str, body: Mapping[str, object], *, version: str) -> Mapping[str, Any]:
        """Post `body` to a service and return its answer; `Unavailable` for anything but an answer in time.

        So many calls wait at once, and no more (`outbound`). An address that does not answer is looked up again, once:
        services move.
        """
        known = self._services
        with self._outbound.call() as until:
            try:
                return self._post(provider, path, body, version, until)
            except Unavailable:
                if not known:
                    raise
                with self._lock:
                    self._services, self._tokens = {}, {}
                return self._post(provider, path, body, version, until)

    def _post(
        self, provider: str, path: str, body: Mapping[str, object], version: str, until: float
    ) -> Mapping[str, Any]:
        address = self._address(provider, until)
        token = self._token(self._tenant.scope, until)
        headers = {
            "Authorization": f"Bearer {token.reveal()}",
            "content-type": "application/json",
            "client-request-id": str(random_id(self._entropy)),
            "api-version": version,
            "UserAgent": PROVIDER,  # literally so: the service looks for this header
        }
        return self._ask("POST", f"{address}/{path}", until, json=body, headers=headers)

    def _address(self, provider: str, until: float) -> str:
        with self._lock:
            known = self._services
        if not known:
            known = self._look_up(until)
            with self._lock:
                self._services = known
        if provider.casefold() not in known:
            raise unavailable("intune_service_unknown")
        return known[provider.casefold()]

    def _look_up(self, until: float) -> Mapping[str, str]:
        token = self._token(self._tenant.graph_scope, until)
        url = f"{self._tenant.graph_url}/v1.0/servicePrincipals/appId={INTUNE_APPLICATION}/endpoints"
        answer = self._ask("GET", url, until, headers={"Authorization": f"Bearer {token.reveal()}"})
        listed = answer.get("value")
        found: dict[str, str] = {}
        for entry in listed if isinstance(listed, list) else ():
            match entry:
                case {"providerName": str(name), "uri": str(uri)} if self._is_allowed(uri):
                    found[name.casefold()] = uri.rstrip("/")
        return found

    def _is_allowed(self, uri: str) -> bool:
        try:
            parts = urlsplit(uri)
            host = (parts.hostname or "").lower()
        except ValueError:
            return False
        hosts = self._tenant.service_hosts
        return parts.scheme == "https" and any(host == name or host.endswith(f".{name}") for name in hosts)

    def _token(self, scope: str, until: float) -> Secret[str]:
        now = self._clock.now()
        with self._lock:
            kept = self._tokens.get(scope)
        if kept is not None and kept[1] > now + SPARE:
            return kept[0]
        form = {
            "grant_type": "client_credentials",
            "client_id": self._tenant.client_id,
            "client_secret": self._tenant.client_secret.reveal(),
            "scope": scope,
        }
        url = f"{self._tenant.login_url}/{self._tenant.tenant}/oauth2/v2.0/token"
        match self._ask("POST", url, until, data=form):
            case {"access_token": str(token), "expires_in": int(seconds)}:
                lifetime = min(timedelta(seconds=max(0, min(seconds, 10**6))), LONGEST_TOKEN_LIFETIME)
                with self._lock:
                    self._tokens[scope] = Secret(token), now + lifetime
                return Secret(token)
            case _:
                raise unavailable("intune_not_understood")

    def _ask(self, method: str, url: str, until: float, **content: Any) -> Mapping[str, Any]:
        answered = self._outbound.send(method, url, until=until, **content)
        if answered.status in {401, 403}:
            raise unavailable("intune_refuses_us")
        if answered.status != httpx.codes.OK:
            raise unavailable()
        try:
            document = json.loads(answered.body)
        except ValueError as exc:
            raise unavailable("intune_not_understood") from exc
        if not isinstance(document, dict):
            raise unavailable("intune_not_understood")
        return document


def member(document: Mapping[str, Any], name: str) -> Any:
    """Return a member whose name begins with a capital or does not: Intune's own samples have both."""
    return document.get(name, document.get(name[:1].upper() + name[1:]))
