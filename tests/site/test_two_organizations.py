# SPDX-License-Identifier: Apache-2.0
"""Two whole organisations of one name on one host at one time: nothing of one is worth anything at the other."""

import uuid
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx
import pytest
from joserfc import jwt

from etymon.directory import bindings
from etymon.issuer.model import Purpose
from etymon.kernel.errors import EtymonError
from etymon.phone.screen import UserCode
from etymon.server import wiring
from etymon.server.demo.browser import Browser
from etymon.server.demo.page import read_page
from support import site_pages
from support.phone_messages import Enrolling, Linking, invitation, told
from support.whole_site import WholeSite

pytestmark = pytest.mark.xdist_group("organizations")

MANAGEMENT = "/issuer/management/v1/issuer"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a browser holds between certauth and its return to the site."""

    browser: Browser
    code: str

    def cookies(self) -> str:
        return "; ".join(f"{name}={value}" for (_, name), value in self.browser.cookies.items())

    def given_to(self, site: WholeSite, service: str) -> tuple[int, str]:
        """Send the code where certauth's page would send it."""
        answer = site.client().post(
            f"/{service}/certauth/return",
            data={"code": self.code},
            headers={"cookie": self.cookies(), "origin": site.deployment.settings.certauth_url},
        )
        return answer.status_code, read_page(str(answer.url), answer).code


def proof(site: WholeSite, name: str, service: str) -> Proof:
    """Prove a card and stop before the browser goes back."""
    door = {"idp": site_pages.sign_in, "issuer": site_pages.present_card}[service]
    browser = site.browser()
    page = site_pages.expect(door(browser, site.url), "no_certificate", 401)
    answer = site.client(site.card_for(name).identity()).get(page.url)
    return Proof(browser, read_page(page.url, answer).forms[0].fields["code"])


@pytest.mark.parametrize("service", ["idp", "issuer"])
def test_a_proof_is_worth_something_where_it_was_asked_for_and_nowhere_else(
    site: WholeSite, other_site: WholeSite, service: str
) -> None:
    held = proof(site, f"two-proof-{service}", service)
    elsewhere = "issuer" if service == "idp" else "idp"
    for place, at in ((other_site, service), (site, elsewhere), (other_site, elsewhere)):
        before = place.state()
        assert held.given_to(place, at) == (403, "proof_not_valid")
        assert place.state() == before
    assert held.given_to(site, service) == (303, "")
    assert held.given_to(site, service) == (403, "proof_not_valid")  # once


def test_a_browser_that_is_signed_in_here_is_nobody_there(site: WholeSite, other_site: WholeSite) -> None:
    browser = site.browser(site.card_for("two-browser"))
    site_pages.expect(site_pages.sign_in(browser, site.url), "signed_in")
    site_pages.expect(site_pages.present_card(browser, site.url), "home")
    there = other_site.browser()
    there.cookies = dict(browser.cookies)  # a browser does not tell ports apart (RFC 6265 section 8.5)
    assert browser.cookies
    site_pages.expect(there.get(f"{other_site.url}/idp/account"), "sign_in")
    there.cookies = dict(browser.cookies)
    site_pages.expect(there.get(f"{other_site.url}/issuer/"), "start")
    site_pages.expect(browser.get(f"{site.url}/idp/account"), "signed_in")


