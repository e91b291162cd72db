# SPDX-License-Identifier: Apache-2.0
"""One whole way through a site, and then a search for every secret and every private key that it used."""

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from etymon.directory import bindings, people
from etymon.kernel.secret import Secret
from etymon.mdm import lifecycle
from etymon.phone.key_store.store import KeyStore
from etymon.phone.state import Purpose
from etymon.pki import keys
from etymon.pki.keys import KeyDirectory
from etymon.server import logs
from etymon.server.deployment import PRIVATE_KEYS, SECRETS
from etymon.server.wiring import ADMINISTRATION_CLIENT
from support import founding, leaks, phone_messages, site_pages, spoken_secrets
from support.card_office import PASSPHRASE, Card
from support.held_phone import HeldPhone
from support.leaks import PrivateKey, forms, leaked, numbers
from support.phone_messages import Enrolling, Linking, told
from support.site_pages import expect
from support.whole_site import TEST, WITH_PASSWORD, WholeSite

pytestmark = pytest.mark.xdist_group("secrecy")


@dataclass(frozen=True, slots=True)
class Told:
    """What is left after the way was gone."""

    site: WholeSite
    cards: tuple[Card, ...]
    phone: HeldPhone
    typed: Mapping[str, str]
    """What people typed or keep in mind."""
    log: bytes

    @property
    def files(self) -> Mapping[str, bytes]:
        return leaks.files(self.site.directory)

    @property
    def spoken(self) -> Mapping[str, frozenset[str]]:
        return spoken_secrets.spoken(self.site.traffic.since())


@contextlib.contextmanager
def logging_to(file: Path) -> Iterator[None]:
    """Have everything logged as `etymon serve` logs it at its most talkative."""
    root = logging.getLogger()
    quieted = {name: logging.getLogger(name).level for name in logs.QUIET}
    configuration = structlog.get_config()
    with file.open("w") as log, contextlib.redirect_stderr(log):
        logs.configure("debug")
        handler = logging.StreamHandler(sys.stderr)
        before = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.removeHandler(handler)
            root.setLevel(before)
            for name, level in quieted.items():
                logging.getLogger(name).setLevel(level)
            structlog.configure(**configuration)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    directory = tmp_path_factory.mktemp("secrecy")
    with logging_to(directory / "log"), founding.founded(directory / "site") as site:
        cards, phone, typed = go_the_whole_way(site)
        site.settle()
        yield Told(site, cards, phone, typed, (directory / "log").read_bytes())


