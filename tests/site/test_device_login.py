# SPDX-License-Identifier: Apache-2.0
"""Device login is what a phisher would like to borrow: what the phone may start, and what a person must see and do."""

import time
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from etymon.mdm import enrollment_profiles
from etymon.server import wiring
from etymon.server.wiring import ADMINISTRATION_CLIENT
from support import phone_messages, site_pages
from support.phone_messages import Enrolling, told
from support.site_pages import expect
from support.whole_site import DOMAIN, TEST, WholeSite


@pytest.fixture
def phone(site: WholeSite) -> Enrolling:
    """A phone in a live enrollment session."""
    phone = Enrolling(site)
    assert phone.begin().status_code == 201
    return phone


def test_the_answer_has_nothing_that_could_be_sent_in_a_mail(phone: Enrolling) -> None:
    answer = phone.start().json()
    assert set(answer) == {"device_code", "user_code", "verification_uri", "expires_in", "interval"}
    assert answer["verification_uri"] == f"{phone.site.url}/idp/device"
    assert (answer["expires_in"], answer["interval"]) == (300, 5)
    page = phone.site.browser().get(f"{answer['verification_uri']}?user_code={answer['user_code']}")
    assert answer["user_code"] not in page.text, "the page takes no code from its address"


def forged(site: WholeSite, key: ECKey | None = None, **changes: object) -> str:
    now = int(site.clock.now().timestamp())
    claims = {
        "iss": f"{site.url}/mdm",
        "aud": f"{site.url}/idp",
        "jti": "forged",
        "iat": now,
        "exp": now + 300,
        "enrollment_session": "00000000-0000-4000-8000-000000000000",
        "device": {"manufacturer": "M", "model": "M", "serial_number": "S", "os_version": "14"},
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": "ES256"}, kept, key or wiring.endpoint_manager_key(site.deployment))


def test_only_the_endpoint_manager_says_that_a_phone_may_start(phone: Enrolling) -> None:
    site = phone.site
    now = int(time.time())
    refused = {
        "none at all": "",
        "no token": "x",
        "another key": forged(site, ECKey.generate_key("P-256")),
        "for somebody else": forged(site, aud="https://elsewhere.example/idp"),
        "by somebody else": forged(site, iss="https://elsewhere.example/mdm"),
        "over": forged(site, iat=now - 1200, exp=now - 600),
        "too long": forged(site, exp=now + 3600),
        "no session": forged(site, enrollment_session=None),
        "no device": forged(site, device=None),
        "an access token": "",
    }
    site_pages.approve(site.browser(site.card_for("phish-token")), started(phone).user_code)
    refused["an access token"] = phone.poll().json()["access_token"]
    before = site.state()
    for what, assertion in refused.items():
        status, code = told(phone.start(assertion))
        assert (status, code in {"invalid_request", "invalid_scope"}) == (400, True), what
    assert told(phone.start(client_id="nobody")) == (401, "invalid_client")
    assert told(phone.start(client_id=ADMINISTRATION_CLIENT)) == (400, "invalid_scope")
    assert told(phone.start(scope="openid administration"))[0] == 400
    assert site.state() == before


def started(phone: Enrolling) -> Enrolling:
    assert phone.start().is_success
    return phone


def test_starting_again_ends_what_was_started_before(phone: Enrolling) -> None:
    site = phone.site
    first = started(phone).user_code, phone.grant
    phone.session["identityProvider"]["enrollmentAssertion"] = phone.fresh_assertion().json()["enrollmentAssertion"]
    second = started(phone).user_code
    browser = site.browser(site.card_for("phish-again"))
    expect(site_pages.enter_code(browser, first[0]), "user_code_unknown", 404)
    assert told(phone.poll(device_code=first[1]["device_code"])) == (400, "invalid_grant")
    site_pages.approve(browser, second)
    assert phone.poll().is_success
    assert told(phone.poll()) == (400, "invalid_grant"), "a code that was used"


def test_another_who_guesses_the_session_gets_no_assertion(phone: Enrolling) -> None:
    assert told(phone.fresh_assertion(sessionSecret="x" * 43)) == (404, "enrollment_session_unknown")


def test_the_page_shows_which_phone_who_approves_and_what_follows(phone: Enrolling) -> None:
    site = phone.site
    browser = site.browser(site.card_for("phish-shown"))
    page = expect(site_pages.enter_code(browser, started(phone).user_code), "device_found")
    for fact in ("Google", "Pixel 9", "SN-BY-HAND"):
        assert fact in page.words
    page = expect(site_pages.prove_for_approval(browser, page), "device_decision")
    for fact in ("Google", "Pixel 9", "SN-BY-HAND", "Phish-Shown Example", f"phish-shown@{DOMAIN}"):
        assert fact in page.words
    page = browser.submit(page.form(action="/idp/device/decision"), button="deny")
    expect(page, "device_denied")
    assert told(phone.poll()) == (400, "access_denied")
    assert not site.mail.mails(f"phish-shown@{DOMAIN}")[1:], "only the notice of the card that was bound"


def test_no_earlier_sign_in_and_no_derived_credential_approves(phone: Enrolling) -> None:
    site = phone.site
    card, held = site.card_for("phish-earlier"), site.phone_of("phish-earlier")
    held.unlock()
    started(phone)
    signed_in = site.browser(card)
    expect(site_pages.sign_in(signed_in, site.url), "signed_in")
    page = expect(site_pages.enter_code(signed_in, phone.user_code), "device_found")
    authorization = page.form(action="/idp/device/proof").fields["authorization"]
    for proof in ("", f"&proof={authorization}"):
        page = signed_in.get(f"{site.url}/idp/device/decision?authorization={authorization}{proof}")
        assert page.status in {403, 404}
        assert not page.forms

    derived = site.browser(held.credential())
    expect(site_pages.sign_in(derived, site.url), "signed_in")
    page = site_pages.prove_for_approval(derived, site_pages.enter_code(derived, phone.user_code))
    expect(page, "wrong_certificate_kind", 403)
    assert told(phone.poll()) == (400, "authorization_pending")


def test_a_proof_approves_the_one_device_it_was_made_for(phone: Enrolling) -> None:
    site = phone.site
    card = site.card_for("phish-one")
    other = Enrolling(site)
    assert other.begin().is_success
    browser = site.browser(card)
    page = site_pages.prove_for_approval(browser, site_pages.enter_code(browser, started(phone).user_code))
    form = expect(page, "device_decision").form(action="/idp/device/decision")
    shown = site_pages.enter_code(browser, started(other).user_code)
    others = expect(shown, "device_found").form(action="/idp/device/proof").fields["authorization"]
    page = browser.submit(form, {"authorization": others}, button="approve")
    expect(page, "proof_not_valid", 403)
    assert told(other.poll()) == (400, "authorization_pending")
    stranger = site.browser()
    stranger.get(f"{site.url}/idp/device")
    assert stranger.page is not None
    csrf = stranger.page.form(action="/idp/device").fields["csrf"]
    page = stranger.submit(form, {"csrf": csrf}, button="approve")  # all but the browser itself
    assert page.status in {403, 404}
    assert told(phone.poll()) == (400, "authorization_pending")
    expect(browser.submit(form, button="approve"), "device_approved")
    assert phone.poll().is_success
    assert told(other.poll())[1] in {"authorization_pending", "slow_down"}


def test_no_other_site_can_have_a_browser_approve(phone: Enrolling) -> None:
    site = phone.site
    browser = site.browser(site.card_for("phish-csrf"))
    page = site_pages.prove_for_approval(browser, site_pages.enter_code(browser, started(phone).user_code))
    form = expect(page, "device_decision").form(action="/idp/device/decision")
    cookie = "; ".join(f"{name}={value}" for (_, name), value in browser.cookies.items())
    fields = {**form.fields, "decision": "approve"}
    url = f"{site.url}/idp/device/decision"
    hostile = {
        "from elsewhere": ({"origin": "https://elsewhere.example"}, fields),
        "from certauth": ({"origin": site.deployment.settings.certauth_url}, fields),
        "from a sandbox": ({"origin": "null"}, fields),
        "without the token": ({"origin": site.url}, {**fields, "csrf": ""}),
        "with another token": ({"origin": site.url}, {**fields, "csrf": "0" * 64}),
    }
    for what, (headers, sent) in hostile.items():
        answer = site.client().post(url, data=sent, headers={"cookie": cookie, **headers})
        assert answer.status_code == 403, what
        assert told(phone.poll())[1] in {"authorization_pending", "slow_down"}, what
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    assert site.client().get(f"{url}?{query}", headers={"cookie": cookie}).status_code == 200  # it asks, and no more
    assert told(phone.poll())[1] in {"authorization_pending", "slow_down"}


def test_the_token_enrolls_that_one_phone(phone: Enrolling) -> None:
    site = phone.site
    other = Enrolling(site)
    assert other.begin().is_success
    site_pages.approve(site.browser(site.card_for("phish-token-2")), started(phone).user_code)
    token = phone.poll().json()["access_token"]
    before = site.state()
    assert told(other.complete(token)) == (403, "other_session")
    assert site.client().get("/graph/beta/me", headers={"Authorization": f"Bearer {token}"}).status_code in {
        401,
        403,
        404,
    }
    assert site.state() == before
    key = ec.generate_private_key(ec.SECP256R1())
    assert phone.complete(token, key).is_success
    assert phone.complete(token, key).is_success, "the same again"
    assert told(phone.complete(token)) == (409, "session_already_completed")


def test_five_wrong_codes_are_enough(own_site: WholeSite) -> None:
    site = own_site
    phone = Enrolling(site)
    assert phone.begin().is_success
    started(phone)
    browser = site.browser(site.card_for("alice"))
    for _ in range(5):
        page = browser.get(phone.grant["verification_uri"])
        expect(browser.submit(page.form(action="/idp/device"), {"code": "BBBB-BBBB"}), "user_code_unknown", 404)
    page = site_pages.enter_code(browser, phone.user_code)
    assert (page.status, page.code) == (429, "too_many_tries")
    fresh = site_pages.enter_code(site.browser(site.card_for("alice")), phone.user_code)
    assert fresh.status == 429, "another browser at the same address is no way round"


def test_a_code_lives_five_minutes_and_a_session_fifteen(own_site: WholeSite) -> None:
    site = own_site
    phone = Enrolling(site)
    assert phone.begin().is_success
    browser = site.browser(site.card_for("alice"))
    page = site_pages.prove_for_approval(browser, site_pages.enter_code(browser, started(phone).user_code))
    form = expect(page, "device_decision").form(action="/idp/device/decision")
    site.turn(minutes=5)
    page = browser.submit(form, button="approve")
    assert (page.status, page.code) == (409, "device_not_waiting")
    assert told(phone.poll()) == (400, "expired_token")
    expect(site_pages.enter_code(browser, phone.user_code), "user_code_unknown", 404)

    site.turn(minutes=9)
    phone.session["identityProvider"]["enrollmentAssertion"] = phone.fresh_assertion().json()["enrollmentAssertion"]
    site_pages.approve(browser, started(phone).user_code)
    token = phone.poll().json()["access_token"]
    site.turn(minutes=2)
    before = site.state()
    assert told(phone.fresh_assertion()) == (410, "enrollment_session_expired")
    assert told(phone.complete(token)) == (410, "enrollment_session_expired")
    assert site.state() == before


def test_the_token_of_the_code_lives_as_long_as_it_was_given(own_site: WholeSite) -> None:
    site, mdm = own_site, own_site.wiring.mdm
    phone = Enrolling(site)
    assert told(phone.begin("A" * 32)) == (403, "enrollment_token_unknown")
    with site.deployment.database.transaction() as tx:
        (profile,) = enrollment_profiles.page(tx, mdm, after=None, limit=2)
        enrollment_profiles.create_token(tx, mdm, profile.id, lifetime=timedelta(days=1), actor=TEST)
    assert phone.begin().is_success
    site.turn(days=1)
    assert told(phone.begin()) == (410, "enrollment_token_expired")
    token = phone_messages.invitation(site).token
    with site.deployment.database.transaction() as tx:
        enrollment_profiles.revoke_token(tx, mdm, profile.id, actor=TEST)
    assert told(phone.begin(token.reveal())) == (403, "enrollment_token_unknown")
