# SPDX-License-Identifier: Apache-2.0
"""From where each act came, as an auditor reads it: whoever asked over the network, and nobody where the site acts."""

from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from etymon.directory.model import Role
from etymon.server.wiring import ADMINISTRATION_CLIENT
from support import site_pages
from support.appointments import give
from support.event_origins import origins
from support.founding import founded
from support.graph_answers import created, ok
from support.phone_messages import Enrolling
from support.whole_site import DOMAIN, TEST, WholeSite

LOOPBACK: Final = "127.0.0.1"
ASKED_FOR: Final = {
    "idp:session:started", "idp:session:ended", "idp:device_authorization:approved", "idp:grant:started",
    "directory:person:created", "directory:group:created", "directory:binding:bound", "directory:role:assigned",
    "directory:role:confirmed", "issuer:rule:made", "mdm:enrollment_profile:created", "mdm:enrollment:completed",
    "mdm:device:enrolled", "ca:certificate:issued", "issuer:card:authenticated", "issuer:link:confirmed",
    "issuer:credential:issued", "issuer:derivation:completed", "graph:request:refused", "directory:person:ended",
}  # fmt: skip
"""What this test does over the network, at every door."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSite]:
    with founded(tmp_path_factory.mktemp("sources")) as site:
        yield site


def administration(site: WholeSite, name: str, role: Role) -> httpx.Client:
    """Give somebody a role and sign them in to the administration API, with their card and the page for it."""
    card = site.card_for(name)
    with site.deployment.database.transaction() as tx:
        give(tx, site.wiring.directory, site.person(name), role)
    tool = Enrolling(site)
    assert tool.start("", client_id=ADMINISTRATION_CLIENT, scope="openid administration").is_success
    site_pages.approve(site.browser(card), tool.user_code)
    token = tool.poll(client_id=ADMINISTRATION_CLIENT).json()["access_token"]
    client = site.client(base_url=f"{site.url}/graph")
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def give_roles_and_rules(site: WholeSite) -> httpx.Client:
    """Do what an Administrator and an Officer do, and return the way of the first."""
    admin, officer = (
        administration(site, "source-admin", Role.ADMINISTRATOR),
        administration(site, "source-officer", Role.OFFICER),
    )
    new = {"displayName": "Kim Kern", "userPrincipalName": f"source-kim@{DOMAIN}", "mail": f"source-kim@{DOMAIN}"}
    account = f"/beta/users/{created(admin.post('/beta/users', json=new))['id']}"
    role = account.replace("users", "etymon/roles")
    identifier = site.unbound_card("source-kim").made.uuid
    created(admin.post(f"{account}/cards", json={"trustEntry": "agency-cards", "identifier": identifier}))
    group = created(admin.post("/beta/groups", json={"displayName": "Sources"}))["id"]
    rule = {"groupIds": [group], "purposes": ["authentication"], "lifetimeDays": 30}
    assert admin.put("/beta/etymon/issuanceRules/sources", json=rule).status_code == 403
    assert officer.put("/beta/etymon/issuanceRules/sources", json=rule).is_success
    ok(officer.put(role, json={"roles": ["officer"], "authority": "letter"}))
    (seen,) = ok(admin.get(role))["appointments"]
    confirmed = {"role": "officer", "assignedDateTime": seen["assignedDateTime"]}
    assert admin.post(f"{role}/confirm", json=confirmed).is_success
    ok(officer.put(role, json={"roles": [], "authority": "letter"}))
    profile = {"displayName": "Sources", "enrollmentMode": "corporateOwnedFullyManaged"}
    created(admin.post("/beta/deviceManagement/androidDeviceOwnerEnrollmentProfiles", json=profile))
    return admin


def test_what_a_request_does_has_its_address_and_what_the_site_does_has_none(site: WholeSite) -> None:
    with origins(site) as found:
        card = site.card_for("source-alice")
        browser = site.browser(card)
        signed_in = site_pages.expect(site_pages.sign_in(browser, site.url), "signed_in")
        browser.submit(signed_in.form(action="/idp/sign-out"))
        site.derive(site.enroll(site.new_phone(), card), card).check_in()
        admin = give_roles_and_rules(site)
        assert admin.delete(f"/beta/users/{site.person('source-alice').id}").is_success
        site.settle()
    by_requests, by_the_site = found.of_requests(), found.of_the_site()
    names = {row["name"] for row in by_requests}
    assert names >= ASKED_FOR, ASKED_FOR - names
    assert {(row["name"], row["source"]) for row in by_requests} == {(name, LOOPBACK) for name in names}
    assert {row["source"] for row in by_the_site} <= {"", "worker"}
    worked = {row["name"] for row in by_the_site if row["actor"] != TEST}
    assert {"idp:account:ended", "issuer:derivation:ended", "ca:certificate:revoked"} <= worked
