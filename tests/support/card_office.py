# SPDX-License-Identifier: Apache-2.0
"""An agency that hands out cards: its card issuer, its status listener, and cards in their readers."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.applications import Starlette

from etymon.ca.http import status
from etymon.ca.profiles import EXAMPLE_POLICY_OIDS
from etymon.card import storage
from etymon.card.applet import PIVApplet
from etymon.card.card_key import CardKey
from etymon.card.client import PIVClient
from etymon.card.personalization import Cardholder
from etymon.card.storage import StoredCard
from etymon.card.tls import TLSIdentity
from etymon.card.transport import LocalTransport
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy, random_text
from etymon.kernel.secret import Secret
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.server.card_issuer import CardIssuer, MadeCard
from etymon.web.listeners import Listener, Listeners
from etymon.wire.piv import KeyReference
from support import patience

PASSPHRASE: Final = Secret("correct horse battery staple")
DIGITS: Final = "0123456789"
ENTRY: Final = "agency-cards"


@dataclass(frozen=True, slots=True)
class Card:
    """A card in a reader, with its PIN entered."""

    made: MadeCard
    client: PIVClient
    stored: StoredCard
    pin: Secret[str]
    puk: Secret[str]

    def identity(self, slot: KeyReference = KeyReference.AUTHENTICATION) -> TLSIdentity:
        """Return what the card shows in TLS."""
        return TLSIdentity(self.client.read_certificate(slot), CardKey(self.client, slot, pin=self.pin))


class CardOffice:
    """A card issuer whose status is answered on a port of its own."""

    def __init__(self, directory: Path, organization: str, clock: Clock, entropy: Entropy, port: int) -> None:
        self.directory, self.port = directory, port
        self._entropy = entropy
        self.issuer = CardIssuer.create(
            directory / "issuer", PASSPHRASE, organization, clock=clock, entropy=entropy, status_url=self.status_url
        )
        (directory / "cards").mkdir()
        self._open: list[StoredCard] = []
        self._silence = ExitStack()

    @property
    def status_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def entry(self) -> TrustEntry:
        """Return how an organisation trusts these cards."""
        root, intermediates = self.issuer.chain()
        return TrustEntry(
            name=ENTRY,
            kind=TrustKind.CARD,
            anchors=(root,),
            intermediates=intermediates,
            policies=frozenset({EXAMPLE_POLICY_OIDS["piv-authentication"]}),
            identifier=IdentifierKind.UUID,
            status_hosts=frozenset({f"127.0.0.1:{self.port}"}),
        )

    def make(self, name: str, address: str) -> Card:
        """Make somebody's card and put it into a reader."""
        pin, puk = (Secret(random_text(self._entropy, DIGITS, 8)) for _ in range(2))
        file = self.directory / "cards" / f"{name}.card"
        holder = Cardholder(f"EXAMPLE.{name.upper()}", address, address)
        made = self.issuer.make_card(file, holder, passphrase=PASSPHRASE, pin=pin, puk=puk)
        stored = storage.load(file, PASSPHRASE)
        self._open.append(stored)
        client = PIVClient(LocalTransport(PIVApplet(stored.state, stored.save, self._entropy)))
        client.select()
        client.verify_pin(pin)
        return Card(made, client, stored, pin, puk)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Answer for the status of cards until the block ends."""
        self._answer("/")
        try:
            yield
        finally:
            self._silence.close()

    @contextmanager
    def answering_only(self, beginning: str = "") -> Iterator[None]:
        """Answer nothing but addresses that begin so, while the block runs; without one, do not even listen."""
        self._silence.close()
        if beginning:
            self._answer(beginning)
        try:
            yield
        finally:
            self._silence.close()
            self._answer("/")

    def _answer(self, beginning: str) -> None:
        routes = [one for one in status.routes(self.issuer.authority) if getattr(one, "path", "").startswith(beginning)]
        app = Starlette(routes=routes)
        self._silence.enter_context(serving(Listeners([Listener("cards", app, "127.0.0.1", self.port)])))

    def close(self) -> None:
        """Take every card out and let the database go."""
        for card in self._open:
            card.close()
        self.issuer.database.close()


@contextmanager
def serving(listeners: Listeners) -> Iterator[None]:
    """Run listeners in a thread until the block ends."""
    thread = threading.Thread(target=lambda: asyncio.run(listeners.run()), name="listeners", daemon=True)
    thread.start()
    try:
        patience.until(lambda: listeners.started or not thread.is_alive(), "listeners start")
        assert listeners.started
        yield
    finally:
        listeners.stop()
        thread.join()