def test_enrollment_does_not_cross(site: WholeSite, other_site: WholeSite) -> None:
    here, there = Enrolling(site), Enrolling(other_site)
    assert told(there.begin(invitation(site).token.reveal())) == (403, "enrollment_token_unknown")
    assert here.begin().status_code == 201
    assert there.begin().status_code == 201
    assert told(there.start(here.assertion)) == (400, "invalid_request")
    assert here.start().is_success
    assert there.start().is_success
    assert told(there.poll(device_code=here.grant["device_code"])) == (400, "invalid_grant")

    bob = other_site.browser(other_site.card_for("two-bob"))
    page = site_pages.enter_code(bob, UserCode(here.user_code.code, f"{other_site.url}/idp/device", site.clock.now()))
    site_pages.expect(page, "user_code_unknown", 404)

    site_pages.approve(site.browser(site.card_for("two-alice")), here.user_code)
    tokens = here.poll().json()
    here_session, there_session = here.session, there.session
    before = other_site.state()
    assert told(there.complete(tokens["access_token"]))[0] == 401
    there.session = here_session
    assert told(there.complete(tokens["access_token"]))[0] == 401
    assert there.http.get("/idp/userinfo", headers=bearer(tokens["access_token"])).status_code == 401
    assert other_site.state() == before
    there.session = there_session
    assert here.complete(tokens["access_token"]).is_success
    site_pages.approve(bob, there.user_code)
    assert there.complete(there.poll().json()["access_token"]).is_success


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_links_and_authorizations_do_not_cross(site: WholeSite, other_site: WholeSite) -> None:
    browser = site.browser(site.card_for("two-linker"))
    mine = site.enroll(site.new_phone(), site.card_for("two-linker"))
    theirs = other_site.enroll(other_site.new_phone(), other_site.card_for("two-linker"))
    site_pages.expect(site_pages.present_card(browser, site.url), "home")
    link = Linking(site, site_pages.show_code(browser, site.url))
    here = link.client(mine.identity)
    there = other_site.client(theirs.identity, base_url=other_site.device_url)

    assert told(link.redeem(there)) == (404, "link_unknown")
    with pytest.raises(EtymonError) as refused:  # the phone has the other organisation's pin and issuer
        theirs.phone.set_up_derived_credential(link.shown.image, theirs)
    assert refused.value.code == "server_unreachable"  # its device identity is not let in there

    site_pages.confirm(browser, link.shown.page, link.redeem(here).json()["digits"])
    assert told(link.ask(there)) == (404, "link_unknown")
    authorization = link.ask(here).json()["authorization"]
    before = other_site.state()
    assert told(link.enroll(there, authorization, Purpose.AUTHENTICATION)) == (401, "authorization_unknown")
    assert other_site.state() == before
    assert link.enroll(here, authorization, Purpose.AUTHENTICATION).is_success
    (derivation,) = [row for row in site.rows("issuer_derivations") if row["id"] == link.code.link]
    (approval,) = [
        row for row in site.rows("idp_device_authorizations") if row["person_id"] == site.person("two-linker").id
    ]
    for path in (f"/issuer/undo/{derivation['undo_id']}", f"/idp/undo/{approval['undo_id']}"):
        assert site.client().get(path).status_code == 200
        assert other_site.client().get(path).status_code == 404


def test_programs_of_one_are_strangers_at_the_other(site: WholeSite, other_site: WholeSite) -> None:
    def ask(place: WholeSite, at: WholeSite) -> httpx.Response:
        """Have the endpoint manager of `place` ask for a management token at an issuer, addressed to that issuer."""
        now = int(place.clock.now().timestamp())
        claims = {
            "iss": wiring.ENDPOINT_MANAGER_CLIENT,
            "sub": wiring.ENDPOINT_MANAGER_CLIENT,
            "aud": f"{at.url}/issuer/oauth/token",
            "iat": now,
            "exp": now + 60,
            "jti": str(uuid.uuid4()),
        }
        key = wiring.endpoint_manager_key(place.deployment)
        form = {
            "grant_type": "client_credentials",
            "scope": "management",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode({"alg": "ES256"}, claims, key),
        }
        return at.client().post("/issuer/oauth/token", data=form)

    assert told(ask(other_site, site)) == (401, "invalid_client")
    token = ask(site, site).json()["access_token"]
    assert site.client().get(MANAGEMENT, headers=bearer(token)).is_success
    assert told(other_site.client().get(MANAGEMENT, headers=bearer(token))) == (401, "token_not_valid")


def test_a_binding_code_binds_where_it_was_issued(site: WholeSite, other_site: WholeSite) -> None:
    site.card_for("two-binder")
    with site.deployment.database.transaction() as tx:
        code = bindings.issue_code(tx, site.wiring.directory, person_id=site.person("two-binder").id, actor="test")

    def typed(place: WholeSite) -> tuple[int, str]:
        browser = place.browser(place.unbound_card("two-binder"))
        page = browser.get(f"{place.url}/idp/binding")
        page = browser.submit(page.form(action="/idp/binding/proof"))
        page = browser.submit(page.form(action="/idp/binding/code"), {"code": code.reveal()})
        return page.status, page.code

    assert typed(other_site) == (403, "binding_code_refused")
    assert typed(site) == (200, "card_bound")


def test_a_phone_does_not_believe_the_other_organisations_servers(site: WholeSite, other_site: WholeSite) -> None:
    code = invitation(other_site)
    assert urlsplit(code.server).hostname == urlsplit(site.url).hostname
    stray = site.new_phone()
    stray.phone.provision(site.enrollment_image())
    taken = stray.phone.device.state.invitation
    assert taken is not None
    stray.phone.device.change(invitation=replace(taken, server=code.server))  # led to the servers of there
    before = other_site.traffic.position()
    with pytest.raises(EtymonError) as refused:
        stray.phone.enroll(stray.show)
    assert refused.value.code == "server_pin"
    assert not [said for said in other_site.traffic.since(before) if taken.token.reveal().encode() in said.octets()]