def go_the_whole_way(site: WholeSite) -> tuple[tuple[Card, ...], HeldPhone, Mapping[str, str]]:
    """Do everything once, and be refused now and then."""
    typed = {f"code of {name}": code.reveal() for name, code in site.codes.items()}
    alice, bob = site.card_for("alice", group=WITH_PASSWORD), site.card_for("bob")
    newcomer = site.unbound_card("bob")
    with site.deployment.database.transaction() as tx:
        code = bindings.issue_code(tx, site.wiring.directory, person_id=site.person("bob").id, actor=TEST)
    typed["binding code"] = code.reveal()
    browser = site.browser(newcomer)
    page = browser.submit(browser.get(f"{site.url}/idp/binding").form(action="/idp/binding/proof"))
    page = browser.submit(page.form(action="/idp/binding/code"), {"code": "AAAAA-BBBBB-CCCCC-DDDDD"})
    page = browser.submit(page.form(action="/idp/binding/code"), {"code": code.reveal().lower()})
    expect(page, "card_bound")

    held = site.enroll(site.new_phone(), alice)
    held.check_in()
    tool = Enrolling(site)
    assert tool.start("", client_id=ADMINISTRATION_CLIENT, scope="openid offline_access").is_success
    site_pages.approve(site.browser(alice), tool.user_code)
    tokens = tool.poll(client_id=ADMINISTRATION_CLIENT).json()
    form = {"grant_type": "refresh_token", "client_id": ADMINISTRATION_CLIENT, "refresh_token": tokens["refresh_token"]}
    assert tool.http.post("/idp/token", data=form).is_success
    assert told(tool.http.post("/idp/token", data=form)) == (400, "invalid_grant")  # reuse ends the family

    stray = Enrolling(site)
    assert told(stray.begin("B" * 32)) == (403, "enrollment_token_unknown")
    assert stray.begin().is_success
    assert told(stray.fresh_assertion(sessionSecret="c" * 43)) == (404, "enrollment_session_unknown")

    browser = site.browser(alice)
    expect(site_pages.present_card(browser, site.url), "home")
    shown = site_pages.show_code(browser, site.url)
    link = Linking(site, shown)
    typed["link secret"] = link.code.secret.reveal().hex()
    typed["link password"] = shown.password
    typed["link password, as it is shown"] = f"{shown.password[:4]} {shown.password[4:]}"
    typed["wrong link password"] = f"{(int(shown.password) + 1) % 10**8:08}"
    door = link.client(held.identity)
    assert told(link.redeem(door)) == (403, "link_password_required")
    assert told(link.redeem(door, secret="A" * 22, password=shown.password)) == (403, "link_password_wrong")
    assert told(link.redeem(door, password=shown.password + "0")) == (400, "malformed")
    held.numbers.append(typed["wrong link password"])
    site.link(held, browser, shown)
    held.check_in()
    held.unlock()
    expect(site_pages.sign_in(site.browser(held.credential()), site.url), "signed_in")
    typed["activation secret"] = held.secret.reveal()
    typed["enrollment token"] = phone_messages.invitation(site).token.reveal()
    typed["passphrase"] = PASSPHRASE.reveal()
    for name, card in (("alice", alice), ("bob", bob), ("newcomer", newcomer)):
        typed |= {f"PIN of {name}": card.pin.reveal(), f"PUK of {name}": card.puk.reveal()}

    other = site.phone_of("bob")
    membership = other.phone.status().membership
    assert membership is not None
    with site.deployment.database.transaction() as tx:
        lifecycle.wipe(tx, site.wiring.mdm, membership.device, actor=TEST)
        people.end_account(tx, site.wiring.directory, site.person("bob").id, actor=TEST)
    site.settle()
    other.check_in()
    return (alice, bob, newcomer), held, typed


def test_the_way_spoke_all_kinds_of_secrets(story: Told) -> None:
    assert {
        "cookie",
        "authorization header",
        "form client_assertion",
        "form device_code",
        "form enrollment_assertion",
        "form refresh_token",
        "hidden code",
        "hidden csrf",
        "json access_token",
        "json authorization",
        "json device_code",
        "json enrollmentAssertion",
        "json password",
        "json secret",
        "json sessionSecret",
        "json token",
        "json user_code",
        "page password",
    } <= set(story.spoken)
    assert len(story.log.splitlines()) > 50
    assert b"request_refused" in story.log


def secrets(story: Told) -> Mapping[str, bytes]:
    found = {f"{kind} {value[:6]}…": value.encode() for kind, values in story.spoken.items() for value in values}
    for what, value in story.typed.items():
        found[what] = bytes.fromhex(value) if what == "link secret" else value.encode()
        found[f"{what}, without hyphens"] = value.replace("-", "").encode()
    return found


def test_no_secret_is_in_a_log_a_mail_or_the_audit_trail(story: Told) -> None:
    mails = b"\n".join(mail.content for mail in story.site.mail.mails())
    trail = b"\n".join(repr(row).encode() for row in story.site.rows("audit_events"))
    assert len(mails) > 1000
    assert len(trail) > 1000
    assert not leaked(secrets(story), {"log": story.log, "mails": mails, "audit trail": trail})


def test_no_secret_is_in_any_file_of_the_site(story: Told) -> None:
    """The database with its log, keys, settings, mails, and the phone's own directory."""
    files = story.files
    assert sum(len(content) for content in files.values()) > 1_000_000
    assert any(name.endswith(".db") for name in files)
    assert not leaked(secrets(story), files)


def test_no_secret_is_in_an_address(story: Told) -> None:
    """Nor in what a browser tells other sites about where it came from."""
    addresses = []
    for exchange in story.site.traffic.since():
        addresses += [exchange.path, exchange.query, dict(exchange.headers).get("referer", "")]
    assert not leaked(secrets(story), {"addresses": "\n".join(addresses).encode()})


