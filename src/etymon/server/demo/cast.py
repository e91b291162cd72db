# SPDX-License-Identifier: Apache-2.0
"""The people of the demo, their cards, and the PC that a card is put into."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from etymon.card import storage
from etymon.card.applet import PIVApplet
from etymon.card.client import PIVClient
from etymon.card.server_trust import ServerTrust
from etymon.card.tls import CardTLSTransport, card_identity
from etymon.card.transport import LocalTransport
from etymon.server.demo import processes
from etymon.server.demo.browser import Browser, Page
from etymon.server.demo.story import Untruth
from etymon.server.demo.world import DOMAIN, World


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a card."""

    key: str
    display_name: str
    algorithm: str = "p256"

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
BOB: Final = Person("bob", "Bob Brown", "rsa2048")
EVERYBODY: Final = (ADMINISTRATOR, OFFICER, ALICE, BOB)


def card_file(world: World, person: Person) -> Path:
    """Return the file of somebody's card."""
    return world.folder("cards") / f"{person.key}.card"


def make_card(world: World, person: Person) -> None:
    """Have the card issuer make somebody's card."""
    processes.run(
        "card",
        "new",
        card_file(world, person),
        *("--issuer", world.card_issuer, "--issuer-passphrase-file", world.secret_file("card-issuer")),
        *("--name", person.common_name, "--upn", person.address, "--mail", person.address),
        *("--passphrase-file", world.secret_file(f"{person.key}-card")),
        *("--pin-file", world.secret_file(f"{person.key}-pin"), "--puk-file", world.secret_file(f"{person.key}-puk")),
        *("--algorithm", person.algorithm),
    )


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
