# SPDX-License-Identifier: Apache-2.0
"""Where challenges come from: the management API, and a page in the words of NDES."""

import re
import uuid
from datetime import timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from etymon.directory.model import Role
from etymon.issuer.scep import challenges, connectors
from etymon.issuer.scep.model import CHALLENGE_LIFETIME, ChallengeSource, Connector
from etymon.kernel.errors import Malformed, NotFound, NotPermitted
from etymon.pki.certificate import card_uuid, upn
from support.applicants import unconfirmed_officer
from support.issuer_listeners import RunningIssuer
from support.issuer_story import API, Manager, key_manager
from support.scep_site import SCEPSite

PAGE = "/certsrv/mscep_admin/"
SCRAPER = re.compile(r"(?i)The enrollment challenge password is: <B> (?P<password>\S*)")
"""What an endpoint manager in use looks for."""


@pytest.fixture
def site(running: RunningIssuer) -> SCEPSite:
    assert isinstance(running.site, SCEPSite)
    return running.site


@pytest.fixture
def manager(running: RunningIssuer, site: SCEPSite) -> Manager:
    """An endpoint manager with a connector of its own."""
    found = key_manager(running, "other-mdm")
    site.connector("theirs", client="other-mdm")
    return found


def ask(manager: Manager, body: object, connector: str = "theirs") -> httpx.Response:
    return manager.http.post(f"{API}/scep/{connector}/challenges", json=body, headers=manager.bearer())


def common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def person(site: SCEPSite) -> dict[str, str]:
    return {"issuer": site.deps.oidc_issuer, "subject": str(site.alice.id)}


# ---- the management API


def test_a_client_asks_for_a_challenge_for_a_person_on_a_device(site: SCEPSite, manager: Manager) -> None:
    number = uuid.uuid4()
    answer = ask(manager, {"person": person(site), "device": {"id": str(number), "name": "tablet"}})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    body = answer.json()
    assert re.fullmatch(r"[0-9A-F]{32}", body["challenge"])
    assert body["url"] == f"{site.deps.site_url}/scep/theirs"
    assert body["expiresAt"] == f"{site.clock.now() + CHALLENGE_LIFETIME:%Y-%m-%dT%H:%M:%SZ}"
    certificate = site.device(connector="theirs").enroll(body["challenge"])
    assert (upn(certificate), card_uuid(certificate)) == ("alice@agency.example", number)


def test_a_challenge_is_kept_as_a_digest_alone(site: SCEPSite, manager: Manager) -> None:
    secret = ask(manager, {"person": person(site)}).json()["challenge"]
    _, kept, _, waiting = site.kept()
    everything = repr([tuple(row) for row in (*kept, *waiting)]) + repr(site.events())
    assert secret not in everything
    assert secret.lower() not in everything.lower()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "malformed"),
        ({"device": {"name": "no number"}}, 400, "malformed"),
        ({"device": {"id": str(uuid.UUID(int=7)), "name": "x" * 65}}, 400, "malformed"),
        ({"person": {"issuer": "https://elsewhere.test", "subject": str(uuid.UUID(int=7))}}, 404, "person_unknown"),
        ([], 400, "malformed"),
    ],
    ids=str,
)
def test_a_challenge_is_for_somebody(manager: Manager, body: object, status: int, code: str) -> None:
    answer = ask(manager, body)
    assert (answer.status_code, answer.json()["title"]) == (status, code)


def test_a_challenge_for_somebody_unknown_or_gone_is_refused(site: SCEPSite, manager: Manager) -> None:
    gone = site.person("gone")
    site.end_account(gone)
    for subject in (str(uuid.uuid4()), str(gone.id)):
        answer = ask(manager, {"person": {**person(site), "subject": subject}})
        assert (answer.status_code, answer.json()["title"]) == (403, "not_eligible")


