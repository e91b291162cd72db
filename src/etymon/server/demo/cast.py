# SPDX-License-Identifier: Apache-2.0
"""The people of the demo, their cards, and the PC that a card is put into."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from etymon.card import storage
from etymon.card.applet import PIVApplet
from etymon.card.client import PIVClient
from etymon.card.personalization import Cardholder
from etymon.card.server_trust import ServerTrust
from etymon.card.tls import CardTLSTransport, card_identity
from etymon.card.transport import LocalTransport
from etymon.server.card_issuer import CardIssuer
from etymon.server.demo.browser import Browser
from etymon.server.demo.page import Page
from etymon.server.demo.story import Untruth
from etymon.server.demo.world import DOMAIN, World
from etymon.wire.piv import Algorithm


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a card."""

    key: str
    display_name: str
    algorithm: Algorithm = Algorithm.P256

    @property
    def address(self) -> str:
        """User principal name and mail address."""
        return f"{self.key}@{DOMAIN}"

    @property
    def common_name(self) -> str:
        """What stands on the card: LAST.FIRST."""
        first, _, last = self.display_name.partition(" ")
        return f"{last}.{first}".upper()


ADMINISTRATOR: Final = Person("ada", "Ada Adler")
OFFICER: Final = Person("otto", "Otto Olsen")
ALICE: Final = Person("alice", "Alice Adams")
BOB: Final = Person("bob", "Bob Brown", Algorithm.RSA_2048)
EVERYBODY: Final = (ADMINISTRATOR, OFFICER, ALICE, BOB)


def card_file(world: World, person: Person) -> Path:
    """Return the file of somebody's card."""
    return world.folder("cards") / f"{person.key}.card"


def make_cards(world: World) -> None:
    """Have the card issuer make everybody's card, as `etymon card new` does."""
    issuer = CardIssuer.open(world.card_issuer, world.secret("card-issuer"), clock=world.clock, entropy=world.entropy)
    for person in EVERYBODY:
        made = issuer.make_card(
            card_file(world, person),
            Cardholder(person.common_name, person.address, person.address),
            passphrase=world.secret(f"{person.key}-card"),
            pin=world.secret(f"{person.key}-pin"),
            puk=world.secret(f"{person.key}-puk"),
            authentication=person.algorithm,
        )
        certificate_file(world, person).write_bytes(made.authentication.public_bytes(Encoding.PEM))


def certificate_file(world: World, person: Person) -> Path:
    """Return the PEM file of somebody's authentication certificate."""
    return card_file(world, person).with_suffix(".pem")


@contextlib.contextmanager
def pc(world: World, person: Person) -> Iterator[Browser]:
    """Put somebody's card into a PC, with its PIN entered, and open a browser there.

    The browser follows pages and submits forms as a person would; the card signs the TLS handshake at certauth.
    """
    with storage.load(card_file(world, person), world.secret(f"{person.key}-card")) as stored:
        client = PIVClient(LocalTransport(PIVApplet(stored.state, stored.save, world.entropy)))
        client.select()
        client.verify_pin(world.secret(f"{person.key}-pin"))
        trust = ServerTrust(world.anchors)
        site = CardTLSTransport(trust=trust, clock=world.clock)
        certauth = CardTLSTransport(trust=trust, clock=world.clock, identity=card_identity(client))
        with Browser(site, certauth, certauth_origin=world.certauth) as browser:
            yield browser


def expect(page: Page, code: str) -> Page:
    """Return the page if it is the one meant, or end the story with what it says."""
    if page.code != code:
        raise Untruth(f"{page.url} shows {page.code or page.status}, not {code}: {page.words[:600]}")
    return page
