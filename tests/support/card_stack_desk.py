# SPDX-License-Identifier: Apache-2.0
"""A desk with a card reader at a whole site: cards that go into the reader, and programs beside it that reach the site.

    with desk_at(site, tmp_path) as desk:
        card = desk.card("alice")
        with desk.reader.inserted(card.applet), desk.chromium(card.pin) as screen:
            screen.open("/idp/account")

What runs at the desk is inside the reader's network, where the site's own addresses lead to the site.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.x509.oid import NameOID
from playwright.sync_api import Page

from etymon.card import storage
from etymon.card.applet import PIVApplet
from etymon.card.personalization import Cardholder
from etymon.directory import bindings
from etymon.kernel.entropy import random_text
from etymon.kernel.secret import Secret
from etymon.server.addresses import HTTPS_PORT
from etymon.server.card_issuer import MadeCard
from etymon.wire.piv import Algorithm
from support import card_browser, card_reader
from support.card_office import DIGITS, ENTRY, PASSPHRASE
from support.card_reader import Reader
from support.namespace_relay import relay
from support.tls_server import write_pem
from support.whole_site import DOMAIN, SIGN_IN_ONLY, TEST, WholeSite

PHONE_WIDTH: Final = 390
DESK_WIDTH: Final = 1280
_HEIGHT: Final = 844
_PATIENCE_MILLISECONDS: Final = 30_000.0


@dataclass(frozen=True, slots=True)
class DeskCard:
    """A card to be put into the reader."""

    made: MadeCard
    applet: PIVApplet
    pin: Secret[str]

    @property
    def pin_tries(self) -> int:
        """How many wrong PINs it still takes."""
        return self.applet.state.pin.remaining

    @property
    def wrong_pin(self) -> Secret[str]:
        """A PIN that is not this card's."""
        return Secret(f"{(int(self.pin.reveal()) + 1) % 10**8:08}")

    @property
    def token(self) -> str:
        """The PKCS#11 URI of the token: OpenSC knows a card by the last half of its GUID (RFC 7512)."""
        return f"pkcs11:serial={self.made.uuid.replace('-', '')[16:]}"


class Screen:
    """A page of a browser, seen at two widths; the pictures stay with the test's files."""

    def __init__(self, page: Page, site_url: str, pictures: Path) -> None:
        self.page = page
        self._site_url = site_url
        self._pictures = pictures
        page.set_default_timeout(_PATIENCE_MILLISECONDS)

    def open(self, path: str) -> None:
        """Open a page of the site."""
        self.page.goto(self._site_url + path)

    def press(self, words: str) -> None:
        """Press the button or link that says so."""
        self.page.get_by_role("button", name=words, exact=True).or_(
            self.page.get_by_role("link", name=words, exact=True)
        ).click()

    def shows(self, code: str) -> str:
        """Wait for a page, look at it as it is on a phone and on a desk, and return what it says."""
        self.page.wait_for_selector(f"main[data-code={code}]")
        for width in (PHONE_WIDTH, DESK_WIDTH):
            self.picture(code, width)
            assert self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (code, width)
        return " ".join(self.page.inner_text("main").split())

    def picture(self, name: str, width: int = DESK_WIDTH) -> bytes:
        """Return a picture of the whole page, nothing cut, as PNG."""
        self.page.set_viewport_size({"width": width, "height": _HEIGHT})
        number = len(list(self._pictures.iterdir()))
        return self.page.screenshot(full_page=True, path=self._pictures / f"{number:02}-{name}-{width}.png")


@dataclass
class Desk:
    """A reader whose programs reach a site."""

    site: WholeSite
    reader: Reader
    trusted: Path
    _open: ExitStack

    def card(
        self, name: str, kind: Algorithm = Algorithm.P256, *, bound: bool = True, group: str = SIGN_IN_ONLY
    ) -> DeskCard:
        """Make a card whose authentication key is of a kind, and bind it to somebody's account."""
        site = self.site
        pin, puk = (Secret(random_text(site.entropy, DIGITS, 8)) for _ in range(2))
        address = f"{name}@{DOMAIN}"
        made = site.cards.issuer.make_card(
            self.reader.directory / f"{name}.card",
            Cardholder(f"EXAMPLE.{name.upper()}", address, address),
            passphrase=PASSPHRASE,
            pin=pin,
            puk=puk,
            authentication=kind,
        )
        stored = storage.load(made.file, PASSPHRASE)
        self._open.callback(stored.close)
        if bound:
            site.card_for(name, group=group)
            with site.deployment.database.transaction() as tx:
                person, deps = site.person(name), site.wiring.directory
                bindings.bind(tx, deps, trust_entry=ENTRY, identifier=made.uuid, person_id=person.id, actor=TEST)
        return DeskCard(made, PIVApplet(stored.state, stored.save, site.entropy), pin)

    @contextmanager
    def chromium(self, pin: Secret[str]) -> Iterator[Screen]:
        """Start a browser that takes whatever card of the agency is in the reader, with this PIN."""
        (issuer,) = self.site.cards.issuer.chain()[1][-1].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        certauth = urlsplit(self.site.deployment.settings.certauth_url).hostname
        self.reader.allow_certificates(f"https://{certauth}", str(issuer.value))
        pictures = self.reader.directory / "pictures"
        pictures.mkdir()
        with card_browser.chromium(self.reader, trusted=self.trusted, pin=pin) as context:
            yield Screen(context.new_page(), self.site.url, pictures)


@contextmanager
def desk_at(site: WholeSite, directory: Path) -> Iterator[Desk]:
    """Set up a desk with an empty reader in a directory of its own."""
    settings = site.deployment.settings
    with card_reader.reader(directory) as reader, ExitStack() as stack:
        for url in (settings.site_url, settings.certauth_url):
            stack.enter_context(relay(reader, urlsplit(url).port or HTTPS_PORT))
        yield Desk(site, reader, write_pem(directory / "trusted.pem", list(site.server_anchors)), stack)
