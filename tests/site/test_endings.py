# SPDX-License-Identifier: Apache-2.0
"""How things end: the account, the phone, what was not meant. Everything ends, at once, and everybody can see it."""

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.ca import authorities
from etymon.directory import bindings, people
from etymon.mdm import lifecycle
from etymon.phone.state import Purpose
from etymon.server.demo.peers import openssl_status
from etymon.server.wiring import ADMINISTRATION_CLIENT
from support import card_office, phone_messages, site_pages
from support.held_phone import HeldPhone
from support.phone_messages import Enrolling, Linking, told
from support.site_pages import expect
from support.whole_site import ALL_PURPOSES, DOMAIN, WholeSite

OCTETS = dict[str, bytes]


def certificates(held: HeldPhone) -> OCTETS:
    """Return what a phone holds as PEM, to be asked about when the phone has forgotten it."""
    found = {purpose.value: held.credential(purpose).certificate for purpose in Purpose}
    found["device"] = held.identity.certificate
    return {name: one.public_bytes(Encoding.PEM) for name, one in found.items()}


def ocsp(site: WholeSite, held: OCTETS, directory: Path) -> dict[str, str]:
    """Have OpenSSL ask the responders; return each certificate's status."""
    statuses = {}
    for name, pem in held.items():
        ca = "device" if name == "device" else "derived"
        with site.deployment.database.snapshot() as tx:
            issuing, root = (
                authorities.load(tx, one).certificate.public_bytes(Encoding.PEM) for one in (ca, f"{ca}-root")
            )
        file = directory / f"{name}.pem"
        file.write_bytes(pem)
        judged = openssl_status.ask(
            file, issuer=issuing, responder=f"{site.status_url}/ocsp/{ca}", anchors=root + issuing, directory=directory
        )
        statuses[name] = judged.reason.rpartition(": ")[2] or "good"
    return statuses


GOOD = {"authentication": "good", "signature": "good", "encryption": "good", "device": "good"}
CREDENTIALS_REVOKED = {**GOOD, "authentication": "revoked", "signature": "revoked", "encryption": "revoked"}
ALL_REVOKED = {**CREDENTIALS_REVOKED, "device": "revoked"}


def reasons(site: WholeSite, name: str) -> set[str]:
    """Return why somebody's credentials were ended."""
    person = site.person(name).id
    return {row["end_reason"] for row in site.rows("issuer_credentials") if row["person_id"] == person}


def link_in_mail(site: WholeSite, name: str, path: str) -> str:
    """Return the link of the latest notice that has one."""
    pattern = re.compile(rf"{re.escape(site.url)}{path}/[0-9a-f-]{{36}}".encode())
    address = f"{name}@{DOMAIN}"
    assert site.mail.wait_for(address, lambda content: bool(pattern.search(content)))
    found = [match.group(0).decode() for mail in site.mail.mails(address) if (match := pattern.search(mail.content))]
    return found[-1]


@pytest.mark.needs("openssl")
def test_with_the_account_everything_ends(either_site: WholeSite, tmp_path: Path) -> None:
    site = either_site
    alice, bob = site.card_for("end-alice", group=ALL_PURPOSES), site.card_for("end-bob")
    held, other = site.phone_of("end-alice", group=ALL_PURPOSES), site.phone_of("end-bob")
    held.unlock()
    other.unlock()
    known = certificates(held)
    assert ocsp(site, known, tmp_path) == GOOD
    browser, bobs = site.browser(alice), site.browser(bob)
    for each in (browser, bobs):
        expect(site_pages.sign_in(each, site.url), "signed_in")
        expect(site_pages.present_card(each, site.url), "home")
    tool = Enrolling(site)
    assert tool.start("", client_id=ADMINISTRATION_CLIENT, scope="openid offline_access").is_success
    site_pages.approve(browser, tool.user_code)
    tokens = tool.poll(client_id=ADMINISTRATION_CLIENT).json()
    half = Enrolling(site)
    assert half.begin().is_success
    assert half.start().is_success
    site_pages.approve(browser, half.user_code)
    access = half.poll().json()["access_token"]

    person = site.person("end-alice")
    with site.deployment.database.transaction() as tx:
        people.end_account(tx, site.wiring.directory, person.id, actor="test")
    site.settle()

    expect(browser.get(f"{site.url}/idp/account"), "sign_in")
    expect(browser.get(f"{site.url}/issuer/"), "start")
    form = {"grant_type": "refresh_token", "client_id": ADMINISTRATION_CLIENT, "refresh_token": tokens["refresh_token"]}
    assert told(tool.http.post("/idp/token", data=form)) == (400, "invalid_grant")
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert tool.http.get("/idp/userinfo", headers=bearer).status_code == 401
    assert told(half.complete(access)) == (403, "account_ended")
    expect(site_pages.sign_in(site.browser(alice), site.url), "certificate_not_bound", 403)
    expect(site_pages.present_card(site.browser(alice), site.url), "card_not_bound", 403)
    refused = site_pages.sign_in(site.browser(held.credential()), site.url)
    assert (refused.status, refused.code) == (403, "revoked_by_database")
    assert ocsp(site, known, tmp_path) == CREDENTIALS_REVOKED
    assert {row["end_reason"] for row in site.rows("issuer_credentials") if row["person_id"] == person.id} == {
        "affiliationChanged"
    }

    held.check_in()  # the phone learns of it, gives everything back, and says so
    assert (held.phone.status().membership, held.phone.status().certificates) == (None, ())
    site.settle()
    assert ocsp(site, known, tmp_path) == ALL_REVOKED

    expect(bobs.get(f"{site.url}/idp/account"), "signed_in")
    expect(bobs.get(f"{site.url}/issuer/"), "home")
    other.check_in()
    expect(site_pages.sign_in(site.browser(other.credential()), site.url), "signed_in")


