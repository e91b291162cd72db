# SPDX-License-Identifier: Apache-2.0
"""The operator's sign-in at a real identity provider: by device authorization, and with a card and no browser."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import httpx
import pytest
from cryptography import x509

from etymon.card.external_key import SoftwareKey
from etymon.card.server_trust import ServerNotTrusted, ServerTrust
from etymon.card.tls import CardTLSTransport, TLSIdentity
from etymon.directory.model import Role
from etymon.idp.model import Client, DeviceAuthorizationKind
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import NotPermitted, Unavailable
from etymon.kernel.secret import Secret
from etymon.server.apply import card_sign_in, device_sign_in
from etymon.server.apply.identity_provider import CLIENT_ID, Granted, Provider
from etymon.server.apply.sign_in import SignedIn
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.declared_pki import Certified
from support.idp_site import ALL_SCOPES, Files, Holder, IdPSite, claims_of


@pytest.fixture(scope="session")
def idp_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files.in_(tmp_path_factory.mktemp("idp"))


@pytest.fixture
def idp(sqlite_databases: SQLiteDatabases, clock: TurnedClock, idp_files: Files) -> Iterator[IdPSite]:
    database = sqlite_databases.migrated()
    with IdPSite(database, clock, idp_files).running() as running:
        register(running, "http://127.0.0.1/")
        yield running
    sqlite_databases.drop(database)


@pytest.fixture
def http(idp: IdPSite) -> Iterator[httpx.Client]:
    with httpx.Client(verify=idp.files.trusting(), trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def provider(idp: IdPSite, http: httpx.Client) -> Provider:
    return Provider(http, idp.deps.site_url, idp.clock)


@pytest.fixture
def administrator(idp: IdPSite) -> Holder:
    return idp.cardholder("alice", Role.ADMINISTRATOR)


def register(idp: IdPSite, *redirect_uris: str, **values: object) -> None:
    registered: dict[str, object] = {
        "scopes": ALL_SCOPES | {"administration"},
        "device_authorization": DeviceAuthorizationKind.OPEN,
        **values,
    }
    idp.register(Client(CLIENT_ID, "Administration", redirect_uris, **registered))  # type: ignore[arg-type]  # a test's own values


def anchors(idp: IdPSite) -> tuple[x509.Certificate, ...]:
    return (idp.files.tls.certificate,)


def with_card(idp: IdPSite, provider: Provider, certified: Certified | None) -> Granted:
    identity = TLSIdentity(certified.certificate, SoftwareKey(certified.key)) if certified else None
    transport = CardTLSTransport(trust=ServerTrust(anchors(idp)), clock=idp.clock, identity=identity)
    return card_sign_in.sign_in(provider, transport, SystemEntropy())


def never(seconds: float) -> None:
    """Let no time pass."""


def test_a_card_signs_in_without_a_browser(idp: IdPSite, provider: Provider, administrator: Holder) -> None:
    granted = with_card(idp, provider, administrator.certified)
    claims = claims_of(granted.access_token.reveal())
    assert granted.subject == str(administrator.person.id)
    assert claims["acr"] == "urn:etymon:acr:card"
    assert claims["aud"] == f"{idp.deps.site_url}/graph"
    assert claims["roles"] == ["administrator"]
    assert granted.expires_at == idp.clock.now() + timedelta(minutes=10)


def test_a_derived_credential_does_not_sign_in(idp: IdPSite, provider: Provider, administrator: Holder) -> None:
    derived = idp.derived_holder(administrator)
    with pytest.raises(NotPermitted, match="wrong_certificate_kind"):
        with_card(idp, provider, derived.certified)


def test_a_card_that_is_nobodys_or_missing_is_refused_with_the_pages_reason(idp: IdPSite, provider: Provider) -> None:
    with pytest.raises(NotPermitted) as caught:
        with_card(idp, provider, idp.card("mallory"))
    assert caught.value.code == "sign_in_refused"
    assert "refuses this card" in caught.value.detail
    with pytest.raises(NotPermitted, match="no_certificate"):
        with_card(idp, provider, None)


def test_a_card_is_shown_to_nobody_but_the_site(idp: IdPSite, provider: Provider, administrator: Holder) -> None:
    stranger = ServerTrust((idp.strangers.certificate,))
    identity = TLSIdentity(administrator.certified.certificate, SoftwareKey(administrator.certified.key))
    with pytest.raises(ServerNotTrusted):
        card_sign_in.sign_in(
            provider, CardTLSTransport(trust=stranger, clock=idp.clock, identity=identity), SystemEntropy()
        )
    elsewhere = card_sign_in.OneHost(httpx.MockTransport(lambda _: httpx.Response(200)), "site.test")
    with pytest.raises(NotPermitted, match=r"leads to other\.test"):
        elsewhere.handle_request(httpx.Request("GET", "https://other.test/"))


def test_a_client_that_may_not_is_refused(idp: IdPSite, provider: Provider, administrator: Holder) -> None:
    register(idp, "https://elsewhere.test/")
    with pytest.raises(NotPermitted, match="refuses this card"):
        with_card(idp, provider, administrator.certified)
    register(idp, "http://127.0.0.1/", scopes=ALL_SCOPES)
    with pytest.raises(NotPermitted):
        with_card(idp, provider, administrator.certified)
    with pytest.raises(NotPermitted, match="may not ask for the scope administration"):
        device_sign_in.sign_in(provider, never, lambda *_: None)


class Person:
    """Reads what the program shows and decides in a browser while the program waits."""

    def __init__(self, idp: IdPSite, holder: Holder, decision: str) -> None:
        self._idp, self._holder, self._decision = idp, holder, decision
        self.address = self.code = ""
        self.waits: list[float] = []

    def shown(self, address: str, code: str) -> None:
        self.address, self.code = address, code

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._idp.pause(seconds)
        if len(self.waits) == 2 and self._decision:
            assert self._idp.decide(self._holder, {"user_code": self.code}, self._decision).status == 200


def test_a_person_approves_in_a_browser(idp: IdPSite, provider: Provider, administrator: Holder) -> None:
    person = Person(idp, administrator, "approve")
    granted = device_sign_in.sign_in(provider, person.wait, person.shown)
    assert person.address == f"{idp.deps.issuer}/device"
    assert len(person.code) == 9
    assert person.waits == [5, 5]
    assert granted.subject == str(administrator.person.id)
    assert claims_of(granted.access_token.reveal())["roles"] == ["administrator"]


@pytest.mark.parametrize(("decision", "told"), [("deny", "denied"), ("", "Nobody approved")])
def test_without_approval_there_is_no_token(
    idp: IdPSite, provider: Provider, administrator: Holder, decision: str, told: str
) -> None:
    person = Person(idp, administrator, decision)
    with pytest.raises(NotPermitted, match=told):
        device_sign_in.sign_in(provider, person.wait, person.shown)


def test_polling_too_fast_is_slowed_down(idp: IdPSite, provider: Provider) -> None:
    waits: list[float] = []

    def hasty(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 2:
            idp.pause(400)

    with pytest.raises(NotPermitted):
        device_sign_in.sign_in(provider, hasty, lambda *_: None)
    assert waits == [5, 5, 10]


def test_an_unknown_site_or_one_that_calls_itself_otherwise_is_told(idp: IdPSite, http: httpx.Client) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        Provider(http, "https://127.0.0.1:1", idp.clock)
    with pytest.raises(Unavailable, match=r"calls itself .*Name the site by that address"):
        Provider(http, idp.deps.site_url.replace("127.0.0.1", "localhost"), idp.clock)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"issuer": "https://site.test/idp"}),
    ],
)
def test_what_is_no_identity_provider_is_told(answer: httpx.Response) -> None:
    with (
        httpx.Client(transport=httpx.MockTransport(lambda _: answer)) as client,
        pytest.raises(Unavailable, match="no identity provider's answer"),
    ):
        Provider(client, "https://site.test", TurnedClock())


@pytest.mark.parametrize(
    "token",
    [{}, {"access_token": "a", "expires_in": 600}, {"access_token": "a", "expires_in": 600, "id_token": "x.y.z"}],
)
def test_an_answer_without_what_it_owes_is_no_sign_in(token: Mapping[str, object]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            return httpx.Response(200, json=dict(token))
        endpoints = {f"{name}_endpoint": f"https://site.test/{name}" for name in ("authorization", "token")}
        document = {"issuer": "https://site.test/idp", "device_authorization_endpoint": "https://site.test/d"}
        return httpx.Response(200, json=document | endpoints)

    with httpx.Client(transport=httpx.MockTransport(answer)) as client, pytest.raises(Unavailable):
        Provider(client, "https://site.test", TurnedClock()).ask_for_token({})


def test_a_sign_in_near_its_end_is_replaced_and_only_by_the_same_person(clock: TurnedClock) -> None:
    subjects = iter(["one", "one", "two"])
    made: list[str] = []

    def sign_in() -> Granted:
        made.append(next(subjects))
        return Granted(Secret(f"token-{len(made)}"), clock.now() + timedelta(minutes=10), made[-1])

    signed_in = SignedIn(sign_in, clock)
    assert signed_in.token().reveal() == signed_in.token().reveal() == "token-1"
    clock.advance(timedelta(minutes=9))
    assert (signed_in.token().reveal(), signed_in.subject()) == ("token-2", "one")
    clock.advance(timedelta(minutes=9))
    with pytest.raises(NotPermitted, match="Somebody else"):
        signed_in.token()
