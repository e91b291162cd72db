# SPDX-License-Identifier: Apache-2.0
"""Twenty at once: what may happen once happens once, whoever is first, on either database."""

import base64
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from etymon.issuer.model import Purpose
from etymon.pki.certificate import spki, thumbprint
from etymon.server.demo.browser import Browser
from etymon.server.demo.page import read_page
from etymon.wire import est
from support import issued_identities, site_pages
from support.ca_site import csr_der
from support.issuer_phone import Phone
from support.phone_messages import Enrolling, Linking, told
from support.site_pages import expect
from support.whole_site import WholeSite

MANY = 20
T = TypeVar("T")


def at_once(acts: Sequence[Callable[[], T]]) -> list[T]:
    """Do all of it at the same moment; return what came of each."""
    start = threading.Barrier(len(acts))

    def act(what: Callable[[], T]) -> T:
        start.wait()
        return what()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(act, acts))


def shown(site: WholeSite, name: str) -> tuple[Browser, Linking]:
    """Have somebody's link code shown."""
    browser = site.browser(site.card_for(name))
    expect(site_pages.present_card(browser, site.url), "home")
    return browser, Linking(site, site_pages.show_code(browser, site.url))


def authorized(site: WholeSite, name: str) -> tuple[Linking, httpx.Client, str]:
    """Link a phone as far as its authorization."""
    browser, link = shown(site, name)
    client = link.client(issued_identities.device(site))
    site_pages.confirm(browser, link.shown.page, link.redeem(client).json()["digits"])
    return link, client, link.ask(client).json()["authorization"]


def test_of_twenty_phones_that_redeem_a_link_one_has_it(either_site: WholeSite) -> None:
    site = either_site
    browser, link = shown(site, "race-redeem")
    devices = [issued_identities.device(site) for _ in range(MANY)]
    phones = [Linking(site, link.shown, Phone(None)) for _ in devices]
    clients = [link.client(device) for device in devices]
    answers = at_once([partial(one.redeem, client) for one, client in zip(phones, clients, strict=True)])
    assert Counter(map(told, answers)) == {(200, ""): 1, (409, "link_already_redeemed"): MANY - 1}
    winner = next(number for number, answer in enumerate(answers) if answer.is_success)
    (row,) = [row for row in site.rows("issuer_derivations") if row["id"] == link.code.link]
    assert row["device_thumbprint"] == thumbprint(devices[winner].certificate)
    assert row["link_key"] == phones[winner].phone.spki
    again = at_once([partial(phones[winner].redeem, clients[winner])] * MANY)  # the same answer, however often
    assert {answer.text for answer in again} == {answers[winner].text}
    site_pages.confirm(browser, link.shown.page, answers[winner].json()["digits"])
    asked = at_once([partial(one.ask, client) for one, client in zip(phones, clients, strict=True)])
    assert [number for number, answer in enumerate(asked) if answer.is_success] == [winner]


def test_the_same_request_is_answered_with_the_same_certificate(either_site: WholeSite) -> None:
    link, client, authorization = authorized(either_site, "race-same")
    link.phone.body(Purpose.AUTHENTICATION)  # made once, sent by all
    answers = at_once([partial(link.enroll, client, authorization, Purpose.AUTHENTICATION)] * MANY)
    assert {answer.status_code for answer in answers} == {200}
    (content,) = {answer.content for answer in answers}
    (certificate,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(content))
    key = spki(link.phone.key.public_key())
    issued = [row for row in either_site.rows("ca_certificates") if row["der"] and key in row["der"]]
    assert [int(row["serial"], 16) for row in issued] == [certificate.serial_number]


def test_an_authorization_is_good_for_one_request_for_each_purpose(either_site: WholeSite) -> None:
    link, client, authorization = authorized(either_site, "race-other")
    phones = [Phone(None, key=link.phone.key) for _ in range(MANY)]
    for phone in phones:
        phone.bodies[Purpose.AUTHENTICATION] = est.encode_body(csr_der(link.phone.key, f"{id(phone)}"))
    others = [Linking(link.site, link.shown, phone) for phone in phones]
    answers = at_once([partial(one.enroll, client, authorization, Purpose.AUTHENTICATION) for one in others])
    assert Counter(map(told, answers)) == {(200, ""): 1, (409, "authorization_used"): MANY - 1}
    person = either_site.person("race-other").id
    assert len([row for row in either_site.rows("issuer_credentials") if row["person_id"] == person]) == 1


def test_a_device_code_gives_tokens_once_and_a_session_one_phone(either_site: WholeSite) -> None:
    site = either_site
    phone = Enrolling(site)
    assert phone.begin().is_success
    assert phone.start().is_success
    site_pages.approve(site.browser(site.card_for("race-code")), phone.user_code)
    answers = at_once([phone.poll] * MANY)
    assert Counter(map(told, answers)) == {(200, ""): 1, (400, "invalid_grant"): MANY - 1}
    (token,) = [answer.json()["access_token"] for answer in answers if answer.is_success]
    # the endpoint manager knows the provider's keys from here on; while it asks, it refuses a crowd with 503
    assert told(phone.complete(token, sessionSecret="x" * 43)) == (404, "enrollment_session_unknown")
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(MANY)]
    answers = at_once([partial(phone.complete, token, key) for key in keys])
    assert Counter(map(told, answers)) == {(200, ""): 1, (409, "session_already_completed"): MANY - 1}
    person = site.person("race-code").id
    assert len([row for row in site.rows("managed_devices") if row["person_id"] == person]) == 1


@pytest.mark.parametrize("service", ["idp", "issuer"])
def test_a_proof_opens_one_session(site: WholeSite, service: str) -> None:
    door = {"idp": site_pages.sign_in, "issuer": site_pages.present_card}[service]
    browser = site.browser()
    page = expect(door(browser, site.url), "no_certificate", 401)
    card = site.card_for(f"race-{service}").identity()
    form = read_page(page.url, site.client(card).get(page.url)).forms[0]
    cookie = "; ".join(f"{name}={value}" for (_, name), value in browser.cookies.items())
    headers = {"cookie": cookie, "origin": site.deployment.settings.certauth_url}
    url = f"{site.url}/{service}/certauth/return"
    answers = at_once([lambda: site.client().post(url, data=form.fields, headers=headers).status_code] * MANY)
    assert Counter(answers) == {303: 1, 403: MANY - 1}
    person = site.person(f"race-{service}").id
    assert len([row for row in site.rows(f"{service}_sessions") if row["person_id"] == person]) == 1