def test_a_client_asks_at_its_own_connector_alone(site: SCEPSite, manager: Manager) -> None:
    site.connector("their-page", source=ChallengeSource.PAGE, client="other-mdm")
    for connector, status, code in (
        ("fleet", 403, "not_your_connector"),
        ("nowhere", 404, "scep_connector_unknown"),
        ("their-page", 409, "no_challenges_here"),
    ):
        answer = ask(manager, {"person": person(site)}, connector)
        assert (answer.status_code, answer.json()["title"]) == (status, code)
    refused = [event for event in site.events("issuer:scep_challenge:refused") if event.actor == "client:other-mdm"]
    assert {"not_your_connector", "scep_connector_unknown", "no_challenges_here"} <= {
        str(event.facts["code"]) for event in refused
    }
    bare = manager.http.post(f"{API}/scep/theirs/challenges", json={"person": person(site)})
    assert bare.status_code == 401


def test_a_client_ends_certificates_of_its_connector_alone(site: SCEPSite, manager: Manager) -> None:
    mine = site.device(connector="theirs").enroll(ask(manager, {"person": person(site)}).json()["challenge"])
    other = site.device().enroll()

    def end(certificate: x509.Certificate, connector: str = "theirs", **body: str) -> httpx.Response:
        address = f"{API}/scep/{connector}/certificates/{certificate.serial_number:x}/ending"
        return manager.http.put(address, json={"reason": "keyCompromise", **body}, headers=manager.bearer())

    assert end(other).json()["title"] == "certificate_unknown"
    assert end(other, "fleet").json()["title"] == "not_your_connector"
    assert end(mine, reason="because").status_code == 400
    assert not site.is_revoked(mine)
    first = end(mine)
    assert (first.status_code, first.json()["state"]) == (200, "ended")
    assert end(mine).json() == first.json()
    assert (site.is_revoked(mine), site.is_revoked(other)) == (True, False)


# ---- the page


def page(running: RunningIssuer, name: str, password: str, **query: str) -> httpx.Response:
    with running.program() as browser:
        return browser.get(PAGE, params=query, auth=(name, password))


def test_the_page_is_read_by_the_pattern_of_an_endpoint_manager(running: RunningIssuer, site: SCEPSite) -> None:
    password = site.connector("paper", source=ChallengeSource.PAGE, client=None)
    assert password is not None
    answer = page(running, "paper", password.reveal())
    assert answer.status_code == 200
    assert answer.content[:2] == b"\xff\xfe"
    text = answer.content.decode("utf-16")
    assert "The thumbprint (hash value) for the CA certificate is: <B> " in text
    assert " </B>" in text.partition("password is:")[2]
    found = SCRAPER.search(text)
    assert found is not None
    device = site.device(connector="paper", common_name="whatever")
    certificate = device.enroll(found["password"])
    assert common_name(certificate) == str(card_uuid(certificate))
    again = SCRAPER.search(page(running, "paper", password.reveal()).content.decode("utf-16"))
    assert again is not None
    assert again["password"] != found["password"]


@pytest.mark.parametrize("path", ["/CertSrv/mscep_admin/", "/CERTSRV/MSCEP_ADMIN"])
def test_the_page_is_found_in_whatever_case(running: RunningIssuer, path: str) -> None:
    with running.program() as browser:
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["error-code"]) == (401, "page_password_missing")
        assert browser.get(f"{path}x").status_code == 404


def test_the_page_makes_a_challenge_for_a_person_where_the_address_names_one(
    running: RunningIssuer, site: SCEPSite
) -> None:
    password = site.connector("paper", source=ChallengeSource.PAGE, client=None)
    assert password is not None
    text = page(running, "paper", password.reveal(), person="alice@agency.example").content.decode("utf-16")
    found = SCRAPER.search(text)
    assert found is not None
    device = site.device(connector="paper", common_name="Bob Example")
    assert device.refused(device.message(device.request(found["password"])))[1] == "names_differ"
    assert upn(site.device(connector="paper").enroll(found["password"])) == "alice@agency.example"