def test_no_person_is_in_a_log(story: Told) -> None:
    ours = b"\n".join(line for line in story.log.splitlines() if line.startswith(b'{"') and b'"logger"' not in line)
    people_ = {name: name.encode() for name in ("alice@agency.example", "Alice Example", "EXAMPLE.ALICE")}
    people_ |= {f"card {card.made.uuid}": card.made.uuid.encode() for card in story.cards}
    assert ours.count(b"request_refused") >= 3
    assert not leaked(people_, {"log": ours})


# ---- private keys


def test_the_search_finds_what_is_there(story: Told) -> None:
    value = bytes(range(40, 72))
    for form in forms(value):
        assert leaked({"value": value}, {"place": b"before" + form + b"after"}) == {("value", "place")}
    assert not leaked({"value": value}, {"place": value[:-1]})
    assert leaked({"code": b"\x01\x02"}, {"place": b"\x01\x02"}) == set(), "too short to mean anything"
    digest = b"0123456789abcdef" + b"12345678" + b"0123456789abcdef"
    for text in (b"pin=12345678", digest + b"12345678", b"12345678" + digest, digest[:30]):
        assert leaked({"pin": b"12345678"}, {"place": text}) == {("pin", "place")}
    assert not leaked({"pin": b"12345678"}, {"place": b'"' + digest + b'"'}), "chance"
    assert story.phone.phone.device.keys is not None


def private_keys(story: Told) -> Iterator[tuple[str, PrivateKey]]:
    """Give every private key there is: of cards, of the phone, of authorities, of services, of roots."""
    site = story.site
    for card in story.cards:
        for slot, key in card.stored.state.keys.items():
            yield f"card {card.made.file.name} {slot:02X}", key
    yield from phone_keys(story.phone.phone.device.keys)
    for name in PRIVATE_KEYS:
        yield name, site.deployment.private_key(name)
    for place in (site.deployment.key_files, site.cards.issuer._keys):  # noqa: SLF001 - a test knows the bytes it looks for
        yield from authority_keys(place)
    for file in (site.directory / "roots").glob("*.pem"):
        yield file.stem, keys.decrypt(file.read_bytes(), Secret(PASSPHRASE.reveal().encode()))


def phone_keys(store: KeyStore) -> Iterator[tuple[str, PrivateKey]]:
    vault = store._vault  # noqa: SLF001 - as above
    for alias, record in store._records.items():  # noqa: SLF001
        yield f"phone {alias}", vault._private_key(record)  # type: ignore[attr-defined]  # noqa: SLF001


def authority_keys(directory: KeyDirectory) -> Iterator[tuple[str, PrivateKey]]:
    for name in directory:
        yield f"authority {name}", directory[name]._private_key  # type: ignore[attr-defined]  # noqa: SLF001


def test_no_private_key_leaves_its_card_or_key_store(story: Told) -> None:
    found = list(private_keys(story))
    kinds = {name.split()[0] for name, _ in found}
    assert {"card", "phone", "authority", *PRIVATE_KEYS} <= kinds
    assert sum(name.startswith("phone") for name, _ in found) >= len(Purpose) + 1
    looked_for = dict(part for name, key in found for part in numbers(name, key))
    looked_for |= {name: story.site.deployment.keyring.get(name).reveal() for name in SECRETS}
    traffic = {f"{said.method} {said.path}": said.octets() for said in story.site.traffic.since()}
    assert not leaked(looked_for, {**story.files, **traffic, "log": story.log})


MARKS = {
    "PEM": b"-----BEGIN PRIVATE KEY",
    "PEM of an EC key": b"-----BEGIN EC PRIVATE KEY",
    "PEM of an RSA key": b"-----BEGIN RSA PRIVATE KEY",
    "PKCS #8 of a P-256 key": bytes.fromhex("020100301306072a8648ce3d020106082a8648ce3d030107"),
    "PKCS #8 of a P-384 key": bytes.fromhex("020100301006072a8648ce3d020106052b81040022"),
    "PKCS #8 of an RSA key": bytes.fromhex("020100300d06092a864886f70d0101010500"),
    "a JWK with its private part": b'"d": "',
}


def test_nothing_that_looks_like_a_private_key_lies_or_travels_in_the_open(story: Told) -> None:
    traffic = {f"{said.method} {said.path}": said.octets() for said in story.site.traffic.since()}
    assert not leaked(MARKS, {**story.files, **traffic, "log": story.log})
