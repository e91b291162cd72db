# SPDX-License-Identifier: Apache-2.0
"""The management API over TLS: private_key_jwt, what a client sees and ends, and what it does not."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from etymon.issuer import clients, follow_ups, holds
from etymon.issuer.model import DerivationState, Purpose
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import EtymonError
from etymon.pki.certificate import thumbprint
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.storage.database import Database
from support import declared_pki
from support.clock import TurnedClock
from support.issuer_listeners import RunningIssuer
from support.issuer_rekey import holder
from support.issuer_site import ADMINISTRATOR, IssuerSite, Link
from support.issuer_story import API, Manager, key_manager


@pytest.fixture
def issuer(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> Iterator[RunningIssuer]:
    with RunningIssuer(IssuerSite(database, clock, entropy, tmp_path), tmp_path).running() as running:
        yield running


@pytest.fixture
def manager(issuer: RunningIssuer) -> Manager:
    return key_manager(issuer)


@pytest.fixture
def stranger(issuer: RunningIssuer) -> Manager:
    """A client that manages the devices of another CA."""
    other = declared_pki.root(issuer.site.clock.now(), "Other Devices")
    policies = frozenset({"2.999.9"})
    issuer.site.trust(TrustEntry("other", TrustKind.DEVICE, (other.certificate,), policies, IdentifierKind.THUMBPRINT))
    return key_manager(issuer, "other", devices="other")


@pytest.fixture
def link(issuer: RunningIssuer) -> Link:
    link = issuer.site.linked()
    for purpose in (Purpose.AUTHENTICATION, Purpose.SIGNATURE):
        link.enroll(purpose)
    return link


def device_of(link: Link) -> str:
    assert link.phone.device is not None
    return thumbprint(link.phone.device).hex()


def person_of(link: Link) -> dict[str, str]:
    return {"issuer": link.site.deps.oidc_issuer, "subject": str(link.site.alice.id)}


# ---- who is asking


def test_a_client_signs_in_with_its_key(manager: Manager) -> None:
    answer = manager.ask()
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 600, "management")
    assert manager.get("issuer").json() == {
        "name": "Example Agency",
        "selfService": f"{manager.issuer.site.deps.issuer_url}/",
        "purposes": ["authentication", "signature", "encryption"],
        "protocol": 1,
    }


def test_an_assertion_is_good_once(manager: Manager) -> None:
    assertion = manager.assertion()
    assert manager.ask(assertion).status_code == 200
    again = manager.ask(assertion)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


def test_an_assertion_presented_at_once_is_good_once(manager: Manager) -> None:
    assertion = manager.assertion()
    with ThreadPoolExecutor(4) as threads:
        statuses = sorted(threads.map(lambda _: manager.ask(assertion).status_code, range(4)))
    assert statuses == [200, 401, 401, 401]


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "other"},
        {"sub": "other"},
        {"sub": "nobody", "iss": "nobody"},
        {"sub": None},
        {"aud": "https://elsewhere.test/token"},
        {"aud": None},
        {"aud": [7]},
        {"jti": None},
        {"jti": ""},
        {"jti": "j" * 201},
        {"exp": None},
        {"exp": 0},
        {"exp": "soon"},
        {"exp": 2**40},
        {"iat": 2**36},
        {"iat": 2**62},
        {"nbf": 2**36},
        {"nbf": -1},
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_assertion_that_is_not_for_here_and_now_is_refused(manager: Manager, claims: dict[str, Any]) -> None:
    answer = manager.ask(manager.assertion(**claims))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_an_assertion_of_another_key_or_algorithm_is_refused(manager: Manager) -> None:
    stolen = Manager(manager.issuer, manager.id, ECKey.generate_key("P-256"), manager.http)
    shared = Manager(manager.issuer, manager.id, OctKey.generate_key(256), manager.http)
    other = Manager(manager.issuer, manager.id, RSAKey.generate_key(2048), manager.http)
    for assertion in (
        stolen.assertion(),
        shared.assertion(algorithm="HS256"),
        other.assertion(algorithm="RS256"),
        manager.assertion().rpartition(".")[0] + ".",
        "x.y.z",
        "",
        "a" * 9000,
    ):
        answer = manager.ask(assertion)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), assertion[:80]


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"client_assertion_type": ""}, "invalid_client"),
    ],
)
def test_the_token_endpoint_speaks_oauth(manager: Manager, form: dict[str, str], error: str) -> None:
    answer = manager.ask(**form)
    assert answer.json()["error"] == error
    assert answer.headers["content-type"] == "application/json"


def test_a_token_ends_after_ten_minutes_and_with_its_client(manager: Manager) -> None:
    bearer = manager.bearer()
    site = manager.issuer.site
    site.turn(minutes=9, seconds=59)
    assert manager.http.get(f"{API}/issuer", headers=bearer).status_code == 200
    site.turn(seconds=1)
    assert manager.http.get(f"{API}/issuer", headers=bearer).status_code == 401
    bearer = manager.bearer()
    with site.database.transaction() as tx:
        clients.end(tx, site.deps, manager.id, actor=ADMINISTRATOR)
    assert manager.http.get(f"{API}/issuer", headers=bearer).status_code == 401
    assert manager.ask().status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic YTpi", "Bearer " + "a" * 300])
def test_without_a_token_nothing_is_told(manager: Manager, header: str) -> None:
    answer = manager.http.get(f"{API}/credentials", headers={"Authorization": header} if header else {})
    assert (answer.status_code, answer.json()["title"]) == (401, "token_not_valid")


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "two words"},
        {"name": ""},
        {"device_trust_entries": []},
        {"device_trust_entries": ["cards"]},
        {"device_trust_entries": ["nowhere"]},
        {"public_key": {"kty": "oct", "k": "AAAA"}},
        {"public_key": ECKey.generate_key("P-384").as_dict(private=False)},
        {"public_key": ECKey.generate_key("P-256").as_dict(private=True)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_client_that_is_not_usable_is_not_registered(issuer: RunningIssuer, wrong: dict[str, Any]) -> None:
    values: dict[str, Any] = {
        "client_id": "mdm",
        "name": "Endpoint manager",
        "public_key": ECKey.generate_key("P-256").as_dict(private=False),
        "device_trust_entries": ["device"],
        **wrong,
    }
    with pytest.raises(EtymonError), issuer.site.database.transaction() as tx:
        clients.register(tx, issuer.site.deps, actor=ADMINISTRATOR, **values)


# ---- what it sees


def test_a_client_sees_the_credentials_of_its_devices(manager: Manager, link: Link) -> None:
    shown = manager.get("credentials", device=device_of(link)).json()
    assert shown["next"] is None
    kept = link.site.credentials(link.begun)
    assert {one["purpose"]: one["credential"] for one in shown["credentials"]} == {
        purpose.value: str(credential.id) for purpose, credential in kept.items()
    }
    one = next(one for one in shown["credentials"] if one["purpose"] == "authentication")
    certificate = link.enroll().certificate
    assert one["serialNumber"] == f"{certificate.serial_number:x}"
    assert one["thumbprint"] == thumbprint(certificate).hex()
    assert one["notAfter"] == f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert (one["state"], one["endedAt"], one["reason"]) == ("active", None, None)
    assert one["device"] == device_of(link)
    assert one["person"] == person_of(link)
    by_person = {"person": str(link.site.alice.id), "personIssuer": link.site.deps.oidc_issuer}
    assert manager.get("credentials", **by_person).json() == shown


def test_a_client_sees_what_is_on_hold_and_ends_it(manager: Manager) -> None:
    site = manager.issuer.site
    phone = holder(site, Purpose.AUTHENTICATION)
    follow_ups.sweep(site.deps)
    derivation = phone.link.begun.derivation.id
    until = holds.hold(site.deps, derivation, holds.Order(site.officer.id, "Suspected."))
    device = device_of(phone.link)
    (one,) = manager.get("credentials", device=device).json()["credentials"]
    shown = (one["state"], one["heldUntil"], one["endedAt"], one["reason"])
    assert shown == ("held", until.isoformat().replace("+00:00", "Z"), None, None)
    answer = manager.end(device=device, reason="keyCompromise")
    assert answer.json()["credentials"] == [one["credential"]]
    (one,) = manager.get("credentials", device=device).json()["credentials"]
    assert (one["state"], one["heldUntil"], one["reason"]) == ("ended", None, "keyCompromise")


def test_another_client_sees_and_ends_nothing_of_them(stranger: Manager, link: Link) -> None:
    assert stranger.get("credentials", device=device_of(link)).json() == {"credentials": [], "next": None}
    credential = next(iter(link.site.credentials(link.begun).values()))
    assert stranger.end(credential=str(credential.id)).status_code == 404
    assert stranger.end(device=device_of(link)).json()["credentials"] == []
    assert stranger.end(person=person_of(link)).json()["credentials"] == []
    assert not link.site.is_revoked(link.enroll().certificate)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"device": "00"},
        {"device": "F" * 64},
        {"device": "g" * 64},
        {"device": "0" * 64, "person": "x"},
        {"device": "0" * 64, "cursor": "x"},
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_question_that_cannot_be_read_is_malformed(manager: Manager, query: dict[str, str]) -> None:
    answer = manager.get("credentials", **query)
    assert (answer.status_code, answer.json()["title"]) == (400, "malformed")


def test_people_of_another_identity_provider_are_nobody_here(manager: Manager, link: Link) -> None:
    for query in (
        {"person": str(link.site.alice.id), "personIssuer": "https://elsewhere.test"},
        {"person": "alice", "personIssuer": link.site.deps.oidc_issuer},
        {"person": str(link.site.alice.id)},
    ):
        assert manager.get("credentials", **query).json() == {"credentials": [], "next": None}


# ---- what it ends


def test_a_lost_device_loses_its_credentials(manager: Manager, link: Link) -> None:
    certificate = link.enroll().certificate
    link.site.mail()
    answer = manager.end(device=device_of(link), comment="lost on a train")
    assert (answer.status_code, answer.json()["state"]) == (200, "done")
    kept = link.site.credentials(link.begun)
    assert set(answer.json()["credentials"]) == {str(one.id) for one in kept.values()}
    assert link.site.is_revoked(certificate)
    assert link.site.derivation(link.begun).state is DerivationState.ENDED
    with pytest.raises(EtymonError, match="authorization_unknown"):
        link.enroll(Purpose.ENCRYPTION)  # nothing more comes to this device
    assert [notice["subject"] for notice in link.site.mail()] == ["Credentials on your phone were ended"]
    shown = manager.get("credentials", device=device_of(link)).json()["credentials"]
    assert {(one["state"], one["reason"]) for one in shown} == {("ended", "keyCompromise")}


def test_one_credential_ends_and_the_others_stay(manager: Manager, link: Link) -> None:
    kept = link.site.credentials(link.begun)
    signature = kept[Purpose.SIGNATURE]
    answer = manager.end(credential=str(signature.id), reason="superseded")
    assert answer.json()["credentials"] == [str(signature.id)]
    assert not link.site.is_revoked(link.enroll().certificate)
    with pytest.raises(EtymonError, match="credential_ended"):
        link.enroll(Purpose.SIGNATURE)


def test_the_last_credential_takes_the_derivation_along(manager: Manager, link: Link) -> None:
    link.enroll(Purpose.ENCRYPTION)
    for credential in link.site.credentials(link.begun).values():
        manager.end(credential=str(credential.id))
    assert link.site.derivation(link.begun).state is DerivationState.ENDED


def test_all_of_a_person_ends(manager: Manager, link: Link) -> None:
    assert len(manager.end(person=person_of(link), reason="affiliationChanged").json()["credentials"]) == 2
    assert manager.end(person={**person_of(link), "issuer": "https://elsewhere.test"}).status_code == 404


def test_the_same_order_again_gets_the_same_answer(manager: Manager, link: Link) -> None:
    id_ = uuid.uuid4()
    first = manager.end(id_, device=device_of(link)).json()
    link.site.mail()
    assert manager.end(id_, device=device_of(link)).json() == first
    assert link.site.mail() == []
    other = manager.end(id_, device=device_of(link), reason="unspecified")
    assert (other.status_code, other.json()["title"]) == (409, "invalidation_id_used")


def test_another_order_under_a_used_id_ends_nothing(manager: Manager, link: Link) -> None:
    id_ = uuid.uuid4()
    manager.end(id_, device="0" * 64)
    assert manager.end(id_, device=device_of(link)).status_code == 409
    assert not link.site.is_revoked(link.enroll().certificate)


def test_the_same_order_at_once_is_done_once(manager: Manager, link: Link) -> None:
    id_, device = uuid.uuid4(), device_of(link)
    link.site.mail()
    with ThreadPoolExecutor(4) as threads:
        answers = [answer.json() for answer in threads.map(lambda _: manager.end(id_, device=device), range(4))]
    assert all(answer == answers[0] for answer in answers)
    assert len(link.site.mail()) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"device": "0" * 64, "credential": str(uuid.UUID(int=1))},
        {"device": "0" * 63},
        {"credential": "x"},
        {"person": "alice"},
        {"person": {"subject": "alice"}},
        {"device": "0" * 64, "reason": "because"},
        {"device": "0" * 64, "reason": None},
        {"device": "0" * 64, "comment": "c" * 501},
        {"device": "0" * 64, "comment": 7},
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_order_that_cannot_be_read_is_malformed(manager: Manager, body: dict[str, Any]) -> None:
    answer = manager.end(**body)
    assert (answer.status_code, answer.json()["title"]) == (400, "malformed")
    assert manager.end("x", device="0" * 64).status_code == 400


def test_a_client_that_was_removed_ends_nothing(manager: Manager, link: Link) -> None:
    bearer = manager.bearer()
    site = link.site
    with site.database.transaction() as tx:
        clients.end(tx, site.deps, manager.id, actor=ADMINISTRATOR)
    path = f"{API}/invalidations/{uuid.uuid4()}"
    answer = manager.http.put(path, json={"device": device_of(link), "reason": "keyCompromise"}, headers=bearer)
    assert answer.status_code == 401
    site.turn(seconds=timedelta(seconds=1).total_seconds())
    assert not site.is_revoked(link.enroll().certificate)


def test_a_named_credential_ends_with_what_it_replaced_and_what_replaced_it(
    issuer: RunningIssuer, manager: Manager
) -> None:
    issuer.site.save_rule(lifetime=timedelta(days=3))
    phone = holder(issuer.site)
    first, second = phone.held[Purpose.AUTHENTICATION], phone.take()
    named = next(
        shown
        for shown in manager.get("credentials", device=device_of(phone.link)).json()["credentials"]
        if shown["thumbprint"] == thumbprint(first).hex()
    )
    assert named["rekeyFrom"]
    answer = manager.end(credential=named["credential"])
    assert len(answer.json()["credentials"]) == 2
    assert issuer.site.is_revoked(first)
    assert issuer.site.is_revoked(second)