def test_the_page_refuses_in_the_words_of_the_genuine_one(running: RunningIssuer, site: SCEPSite) -> None:
    password = site.connector("paper", source=ChallengeSource.PAGE, client=None)
    assert password is not None
    for name, given, query, status in (
        ("paper", "wrong", {}, 401),
        ("fleet", password.reveal(), {}, 401),
        ("nowhere", password.reveal(), {}, 401),
        ("", "", {}, 401),
        ("paper", password.reveal(), {"person": "nobody@agency.example"}, 403),
        ("paper", password.reveal(), {"person": ""}, 403),
    ):
        answer = page(running, name, given, **query)
        assert answer.status_code == status
        assert "You do not have sufficient permission to enroll with SCEP." in answer.content.decode("utf-16")
        assert (status == 401) == answer.headers.get("www-authenticate", "").startswith("Basic")
    with running.program() as browser:
        for headers in (
            {},
            {"Authorization": "NTLM TlRM"},
            {"Authorization": "Basic !"},
            {"Authorization": "Basic Og"},
        ):
            assert browser.get(PAGE, headers=headers).status_code == 401
    codes = {event.facts["code"] for event in site.events("issuer:scep_challenge:refused")}
    assert {"page_password_wrong", "not_eligible"} <= codes


def test_a_changed_page_connector_has_a_new_password(running: RunningIssuer, site: SCEPSite) -> None:
    old = site.connector("paper", source=ChallengeSource.PAGE, client=None)
    new = site.connector("paper", source=ChallengeSource.PAGE, client=None)
    assert old is not None
    assert new is not None
    assert page(running, "paper", old.reveal()).status_code == 401
    assert page(running, "paper", new.reveal()).status_code == 200


def test_the_page_says_when_too_many_challenges_wait(running: RunningIssuer, site: SCEPSite) -> None:
    password = site.connector("crowded", source=ChallengeSource.PAGE, client=None)
    assert password is not None
    site.fill_with_challenges("crowded", challenges.MOST_WAITING - 1)
    assert [page(running, "crowded", password.reveal()).status_code for _ in range(2)] == [200, 429]
    assert "The password cache is full." in page(running, "crowded", password.reveal()).content.decode("utf-16")


# ---- connectors


def test_only_an_officer_makes_and_withdraws_connectors(site: SCEPSite) -> None:
    administrator = site.person(f"adam{uuid.uuid4().hex[:6]}", role=Role.ADMINISTRATOR)
    for somebody in (site.alice, administrator, unconfirmed_officer(site)):
        with pytest.raises(NotPermitted, match="officer_required"):
            site.connector("forbidden", officer=somebody)
        with pytest.raises(NotPermitted, match="officer_required"), site.database.transaction() as tx:
            connectors.withdraw(tx, site.deps, "fleet", officer=somebody.id)
    with site.database.snapshot() as tx, pytest.raises(NotFound):
        connectors.load(tx, "forbidden")
    with pytest.raises(NotFound, match="client_unknown"):
        site.connector("forbidden", client="nobody")
    with pytest.raises(NotFound, match="scep_connector_unknown"):
        site.withdraw_connector("nowhere")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Upper"},
        {"name": ""},
        {"lifetime": "0"},
        {"lifetime": "1096"},
        {"key_types": frozenset()},
        {"client": None},
    ],
    ids=str,
)
def test_a_connector_that_makes_no_sense_is_refused(site: SCEPSite, changes: dict[str, object]) -> None:
    values = dict(changes)
    if "lifetime" in values:
        values["lifetime"] = timedelta(days=int(str(values["lifetime"])))
    with pytest.raises(Malformed, match="malformed_scep_connector"):
        Connector(
            **{  # type: ignore[arg-type]  # one of them is wrong on purpose
                "name": "fine",
                "source": ChallengeSource.MANAGEMENT,
                "lifetime": timedelta(days=1),
                "client": "mdm",
                "created_by": site.officer.id,
                "created_at": site.clock.now(),
                **values,
            }
        )