@pytest.mark.needs("openssl")
def test_an_approval_that_was_not_meant_is_undone_by_the_link_of_its_notice(site: WholeSite, tmp_path: Path) -> None:
    card = site.card_for("undo-alice", group=ALL_PURPOSES)
    held = site.enroll(site.new_phone(), card)
    link = link_in_mail(site, "undo-alice", "/idp/undo")
    site.derive(held, card)
    known = certificates(held)
    browser = site.browser(card)
    expect(site_pages.sign_in(browser, site.url), "signed_in")

    reader = site.browser()  # whoever has the notice, and no card
    before = site.state()
    page = expect(reader.get(link), "undo")
    assert "Pixel 9" in page.words
    assert site.state() == before, "opening the link ends nothing: programs open links in mail too"
    hostile = site.client().post(link, data={}, headers={"origin": "https://elsewhere.example"})
    assert hostile.status_code == 403
    assert site.state() == before
    expect(reader.submit(page.form()), "undone")
    site.settle()

    expect(browser.get(f"{site.url}/idp/account"), "sign_in")
    assert ocsp(site, known, tmp_path) == CREDENTIALS_REVOKED
    assert reasons(site, "undo-alice") == {"keyCompromise"}
    held.check_in()
    site.settle()
    assert ocsp(site, known, tmp_path) == ALL_REVOKED
    expect(reader.get(link), "already_ended")
    assert site.client().get(f"{link[:-12]}{'0' * 12}").status_code == 404


def test_an_approval_is_undone_before_the_phone_made_anything_of_it(site: WholeSite) -> None:
    card = site.card_for("undo-early")
    for polled in (False, True):
        phone = Enrolling(site)
        assert phone.begin().is_success
        assert phone.start().is_success
        site_pages.approve(site.browser(card), phone.user_code)
        token = phone.poll().json()["access_token"] if polled else ""
        site.settle()
        reader = site.browser()
        page = reader.get(link_in_mail(site, "undo-early", "/idp/undo"))
        expect(reader.submit(expect(page, "undo").form()), "undone")
        site.settle()
        if polled:
            assert told(phone.complete(token)) == (403, "enrollment_cancelled")
        else:
            assert told(phone.poll()) == (400, "invalid_grant")
        assert not [row for row in site.rows("managed_devices") if row["person_id"] == site.person("undo-early").id]


@pytest.mark.needs("openssl")
def test_credentials_that_were_not_meant_are_undone_by_the_link_of_their_notice(
    site: WholeSite, tmp_path: Path
) -> None:
    held = site.phone_of("undo-link", group=ALL_PURPOSES)
    known = certificates(held)
    link = link_in_mail(site, "undo-link", "/issuer/undo")
    reader = site.browser()
    before = site.state()
    page = expect(reader.get(link), "undo")
    assert site.client().post(link, headers={"origin": "https://elsewhere.example"}).status_code == 403
    assert site.state() == before
    expect(reader.submit(page.form(action="/issuer/undo")), "undone")
    assert ocsp(site, known, tmp_path) == CREDENTIALS_REVOKED
    assert reasons(site, "undo-link") == {"keyCompromise"}
    expect(reader.get(link), "undo_over")
    held.check_in()
    assert held.phone.status().membership is not None, "the phone stays enrolled"
    site.settle()
    held.check_in()
    assert held.phone.status().certificates == (), "and has lost what was ended"


