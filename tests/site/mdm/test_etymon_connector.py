# SPDX-License-Identifier: Apache-2.0
"""The connector to our own issuer, against that issuer over TLS; and against something else that answers nonsense."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from joserfc.jwk import ECKey

from etymon.issuer import clients
from etymon.issuer.model import DerivationState, Purpose
from etymon.issuer.store import credentials, derivations
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Conflict, NotPermitted, Unavailable
from etymon.mdm.connectors.connector import InvalidationOrder
from etymon.mdm.connectors.etymon import Client, EtymonConnector
from etymon.mdm.model import InvalidationReason
from etymon.pki.certificate import thumbprint
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.issuer_listeners import RunningIssuer
from support.issuer_site import ADMINISTRATOR, IssuerSite
from support.tls_files import trusting

CLIENT = "etymon-mdm"


@pytest.fixture
def issuer(database: Database, clock: TurnedClock, entropy: SystemEntropy, tmp_path: Path) -> Iterator[RunningIssuer]:
    with RunningIssuer(IssuerSite(database, clock, entropy, tmp_path), tmp_path).running() as running:
        yield running


def connect(issuer: RunningIssuer, key: ECKey, http: httpx.Client) -> EtymonConnector:
    client = Client(CLIENT, key, http, issuer.site.clock, issuer.site.entropy)
    return EtymonConnector(issuer.site.deps.issuer_url, client)


@pytest.fixture
def http(issuer: RunningIssuer) -> Iterator[httpx.Client]:
    with httpx.Client(verify=trusting([issuer.tls.certificate]), trust_env=False, timeout=30) as http:
        yield http


@pytest.fixture
def connector(issuer: RunningIssuer, http: httpx.Client) -> EtymonConnector:
    key = ECKey.generate_key("P-256")
    with issuer.site.database.transaction() as tx:
        clients.register(
            tx,
            issuer.site.deps,
            client_id=CLIENT,
            name="Endpoint manager",
            public_key=key.as_dict(private=False),
            device_trust_entries=("device",),
            actor=ADMINISTRATOR,
        )
    return connect(issuer, key, http)


def order(device: bytes, **changes: Any) -> InvalidationOrder:
    values: dict[str, Any] = {"id": uuid4(), "reason": InvalidationReason.KEY_COMPROMISE, "comment": "lost", **changes}
    return InvalidationOrder(values["id"], device, values["reason"], values["comment"])


def test_the_issuer_says_what_it_is(issuer: RunningIssuer, connector: EtymonConnector) -> None:
    described = connector.describe()
    assert described.name == "Example Agency"
    assert described.self_service == f"{issuer.site.deps.issuer_url}/"
    assert described.purposes == ("authentication", "signature", "encryption")


def test_the_credentials_on_a_device_end_and_the_same_order_again_answers_the_same(
    issuer: RunningIssuer, connector: EtymonConnector
) -> None:
    link = issuer.site.linked()
    for purpose in (Purpose.AUTHENTICATION, Purpose.SIGNATURE):
        link.enroll(purpose)
    assert link.phone.device is not None
    wanted = order(thumbprint(link.phone.device))
    ended = connector.invalidate(wanted)
    assert len(ended) == 2
    assert connector.invalidate(wanted) == ended
    with issuer.site.database.snapshot() as tx:
        (derivation,) = derivations.of_person(tx, issuer.site.alice.id, list(DerivationState))
    assert derivation.state is DerivationState.ENDED


def test_what_is_to_be_rekeyed_is_heard_page_by_page_by_when_it_became_due(
    issuer: RunningIssuer, connector: EtymonConnector
) -> None:
    site = issuer.site
    site.save_rule(purposes=tuple(Purpose), lifetime=timedelta(days=3), most_derivations=100)
    links = [site.linked() for _ in range(2)]
    given = {thumbprint(link.enroll(purpose).certificate) for link in links for purpose in list(Purpose)[:2]}
    begin = site.clock.now()
    assert connector.rekeys_due(begin).found == ()
    site.turn(days=2)
    page = connector.rekeys_due(begin)
    assert {due.certificate_thumbprint for due in page.found} == given
    assert {due.device_thumbprint for due in page.found} == {thumbprint(link.phone.device) for link in links}  # type: ignore[arg-type]  # these phones are managed
    assert page.following is None
    assert connector.rekeys_due(page.found[-1].since + timedelta(seconds=1)).found == ()
    with site.database.transaction() as tx:  # a cursor goes on behind the last one of a page
        last = credentials.by_thumbprint(tx, page.found[-2].certificate_thumbprint)
    assert last is not None
    assert last.rekey_from is not None
    cursor = f"{last.rekey_from.isoformat()}/{last.id}"
    assert [due.certificate_thumbprint for due in connector.rekeys_due(begin, cursor).found] == [
        page.found[-1].certificate_thumbprint
    ]
    for wrong in ("", "x", f"x/{uuid4()}", "2026-01-01T00:00:00/" + str(uuid4()), "2026-01-01T00:00:00Z/x"):
        with pytest.raises(Unavailable):
            connector.rekeys_due(begin, wrong)


def test_the_same_id_for_another_order_is_a_conflict(connector: EtymonConnector) -> None:
    first = order(bytes(32))
    assert connector.invalidate(first) == ()
    with pytest.raises(Conflict):
        connector.invalidate(order(bytes(32), id=first.id, reason=InvalidationReason.UNSPECIFIED))


def test_a_token_is_used_until_it_ends_and_then_another_is_asked_for(
    issuer: RunningIssuer, connector: EtymonConnector
) -> None:
    for minutes in (0, 5, 5):
        issuer.site.turn(minutes=minutes)
        connector.describe()


def test_an_endpoint_manager_the_issuer_does_not_know_is_told_to_register(
    issuer: RunningIssuer, http: httpx.Client
) -> None:
    stranger = connect(issuer, ECKey.generate_key("P-256"), http)
    with pytest.raises(NotPermitted) as refusal:
        stranger.describe()
    assert refusal.value.code == "issuer_refuses_us"


class Nonsense:
    """Answers of something that is no issuer, by path."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {
            "/oauth/token": (200, {"access_token": "t", "expires_in": 600}),
        }
        self.asked: list[str] = []

    def connector(self, clock: TurnedClock) -> EtymonConnector:
        http = httpx.Client(transport=httpx.MockTransport(self._answer))
        client = Client(CLIENT, ECKey.generate_key("P-256"), http, clock, SystemEntropy())
        return EtymonConnector("https://issuer.example/issuer", client)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/issuer")
        self.asked.append(path)
        status, body = next((answer for start, answer in self.answers.items() if path.startswith(start)), (404, {}))
        if isinstance(body, Exception):
            raise body
        return httpx.Response(status, content=body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("path", "answer", "error"),
    [
        ("/oauth/token", (500, {}), "issuer_unavailable"),
        ("/oauth/token", (200, {}), "issuer_not_understood"),
        ("/oauth/token", (200, b"x"), "issuer_not_understood"),
        ("/oauth/token", (200, {"access_token": "t", "expires_in": "soon"}), "issuer_not_understood"),
        ("/oauth/token", (400, {"error": "invalid_client"}), "issuer_refuses_us"),
        ("/oauth/token", (0, httpx.ConnectError("down")), "issuer_unavailable"),
        ("/management", (500, {}), "issuer_unavailable"),
        ("/management", (302, {}), "issuer_unavailable"),
        ("/management", (403, {}), "issuer_refuses_us"),
        ("/management", (401, {}), "issuer_refuses_us"),
        ("/management", (200, []), "issuer_not_understood"),
        ("/management", (200, b"x"), "issuer_not_understood"),
        ("/management", (200, {"state": "pending", "credentials": []}), "issuer_not_understood"),
        ("/management", (200, {"name": "x", "selfService": "http://x", "purposes": []}), "issuer_not_understood"),
        ("/management", (0, httpx.ReadTimeout("slow")), "issuer_unavailable"),
    ],
)
def test_what_is_no_answer_of_an_issuer_is_not_taken_for_one(
    clock: TurnedClock, path: str, answer: tuple[int, Any], error: str
) -> None:
    nonsense = Nonsense()
    nonsense.answers[path] = answer
    connector = nonsense.connector(clock)
    for ask in (connector.describe, lambda: connector.invalidate(order(bytes(32)))):
        with pytest.raises((Unavailable, NotPermitted)) as refusal:
            ask()
        assert refusal.value.code == error


def test_a_token_that_is_refused_before_its_time_is_replaced_once(clock: TurnedClock) -> None:
    nonsense = Nonsense()
    nonsense.answers["/management"] = (200, {"state": "done", "credentials": []})
    connector = nonsense.connector(clock)
    connector.invalidate(order(bytes(32)))
    clock.advance(timedelta(minutes=9, seconds=29))
    connector.invalidate(order(bytes(32)))
    assert nonsense.asked.count("/oauth/token") == 1
    clock.advance(timedelta(seconds=1))
    connector.invalidate(order(bytes(32)))
    assert nonsense.asked.count("/oauth/token") == 2
    nonsense.answers["/management"] = (401, {})
    with pytest.raises(NotPermitted):
        connector.invalidate(order(bytes(32)))
    assert nonsense.asked.count("/oauth/token") == 3
