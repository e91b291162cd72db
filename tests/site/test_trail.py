# SPDX-License-Identifier: Apache-2.0
"""What an auditor finds in the trail: every act and every refusal that matters, with who, what, from where, and why.

Each test does something over TLS, as whoever would, and reads the trail. Nothing in it is secret.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from joserfc import jwt

from etymon.audit.model import AuditEvent, Fact, Outcome
from etymon.directory import bindings, roles
from etymon.directory.model import Role
from etymon.issuer.model import Purpose
from etymon.mdm.store import issuers
from etymon.server.wiring import ADMINISTRATION_CLIENT, ENDPOINT_MANAGER_CLIENT, Wiring, endpoint_manager_key
from etymon.wire import est
from support import issued_identities, phone_messages, site_pages
from support.ca_site import csr_der
from support.founding import founded
from support.issuer_phone import Phone
from support.phone_messages import Enrolling, Linking, told
from support.site_pages import expect
from support.whole_site import TEST, WholeSite

LOOPBACK = "127.0.0.1"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSite]:
    with founded(tmp_path_factory.mktemp("trail")) as site:
        yield site


@pytest.fixture
def site(running_site: WholeSite) -> WholeSite:
    running_site.forgive()
    return running_site


def newest(site: WholeSite, name: str) -> AuditEvent:
    events = site.events(name)
    assert events, f"there is no {name}"
    return events[0].event


def refused(site: WholeSite, name: str, code: str, **facts: Fact) -> AuditEvent:
    """Return the newest event of a name, which is of a refusal that came over TLS from this machine."""
    event = newest(site, name)
    assert (event.outcome, event.facts["code"], event.source) == (Outcome.FAILURE, code, LOOPBACK)
    assert {**event.facts, **facts} == event.facts
    return event


def person(site: WholeSite, name: str) -> str:
    return f"person:{site.person(name).id}"


# ---- device login


def test_a_wrong_user_code_and_the_end_of_guessing(site: WholeSite) -> None:
    browser = site.browser()
    for tries in range(5):
        page = browser.get(f"{site.url}/idp/device")
        browser.submit(page.form(action="/idp/device"), {"code": f"BBBB-BBB{'BCDFG'[tries]}"})
    assert len(site.events("idp:user_code:refused")) == 5
    event = refused(site, "idp:user_code:refused", "user_code_unknown")
    assert (event.actor, event.subject) == ("anonymous", "user_code")
    page = browser.submit(page.form(action="/idp/device"), {"code": "BBBB-BBBH"})
    assert page.status == 429
    refused(site, "idp:user_code:refused", "too_many_tries")


def test_a_device_authorization_from_its_start_to_its_token(site: WholeSite) -> None:
    card = site.card_for("trail-login")
    phone = Enrolling(site)
    assert phone.begin().is_success
    assert phone.start().is_success
    first = newest(site, "idp:device_authorization:started")
    assert first.facts["enrollment_session"] == phone.session["session"]
    assert (first.actor, first.source) == ("client:etymon-phone", LOOPBACK)
    old = phone.grant
    assert phone.start().is_success
    superseded = newest(site, "idp:device_authorization:superseded")
    assert superseded.subject == first.subject
    assert told(phone.poll(device_code=old["device_code"])) == (400, "invalid_grant")
    refused(site, "idp:grant:refused", "invalid_grant", reason="device_code_superseded")

    site_pages.approve(site.browser(card), phone.user_code)
    approved = newest(site, "idp:device_authorization:approved")
    assert (approved.actor, approved.source) == (person(site, "trail-login"), LOOPBACK)
    assert told(phone.poll(client_id=ADMINISTRATION_CLIENT)) == (400, "invalid_grant")
    refused(site, "idp:grant:refused", "invalid_grant", reason="device_code_of_another_client")
    assert phone.poll().is_success
    started = newest(site, "idp:grant:started")
    assert approved.subject == f"device_authorization:{started.facts['approval']}"
    assert told(phone.poll()) == (400, "invalid_grant")
    event = refused(site, "idp:grant:refused", "invalid_grant", reason="device_code_reused")
    assert (event.actor, event.subject) == ("anonymous", "client:etymon-phone"), "anybody may say to be this client"


def decision(site: WholeSite, name: str, scope: str = "openid", *, minutes: float = 0) -> tuple[Any, Any]:
    """Go as far as the page that asks, some minutes after the device began to wait."""
    tool = Enrolling(site)
    assert tool.start("", client_id=ADMINISTRATION_CLIENT, scope=scope).is_success
    site.turn(minutes=minutes)
    browser = site.browser(site.card_for(name))
    return browser, site_pages.prove_for_approval(browser, site_pages.enter_code(browser, tool.user_code))


def test_a_decision_that_may_not_be_made(site: WholeSite) -> None:
    browser, page = decision(site, "trail-visitor", "openid administration")
    assert browser.submit(page.form(action="/idp/device/decision"), button="approve").status == 403
    event = refused(site, "idp:device_authorization:refused", "access_denied")
    assert event.actor == person(site, "trail-visitor")
    assert event.subject == newest(site, "idp:device_authorization:started").subject


def test_a_decision_that_comes_too_late_or_from_another_page(site: WholeSite) -> None:
    browser, page = decision(site, "trail-late", minutes=1)
    form = page.form(action="/idp/device/decision")
    ids = {name: str(form.fields[name]) for name in ("authorization", "proof")}
    stranger = site.client().post("/idp/device/decision", data={**ids, "decision": "approve"})
    assert stranger.status_code == 403
    assert refused(site, "idp:device_authorization:refused", "cross_site_request").actor == "anonymous"
    site.turn(minutes=4, seconds=30)
    expect(browser.get(page.url), "device_not_waiting", 409)
    seen = refused(site, "idp:device_authorization:refused", "device_not_waiting")
    assert (seen.actor, seen.subject) == (person(site, "trail-late"), f"device_authorization:{ids['authorization']}")
    before = len(site.events("idp:device_authorization:refused"))
    expect(browser.submit(form, button="deny"), "device_not_waiting", 409)
    assert len(site.events("idp:device_authorization:refused")) == before + 1
    assert site.client().get(f"/idp/device/decision?authorization={uuid.uuid4()}&proof={uuid.uuid4()}").is_error
    assert len(site.events("idp:device_authorization:refused")) == before + 1, "who only looks leaves nothing"


def test_a_denial(site: WholeSite) -> None:
    browser, page = decision(site, "trail-denies")
    expect(browser.submit(page.form(action="/idp/device/decision"), button="deny"), "device_denied")
    assert newest(site, "idp:device_authorization:denied").actor == person(site, "trail-denies")


# ---- the identity provider


def test_a_refresh_and_its_reuse(site: WholeSite) -> None:
    tool = Enrolling(site)
    assert tool.start("", client_id=ADMINISTRATION_CLIENT, scope="openid offline_access").is_success
    site_pages.approve(site.browser(site.card_for("trail-refresh")), tool.user_code)
    tokens = tool.poll(client_id=ADMINISTRATION_CLIENT).json()
    form = {"grant_type": "refresh_token", "client_id": ADMINISTRATION_CLIENT, "refresh_token": tokens["refresh_token"]}
    assert tool.http.post("/idp/token", data=form).is_success
    refreshed = newest(site, "idp:grant:refreshed")
    assert refreshed.actor == person(site, "trail-refresh")
    assert told(tool.http.post("/idp/token", data=form)) == (400, "invalid_grant")
    refused(site, "idp:grant:refused", "invalid_grant", reason="refresh_reused")
    ended = newest(site, "idp:grant:ended")
    assert (ended.subject, ended.facts["reason"]) == (refreshed.subject, "refresh_reused")
    assert told(tool.http.post("/idp/token", data=form)) == (400, "invalid_grant")
    refused(site, "idp:grant:refused", "invalid_grant", reason="refresh_unknown")


@pytest.mark.parametrize("path", ["/idp/token", "/idp/device_authorization"])
def test_a_client_that_is_none(site: WholeSite, path: str) -> None:
    form = {"grant_type": "authorization_code", "client_id": "nobody", "code": "x", "code_verifier": "y"}
    assert told(site.client().post(path, data=form)) == (401, "invalid_client")
    name = "idp:client:refused" if path == "/idp/token" else "idp:device_authorization:refused"
    event = refused(site, name, "invalid_client")
    assert (event.actor, event.subject) == ("anonymous", "client:nobody")


def test_a_sign_in_that_is_refused_and_one_that_ends(site: WholeSite) -> None:
    stranger = site.browser(site.unbound_card("trail-stranger"))
    expect(site_pages.sign_in(stranger, site.url), "certificate_not_bound", 403)
    event = refused(site, "idp:certificate:refused", "certificate_not_bound", purpose="sign-in")
    assert (event.actor, len(event.subject)) == ("anonymous", len("certificate:") + 64)
    browser = site.browser(site.card_for("trail-out"))
    page = expect(site_pages.sign_in(browser, site.url), "signed_in")
    browser.submit(page.form(action="/idp/sign-out"))
    assert newest(site, "idp:session:ended").actor == person(site, "trail-out")


@pytest.mark.parametrize("service", ["idp", "issuer"])
def test_a_proof_that_is_not_this_browsers(site: WholeSite, service: str) -> None:
    answer = site.client().post(f"/{service}/certauth/return", data={"code": "x" * 22})
    assert answer.status_code == 403
    assert refused(site, f"{service}:proof:refused", "proof_not_valid").actor == "anonymous"


def test_a_card_that_is_bound_to_somebody_else(site: WholeSite) -> None:
    browser = site.browser(site.card_for("trail-owner"))
    site.card_for("trail-other")
    other = site.person("trail-other")
    with site.deployment.database.transaction() as tx:
        code = bindings.issue_code(tx, site.wiring.graph, person_id=other.id, actor=TEST)
    page = browser.get(f"{site.url}/idp/binding")
    page = browser.submit(page.form(action="/idp/binding/proof"))
    wrong = browser.submit(page.form(action="/idp/binding/code"), {"code": "0" * 30})
    assert newest(site, "directory:binding_code:refused").source == LOOPBACK
    browser.submit(wrong.form(action="/idp/binding/code"), {"code": code.reveal()})
    event = refused(site, "idp:binding:refused", "identifier_bound")
    assert event.subject == f"person:{other.id}"


# ---- the endpoint manager


def test_enrollments_that_are_refused(site: WholeSite) -> None:
    phone = Enrolling(site)
    assert told(phone.begin("A" * 24)) == (403, "enrollment_token_unknown")
    assert refused(site, "mdm:enrollment:refused", "enrollment_token_unknown").actor == "anonymous"
    assert phone.begin().is_success
    named = f"enrollment:{phone.session['session']}"
    assert told(phone.fresh_assertion(sessionSecret="x" * 43)) == (404, "enrollment_session_unknown")
    assert refused(site, "mdm:enrollment:refused", "enrollment_session_unknown").subject == named
    assert told(phone.complete("a.b.c")) == (401, "token_not_valid")
    assert refused(site, "mdm:enrollment:refused", "token_not_valid").subject == named
    assert phone.start().is_success
    site_pages.approve(site.browser(site.card_for("trail-enrolls")), phone.user_code)
    token = phone.poll().json()["access_token"]
    other = Enrolling(site)
    assert other.begin().is_success
    assert told(other.complete(token)) == (403, "other_session")
    event = refused(site, "mdm:enrollment:refused", "other_session")
    assert (event.actor, event.subject) == (
        person(site, "trail-enrolls"),
        f"enrollment:{other.session['session']}",
    )


def test_a_device_that_is_none(site: WholeSite) -> None:
    stranger = site.client(issued_identities.device(site), base_url=site.device_url)
    assert told(phone_messages.check_in(stranger)) == (403, "device_not_managed")
    event = refused(site, "mdm:device:refused", "device_not_managed")
    assert (event.actor, event.subject.partition(":")[0]) == ("anonymous", "certificate")
    card = site.client(site.card_for("trail-device").identity(), base_url=site.device_url)
    assert told(phone_messages.check_in(card)) == (403, "wrong_certificate_kind")
    assert refused(site, "mdm:device:refused", "wrong_certificate_kind").subject != event.subject
    before = len(site.events("mdm:device:refused"))
    assert phone_messages.check_in(site.client(base_url=site.device_url)).status_code == 401
    assert len(site.events("mdm:device:refused")) == before, "who shows nothing is not written down"


# ---- the issuer


def linking(site: WholeSite, name: str) -> tuple[Any, Linking]:
    browser = site.browser(site.card_for(name))
    expect(site_pages.present_card(browser, site.url), "home")
    return browser, Linking(site, site_pages.show_code(browser, site.url))


def test_a_card_session_that_ends(site: WholeSite) -> None:
    browser = site.browser(site.card_for("trail-leaves"))
    page = expect(site_pages.present_card(browser, site.url), "home")
    begun = newest(site, "issuer:card:authenticated")
    browser.submit(page.form(action="/issuer/sign-out"))
    ended = newest(site, "issuer:card_session:ended")
    assert (ended.actor, ended.source) == (begun.actor, LOOPBACK)
    expect(site_pages.present_card(site.browser(site.unbound_card("trail-unknown")), site.url), "card_not_bound", 403)
    assert refused(site, "issuer:card:refused", "card_not_bound").subject.startswith("certificate:")


def test_links_that_are_refused(site: WholeSite) -> None:
    browser, link = linking(site, "trail-links")
    named = str(link.code.link)
    device = issued_identities.device(site)
    client = link.client(device)
    assert told(link.redeem(client, link=str(uuid.uuid4()))) == (404, "link_unknown")
    assert refused(site, "issuer:link:refused", "link_unknown").actor.startswith("device:")
    assert told(link.redeem(client, secret="A" * 22)) == (403, "link_secret_wrong")
    assert refused(site, "issuer:link:refused", "link_secret_wrong").subject == named
    assert link.redeem(client).is_success
    other = link.client(issued_identities.device(site))
    assert told(Linking(site, link.shown, Phone(None)).redeem(other)) == (409, "link_already_redeemed")
    assert refused(site, "issuer:link:refused", "link_already_redeemed").subject == named
    assert told(link.ask(other)) == (403, "other_device")
    assert refused(site, "issuer:link:refused", "other_device").subject == named
    page = expect(browser.get(link.shown.page), "redeemed")
    wrong = browser.submit(page.form(action="/confirm"), {"key": "00" * 32})
    assert wrong.status == 409
    event = refused(site, "issuer:link:refused", "derivation_over")
    assert (event.actor, event.subject) == (person(site, "trail-links"), named)


def test_certificates_that_are_refused(site: WholeSite) -> None:
    browser, link = linking(site, "trail-est")
    client = link.client(issued_identities.device(site))
    site_pages.confirm(browser, link.shown.page, link.redeem(client).json()["digits"])
    authorization = link.ask(client).json()["authorization"]
    purpose = Purpose.AUTHENTICATION
    assert told(link.enroll(client, "x" * 43, purpose)) == (401, "authorization_unknown")
    refused(site, "issuer:credential:refused", "authorization_unknown", purpose="authentication")
    thief = link.client(issued_identities.device(site))
    assert told(link.enroll(thief, authorization, purpose)) == (403, "other_device")
    assert refused(site, "issuer:credential:refused", "other_device").subject == str(link.code.link)
    assert link.enroll(client, authorization, purpose).is_success
    again = Phone(None, key=link.phone.key)
    again.bodies[purpose] = est.encode_body(csr_der(link.phone.key, "again"))
    assert told(Linking(site, link.shown, again).enroll(client, authorization, purpose)) == (409, "authorization_used")
    refused(site, "issuer:credential:refused", "authorization_used")
    assert told(link.redeem(link.client(site.card_for("trail-est").identity()))) == (403, "wrong_certificate_kind")
    assert refused(site, "issuer:device:refused", "wrong_certificate_kind").subject.startswith("certificate:")


def assertion(site: WholeSite, **changes: Any) -> str:
    now = int(site.clock.now().timestamp())
    claims = {
        "iss": ENDPOINT_MANAGER_CLIENT,
        "sub": ENDPOINT_MANAGER_CLIENT,
        "aud": f"{site.url}/issuer",
        "exp": now + 60,
        "jti": str(uuid.uuid4()),
        **changes,
    }
    return jwt.encode({"alg": "ES256"}, claims, endpoint_manager_key(site.deployment), algorithms=["ES256"])


def ask(site: WholeSite, signed: str) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signed,
    }
    return site.client().post("/issuer/oauth/token", data=form)


def test_endpoint_managers_that_are_refused(site: WholeSite) -> None:
    signed = assertion(site)
    answer = ask(site, signed)
    assert answer.is_success
    before = len(site.events("issuer:client:refused"))
    for wrong in (signed, "a.b.c", assertion(site, aud="https://elsewhere.example"), assertion(site, sub="nobody")):
        assert told(ask(site, wrong)) == (401, "invalid_client")
    assert len(site.events("issuer:client:refused")) == before + 4
    refused(site, "issuer:client:refused", "invalid_client")
    api = "/issuer/management/v1"
    guessed = {"Authorization": f"Bearer {'x' * 43}"}
    assert site.client().get(f"{api}/issuer", headers=guessed).status_code == 401
    refused(site, "issuer:client:refused", "token_not_valid")
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    order = {"credential": str(uuid.uuid4()), "reason": "keyCompromise"}
    id_ = uuid.uuid4()
    assert told(site.client().put(f"{api}/invalidations/{id_}", json=order, headers=bearer))[0] == 404
    event = refused(site, "issuer:invalidation:refused", "credential_unknown")
    assert (event.actor, event.subject) == (f"client:{ENDPOINT_MANAGER_CLIENT}", str(id_))


def test_the_endpoint_manager_signs_in_once_for_as_long_as_its_token_lives(site: WholeSite) -> None:
    with site.deployment.database.snapshot() as tx:
        issuer = issuers.live(tx)
    assert issuer is not None
    for process in (Wiring(site.deployment), Wiring(site.deployment)):
        before = len(site.events("issuer:client:signed_in"))
        for _ in range(3):  # as a worker does every 15 seconds
            connector = process.mdm.connectors[issuer.terms.kind](issuer.terms.url)
            connector.rekeys_due(site.clock.now())
        found = site.events("issuer:client:signed_in")
        assert len(found) - before == 1
        assert (found[0].event.subject, found[0].event.source) == (f"client:{ENDPOINT_MANAGER_CLIENT}", LOOPBACK)


# ---- the administration API


def test_callers_of_the_administration_api_who_may_not(site: WholeSite) -> None:
    users = f"{site.url}/graph/beta/users"
    client = site.client()
    assert client.get(users).status_code == 401
    assert site.events("graph:request:refused") == [], "who brings nothing is not written down"
    assert client.get(users, headers={"Authorization": "Bearer a.b.c"}).status_code == 401
    event = refused(site, "graph:request:refused", "token_not_valid")
    assert (event.actor, event.subject) == ("anonymous", "GET /users")

    card = site.card_for("trail-auditor")
    with site.deployment.database.transaction() as tx:
        roles.assign(
            tx, site.wiring.directory, site.person("trail-auditor").id, Role.AUDITOR, actor=TEST, authority="letter"
        )
    tool = Enrolling(site)
    assert tool.start("", client_id=ADMINISTRATION_CLIENT, scope="openid administration").is_success
    site_pages.approve(site.browser(card), tool.user_code)
    bearer = {"Authorization": f"Bearer {tool.poll(client_id=ADMINISTRATION_CLIENT).json()['access_token']}"}
    body = {"roles": ["administrator"]}
    victim = site.person("trail-auditor").id
    assert client.put(f"{site.url}/graph/beta/etymon/roles/{victim}", json=body, headers=bearer).status_code == 403
    event = refused(site, "graph:request:refused", "role_missing")
    assert (event.actor, event.subject) == (person(site, "trail-auditor"), "PUT /etymon/roles/{user}")
    assert str(victim) not in event.subject