@pytest.mark.needs("openssl")
def test_a_card_that_is_taken_from_its_person_takes_along_what_it_made_lately(
    either_site: WholeSite, tmp_path: Path
) -> None:
    site = either_site
    card = site.card_for("taken", group=ALL_PURPOSES)
    known, kept = (
        certificates(site.phone_of("taken", group=ALL_PURPOSES)),
        certificates(site.phone_of("not-taken", group=ALL_PURPOSES)),
    )
    browser = site.browser(card)
    expect(site_pages.present_card(browser, site.url), "home")
    with site.deployment.database.transaction() as tx:
        (binding,) = (
            one for one in bindings.bindings_of(tx, site.person("taken").id) if one.trust_entry == card_office.ENTRY
        )
        bindings.end(tx, site.wiring.directory, binding.id, reason="stolen", actor="test")
    site.settle()

    assert ocsp(site, known, tmp_path) == CREDENTIALS_REVOKED, "the phone itself was enrolled by its person"
    assert reasons(site, "taken") == {"keyCompromise"}
    expect(browser.get(f"{site.url}/issuer/"), "start")
    assert site.mail.wait_for(f"taken@{DOMAIN}", lambda content: b"taken from your account" in content)
    (derivation,) = (row["id"] for row in site.rows("issuer_derivations") if row["person_id"] == binding.person_id)
    found = [event for event in site.events("issuer:card:found_unbound") if event.event.subject == str(derivation)]
    assert len(found) == 1
    assert ocsp(site, kept, tmp_path) == GOOD


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("end", ["wipe", "retire"])
def test_a_phone_that_is_lost_takes_its_credentials_along(site: WholeSite, tmp_path: Path, end: str) -> None:
    held = site.phone_of(f"lost-{end}", group=ALL_PURPOSES)
    held.check_in()
    known = certificates(held)
    device = held.phone.status().membership
    assert device is not None
    since = site.traffic.position()
    with site.deployment.database.transaction() as tx:
        getattr(lifecycle, end)(tx, site.wiring.mdm, device.device, actor="test")
    site.settle()

    asked = [one for one in site.traffic.since(since) if one.path.startswith("/issuer/management/v1/invalidations/")]
    assert [(one.method, one.status) for one in asked] == [("PUT", 200)], "the issuer was asked over its API"
    assert ocsp(site, known, tmp_path) == CREDENTIALS_REVOKED, "a lost phone can still be told to wipe itself"
    assert reasons(site, f"lost-{end}") == {"keyCompromise" if end == "wipe" else "cessationOfOperation"}
    address = f"lost-{end}@{DOMAIN}"
    assert site.mail.wait_for(address, lambda content: b"were ended" in content)

    held.check_in()
    site.settle()
    assert held.phone.status().membership is None
    assert not held.phone.status().certificates
    assert ocsp(site, known, tmp_path) == ALL_REVOKED


def test_a_phone_that_was_let_go_gets_nothing_more(site: WholeSite) -> None:
    device, identity = phone_messages.enrolled(site, site.card_for("let-go"))
    client = site.client(identity, base_url=site.device_url)
    known = phone_messages.check_in(client).json()["version"]
    with site.deployment.database.transaction() as tx:
        lifecycle.wipe(tx, site.wiring.mdm, device, actor="test")
    site.settle()
    told_now = phone_messages.check_in(client, known=known).json()
    (command,) = told_now["commands"]
    assert command["type"] == "wipe"
    assert told_now["policies"] == []
    done = [{"command": command["command"], "state": "succeeded", "detail": ""}]
    assert phone_messages.check_in(client, known=told_now["version"], commands=done).status_code in {200, 204}
    assert told(phone_messages.check_in(client)) == (403, "device_not_managed")
    browser = site.browser(site.card_for("let-go"))
    expect(site_pages.present_card(browser, site.url), "home")
    link = Linking(site, site_pages.show_code(browser, site.url))
    status, code = told(link.redeem(link.client(identity)))
    assert (status, code) == (403, "revoked_by_database")


@pytest.mark.needs("openssl")
def test_a_phone_that_never_answers_is_let_go_after_a_month(own_site: WholeSite) -> None:
    device, identity = phone_messages.enrolled(own_site, own_site.card_for("silent"))
    client = own_site.client(identity, base_url=own_site.device_url)
    with own_site.deployment.database.transaction() as tx:
        lifecycle.retire(tx, own_site.wiring.mdm, device, actor="test")
    own_site.turn(days=31)
    own_site.settle()
    (row,) = own_site.rows("managed_devices")
    assert row["state"] == "retired"
    assert told(phone_messages.check_in(client)) == (403, "device_not_managed")
