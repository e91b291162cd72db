# SPDX-License-Identifier: Apache-2.0
"""A browser proves the card: Chromium, NSS, OpenSC and pcscd, with the PIN entered outside by the shim."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from etymon.kernel.secret import Secret
from etymon.wire.piv import Algorithm, KeyReference
from support import card_browser, card_reader, pin_shim
from support.card_browser import chromium
from support.card_issuer import PIN, CardIssuer, IssuedCard, authority, server_certificate
from support.card_reader import Reader
from support.namespace_relay import relay
from support.tls_server import server_context, tls_server, write_pem

pytestmark = [pytest.mark.serial, pytest.mark.needs(*card_browser.PROGRAMS)]

SLOTS = (
    KeyReference.AUTHENTICATION,
    KeyReference.SIGNATURE,
    KeyReference.KEY_MANAGEMENT,
    KeyReference.CARD_AUTHENTICATION,
)


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Reader]:
    with card_reader.reader(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pin_shim.build_pin_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def issuer() -> CardIssuer:
    return CardIssuer()


@dataclass(frozen=True, slots=True)
class Web:
    """A TLS server that asks for a card."""

    port: int
    ca: Path
    seen: list[x509.Certificate | None]

    @property
    def address(self) -> str:
        return f"https://localhost:{self.port}/"


@pytest.fixture
def web(slot: Reader, issuer: CardIssuer, tmp_path: Path) -> Iterator[Web]:
    """The server is outside, where the other tests' servers are; a relay leads to it."""
    root = authority("TLS Root")
    leaf, key = server_certificate(root, dns=("localhost",))
    pem = write_pem(tmp_path / "server.pem", [leaf], key)
    cas = write_pem(tmp_path / "clients.pem", [issuer.root.certificate, issuer.issuing.certificate])
    ca = write_pem(tmp_path / "ca.pem", [root.certificate])
    slot.allow_certificates("https://localhost", "Test Card CA")
    listener = socket.create_server(("127.0.0.1", 0))
    with tls_server(listener, server_context(pem, cas)) as server, relay(slot, server.port):
        yield Web(server.port, ca, server.seen)


@pytest.mark.parametrize("kind", [Algorithm.P256, Algorithm.RSA_2048])
def test_chromium_proves_the_card(slot: Reader, issuer: CardIssuer, shim: Path, web: Web, kind: Algorithm) -> None:
    card = issuer.card(algorithms=dict.fromkeys(SLOTS, kind))
    with slot.inserted(card.applet), chromium(slot, trusted=web.ca, pin=PIN, shim=shim) as browser:
        page = browser.new_page()
        page.goto(web.address)
        assert page.inner_text("body").startswith("client: CN=Alice Adams; TLSv1.3;")
    shown = {certificate for certificate in web.seen if certificate}
    assert shown == {card.certificates[KeyReference.AUTHENTICATION]}
    assert card.applet.state.pin.remaining == 3


def test_a_wrong_pin_is_tried_once_and_the_server_sees_nobody(
    slot: Reader, issuer: CardIssuer, shim: Path, web: Web
) -> None:
    card: IssuedCard = issuer.card(algorithms=dict.fromkeys(SLOTS, Algorithm.P256))
    with (
        slot.inserted(card.applet),
        chromium(slot, trusted=web.ca, pin=Secret("999999"), shim=shim) as browser,
    ):
        page = browser.new_page()
        page.goto(web.address)
        assert "nobody" in page.inner_text("body")
    assert card.applet.state.pin.remaining == 2
