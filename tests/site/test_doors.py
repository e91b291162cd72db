# SPDX-License-Identifier: Apache-2.0
"""Which certificate opens which door. Whatever one door takes, every other refuses, says why, and changes nothing."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.card.tls import TLSIdentity
from etymon.directory import trust
from etymon.issuer.model import Purpose
from etymon.phone.state import Purpose as PhonePurpose
from etymon.server.demo.browser import Browser
from etymon.server.demo.page import Page
from etymon.server.demo.peers import curl
from etymon.server.wiring import ADMINISTRATION_CLIENT
from etymon.wire.piv import KeyReference
from support import issued_identities, patience, phone_messages, site_pages
from support.peer_pki import CLIENT, MAIL, PeerPKI
from support.phone_messages import Enrolling, Linking, told
from support.whole_site import ALL_PURPOSES, TEST, WholeSite

pytestmark = pytest.mark.xdist_group("organizations")

Answer = tuple[int, str]
LET_IN: Answer = (200, "")
ALERT: Answer = (0, "TLS alert")
"""What TLS itself refuses: a CA that nobody here trusts, a certificate whose purposes leave TLS clients out."""

WRONG_KIND: Answer = (403, "wrong_certificate_kind")
TRUSTED_NOWHERE: Answer = (403, "untrusted_root")
"""TLS lets it through for the one door that renews it."""

Door = Callable[[TLSIdentity | None], Answer]
Visit = Callable[[Browser], Page]
"""Goes as far as what certauth says, or the page after it."""


def knocking(door: Door, identity: TLSIdentity | None) -> Answer:
    try:
        return door(identity)
    except httpx.TransportError:
        return ALERT


@pytest.fixture(scope="module")
def holders(site: WholeSite, other_site: WholeSite) -> Mapping[str, TLSIdentity]:
    """Everybody who holds a key and a certificate, here and at another organisation of the same name."""
    found: dict[str, TLSIdentity] = {}
    for at, prefix in ((site, ""), (other_site, "other ")):
        held = at.phone_of("doors-alice", group=ALL_PURPOSES)
        held.unlock()
        card = at.card_for("doors-alice")
        found |= {
            f"{prefix}card": card.identity(),
            f"{prefix}card signature": card.identity(KeyReference.SIGNATURE),
            f"{prefix}card authentication": card.identity(KeyReference.CARD_AUTHENTICATION),
            f"{prefix}derived": held.credential(),
            f"{prefix}derived signature": held.credential(PhonePurpose.SIGNATURE),
            f"{prefix}device": held.identity,
            f"{prefix}server": issued_identities.server(at),
            f"{prefix}endpoint": issued_identities.endpoint(at),
        }
    return found


def at_card_doors(name: str) -> Answer:
    known = {"card": LET_IN, "derived": WRONG_KIND, "device": WRONG_KIND, "endpoint": TRUSTED_NOWHERE}
    return known.get(name, ALERT)


def at_sign_in(name: str) -> Answer:
    known = {"card": LET_IN, "derived": LET_IN, "device": WRONG_KIND, "endpoint": TRUSTED_NOWHERE}
    return known.get(name, ALERT)


def at_device_doors(name: str) -> Answer:
    known = {"card": WRONG_KIND, "derived": WRONG_KIND, "device": LET_IN, "endpoint": WRONG_KIND}
    return known.get(name, ALERT)


def at_links(name: str) -> Answer:
    return (403, "unmanaged_device") if name == "endpoint" else at_device_doors(name)


def page_door(site: WholeSite, visit: Visit) -> Door:

    def door(identity: TLSIdentity | None) -> Answer:
        page = visit(site.browser(identity))
        return (page.status, page.code) if page.status >= 400 else LET_IN

    return door


def card_only_sign_in(site: WholeSite) -> Visit:
    asked = {
        "response_type": "code",
        "client_id": ADMINISTRATION_CLIENT,
        "redirect_uri": "http://127.0.0.1/",
        "scope": "openid",
        "acr_values": "urn:etymon:acr:card",
        "state": "s",
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
    }

    def visit(browser: Browser) -> Page:
        page = browser.get(f"{site.url}/idp/authorize?{urlencode(asked)}")
        page = browser.submit(page.form(action="/idp/sign-in"))
        assert page.status != 303 or "code=" in page.url
        return page

    return visit


def approval(site: WholeSite) -> Visit:
    waiting = Enrolling(site)
    assert waiting.begin().is_success
    assert waiting.start().is_success

    def visit(browser: Browser) -> Page:
        return site_pages.prove_for_approval(browser, site_pages.enter_code(browser, waiting.user_code))

    return visit


def binding(site: WholeSite) -> Visit:
    def visit(browser: Browser) -> Page:
        page = browser.get(f"{site.url}/idp/binding")
        return browser.submit(page.form(action="/idp/binding/proof"))

    return visit


def the_issuer(site: WholeSite) -> Visit:
    return lambda browser: site_pages.present_card(browser, site.url)


CARD_DOORS = {
    "sign-in with the card alone": card_only_sign_in,
    "approval of a device": approval,
    "binding": binding,
    "the issuer": the_issuer,
}


def judge_all(
    site: WholeSite, holders: Mapping[str, TLSIdentity], door: Door, expected: Callable[[str], Answer]
) -> None:
    """Have everybody knock, those who are let in last; whoever is refused has changed nothing."""
    refused = [name for name in holders if expected(name) != LET_IN]
    site.settle()
    before = state(site)
    found = {name: knocking(door, holders[name]) for name in refused}
    assert state(site) == before
    found |= {name: knocking(door, holders[name]) for name in holders if name not in refused}
    assert found == {name: expected(name) for name in holders}


def state(site: WholeSite) -> Mapping[str, frozenset[str]]:
    """Return what is kept, without what a browser on its way to certauth begins: a question for a proof."""
    return {
        table: rows
        for table, rows in site.state().items()
        if table not in {"idp_certificate_proofs", "issuer_proof_requests", "idp_device_authorizations"}
    }


@pytest.mark.parametrize("name", CARD_DOORS)
def test_where_a_card_is_asked_for_nothing_else_opens(
    site: WholeSite, holders: Mapping[str, TLSIdentity], name: str
) -> None:
    judge_all(site, holders, page_door(site, CARD_DOORS[name](site)), at_card_doors)


def test_a_card_or_a_derived_credential_signs_in(site: WholeSite, holders: Mapping[str, TLSIdentity]) -> None:
    door = page_door(site, lambda browser: site_pages.sign_in(browser, site.url))
    judge_all(site, holders, door, at_sign_in)


def test_check_in_is_for_device_identities(site: WholeSite, holders: Mapping[str, TLSIdentity]) -> None:
    def door(identity: TLSIdentity | None) -> Answer:
        return told(phone_messages.check_in(site.client(identity, base_url=site.device_url)))

    judge_all(site, holders, door, at_device_doors)
    assert door(None) == (401, "device_identity_required")


@pytest.fixture(scope="module")
def linking(site: WholeSite) -> tuple[Browser, Linking]:
    """A browser at which Alice, whose phone has no credential any more, shows a code; and who scans it."""
    browser = site.browser(site.card_for("doors-linker"))
    site_pages.expect(site_pages.present_card(browser, site.url), "home")
    return browser, Linking(site, site_pages.show_code(browser, site.url))


def test_links_and_certificates_are_for_device_identities(
    site: WholeSite, holders: Mapping[str, TLSIdentity], linking: tuple[Browser, Linking]
) -> None:
    browser, link = linking

    def redeeming(identity: TLSIdentity | None) -> Answer:
        return told(link.redeem(link.client(identity)))

    judge_all(site, holders, redeeming, at_links)
    assert redeeming(None) == (401, "device_identity_required")

    def asking(identity: TLSIdentity | None) -> Answer:
        return told(link.ask(link.client(identity)))

    judge_all(site, holders, asking, at_links)
    assert asking(None) == (403, "other_device")

    device = link.client(holders["device"])
    site_pages.confirm(browser, link.shown.page, link.redeem(device).json()["digits"])
    authorization = link.ask(device).json()["authorization"]

    def enrolling(identity: TLSIdentity | None) -> Answer:
        return told(link.enroll(link.client(identity), authorization, Purpose.AUTHENTICATION))

    judge_all(site, holders, enrolling, at_links)
    assert enrolling(None) == (403, "other_device")


class Knocker:
    """A curl with a certificate of an outside PKI."""

    def __init__(self, site: WholeSite, directory: Path) -> None:
        self.site, self.directory = site, directory
        self.outside = PeerPKI(directory / "outside")
        self._anchors = directory / "tls.pem"
        self._anchors.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in site.server_anchors))

    def trust_outside(self) -> None:
        """Make an entry for the outside PKI; the listeners learn of it within seconds."""
        entry = replace(self.site.cards.entry(), name="outside", anchors=(self.outside.root.certificate,))
        with self.site.deployment.database.transaction() as tx:
            trust.save(tx, self.site.wiring.directory, entry, actor=TEST)

    def alerts(self, purposes: Sequence[x509.ObjectIdentifier]) -> set[str | None]:
        """Return the alerts of certauth and of the device listener; None where there was none."""
        leaf = self.outside.client("alice@agency.example", purposes=purposes)
        settings = self.site.deployment.settings
        urls = (f"{settings.certauth_url}/idp/certauth", f"{settings.device_url}{phone_messages.CHECK_IN}")
        return {
            curl.get(url, server_anchors=self._anchors, directory=self.directory, credential=leaf.files).alert
            for url in urls
        }


@pytest.mark.needs("curl")
def test_what_tls_refuses_by_itself_ends_in_an_alert_that_says_so(own_site: WholeSite, tmp_path: Path) -> None:
    knocker = Knocker(own_site, tmp_path)
    assert knocker.alerts(CLIENT) == knocker.alerts(MAIL) == {"unknown CA"}
    knocker.trust_outside()
    patience.until(lambda: knocker.alerts(CLIENT) == {None}, "TLS knows the new entry's CA")
    assert knocker.alerts(MAIL) == {"unsupported certificate"}


@pytest.mark.needs("curl")
def test_a_server_certificate_that_cannot_be_renewed_keeps_nobody_new_out(own_site: WholeSite, tmp_path: Path) -> None:
    knocker = Knocker(own_site, tmp_path)
    own_site.clock.advance(timedelta(days=3655))  # the TLS CA's own end
    knocker.trust_outside()
    patience.until(lambda: knocker.alerts(CLIENT) == {None}, "TLS knows the new entry's CA")


@pytest.mark.needs("openssl")
def test_only_the_doors_that_read_certificates_ask_for_one(site: WholeSite) -> None:
    read = site.deployment.settings
    asked = {
        name: asks(url)
        for name, url in (("site", read.site_url), ("certauth", read.certauth_url), ("device", read.device_url))
    }
    assert asked == {"site": False, "certauth": True, "device": True}
    assert urlsplit(read.status_url).scheme == "http"  # whoever asks for a status shows nothing


def asks(url: str) -> bool:
    """Whether a listener asks for a client certificate, as OpenSSL sees it."""
    there = urlsplit(url)
    address = ("-connect", f"{there.hostname}:{there.port}", "-servername", str(there.hostname))
    said = subprocess.run(["openssl", "s_client", *address], input=b"", capture_output=True, check=False, timeout=30)
    assert b"-----BEGIN CERTIFICATE-----" in said.stdout, said.stderr
    return b"Requested Signature Algorithms" in said.stdout
