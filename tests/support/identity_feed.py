# SPDX-License-Identifier: Apache-2.0
"""A site's directory over TLS, and identity feeds that sign in to it with their keys."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette

from etymon.audit import trail
from etymon.audit.refusals import Refusals
from etymon.directory import bindings, feeds, people, roles
from etymon.directory.dependencies import FeedDependencies
from etymon.directory.http import site_routes
from etymon.directory.model import Binding, Person, Role
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import DigestKey, Secret
from etymon.storage.database import Database
from etymon.web.client_assertion import ASSERTION_TYPE
from etymon.web.listeners import Listener, ServerIdentity
from support.card_issuer import authority, server_certificate
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR, DirectorySite
from support.tls_files import certificates_pem, listening, trusting, write_identity

PIV = "urn:etymon:params:scim:schemas:extension:piv:1.0:User"
CARDS = f"{PIV}:cards"
STATUS = f"{PIV}:accountStatus"
REASON = f"{PIV}:terminationReason"
CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
JSON = {"Content-Type": "application/scim+json"}


class FeedSite:
    """The directory of one deployment, at the address where feeds find it."""

    def __init__(self, database: Database, clock: TurnedClock, entropy: Entropy, directory: Path) -> None:
        self.directory = DirectorySite(database, clock, entropy)
        self.database, self.clock = database, clock
        self.directory.trust()
        self._stack = ExitStack()
        self._entropy, self._files = entropy, directory
        self.deps: FeedDependencies

    @contextmanager
    def running(self) -> Iterator["FeedSite"]:
        tls = authority("Test TLS CA")
        certificate, key = server_certificate(tls, dns=("localhost",), addresses=("127.0.0.1",))
        chain, private = write_identity(self._files, "server", certificate, key)
        Path(chain).write_text(certificates_pem([certificate, tls.certificate]))
        self._trusting = trusting([tls.certificate])
        listener = Listener("site", Starlette(), "127.0.0.1", 0, ServerIdentity(chain, private))
        with listening([listener], lambda ports: {"site": self._application(ports["site"])}), self._stack:
            yield self  # the programs hang up before the site stops

    def _application(self, port: int) -> Starlette:
        refusals = Refusals(self.database, self.clock, self._entropy)
        key = DigestKey(Secret(bytes(32)))
        url = f"https://localhost:{port}"
        self.deps = FeedDependencies(self.database, self.clock, self._entropy, key, refusals, url)
        return Starlette(routes=site_routes(self.deps))

    def feed(self, id_: str = "hr", *, may_bind_cards: bool = False) -> "FeedProgram":
        key = ECKey.generate_key("P-256")
        self.register(id_, key, may_bind_cards=may_bind_cards)
        http = httpx.Client(verify=self._trusting, base_url=self.deps.site_url, trust_env=False, timeout=30)
        self._stack.callback(http.close)
        return FeedProgram(self, id_, key, http)

    def register(self, id_: str, key: ECKey, *, may_bind_cards: bool = False) -> None:
        with self.database.transaction() as tx:
            feeds.register(
                tx,
                self.deps,
                feed_id=id_,
                name="Human resources",
                public_key=key.as_dict(private=False),
                may_bind_cards=may_bind_cards,
                actor="person:officer",
            )

    def give_role(self, person: str, role: Role = Role.OFFICER) -> None:
        with self.database.transaction() as tx:
            roles.assign(tx, self.deps, uuid.UUID(person), role, actor=ADMINISTRATOR, authority="letter")

    def bind(self, person: str, identifier: str) -> None:
        with self.database.transaction() as tx:
            bindings.bind(
                tx,
                self.deps,
                trust_entry="cards",
                identifier=identifier,
                person_id=uuid.UUID(person),
                actor=ADMINISTRATOR,
            )

    def person(self, id_: str) -> Person:
        with self.database.snapshot() as tx:
            found = people.find(tx, uuid.UUID(id_))
        assert found is not None
        return found

    def cards(self, person: str) -> list[Binding]:
        with self.database.snapshot() as tx:
            return list(bindings.bindings_of(tx, uuid.UUID(person)))


@dataclass
class FeedProgram:
    """A feed with its key: what a program of the personnel department does."""

    site: FeedSite
    id: str
    key: ECKey
    http: httpx.Client
    _token: str = field(default="", repr=False)

    def ask(self, **form: str) -> httpx.Response:
        now = int(self.site.clock.now().timestamp())
        claims = {
            "iss": self.id,
            "sub": self.id,
            "aud": f"{self.site.deps.site_url}/scim/oauth/token",
            "exp": now + 60,
            "jti": str(uuid.uuid4()),
        }
        fields = {
            "grant_type": "client_credentials",
            "scope": "scim",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jwt.encode({"alg": "ES256"}, claims, self.key),
            **form,
        }
        return self.http.post("/scim/oauth/token", data=fields)

    def bearer(self) -> dict[str, str]:
        if not self._token:
            answer = self.ask()
            assert answer.status_code == 200, answer.text
            self._token = answer.json()["access_token"]
        return {"Authorization": f"Bearer {self._token}"}

    def send(
        self, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None, **query: str
    ) -> httpx.Response:
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {**JSON, **self.bearer(), **(headers or {})}
        return self.http.request(method, f"/scim/v2{path}", content=content, headers=named, params=query or None)

    def create(self, name: str = "alice", **changes: Any) -> dict[str, Any]:
        answer = self.send("POST", "/Users", user(name, **changes))
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def leave(self) -> None:
        """End whatever the feed has left, so that names are free."""
        self._token = ""
        self.site.register(self.id, self.key)
        for one in self.send("GET", "/Users").json()["Resources"]:
            assert self.send("DELETE", f"/Users/{one['id']}").status_code == 204

    def patch(self, person: str, *operations: Mapping[str, Any], **headers: str) -> httpx.Response:
        body = {"schemas": [PATCH], "Operations": list(operations)}
        return self.send("PATCH", f"/Users/{person}", body, headers=headers)

    def get(self, person: str) -> dict[str, Any]:
        answer = self.send("GET", f"/Users/{person}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def user(name: str = "alice", *, piv: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    whole = {
        "schemas": [CORE, PIV],
        "externalId": f"hr-{name}",
        "userName": f"{name}@agency.example",
        "displayName": name.title(),
        "emails": [{"value": f"{name}@agency.example", "primary": True}],
        PIV: piv,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def card(identifier: str, state: str = "active", **more: str) -> dict[str, str]:
    return {"trustEntry": "cards", "identifier": identifier, "state": state, **more}


def refusal(answer: httpx.Response) -> tuple[int, str | None]:
    """Return status and scimType of a refusal, which has the form of RFC 7644 §3.12."""
    assert answer.headers["content-type"].startswith("application/scim+json")
    body = answer.json()
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["status"] == str(answer.status_code)
    assert len(body["detail"]) > 10
    return answer.status_code, body.get("scimType")


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def terminate(reason: str = "separation") -> list[dict[str, Any]]:
    return [replace(STATUS, "terminated"), replace(REASON, reason)]


def jobs(site: FeedSite, kind: str) -> int:
    return len(site.directory.jobs(kind))


def events(site: FeedSite, name: str) -> list[Any]:
    with site.database.snapshot() as tx:
        return [one.event for one in trail.page(tx, name=name, limit=100)]


def states(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {one["identifier"]: one["state"] for one in answer.json()[PIV]["cards"]}
