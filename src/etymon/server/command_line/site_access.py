# SPDX-License-Identifier: Apache-2.0
"""Reaching a site: which one is meant, with whose card, and its administration API as whoever signs in.

What is heavy is here, so that the commands that use it can be described without it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from etymon.card import storage
from etymon.card.applet import PIVApplet
from etymon.card.client import PIVClient
from etymon.card.server_trust import ServerTrust
from etymon.card.tls import CardTLSTransport, TLSIdentity, card_identity
from etymon.card.transport import LocalTransport
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Malformed
from etymon.server.apply import card_sign_in, device_sign_in, site_trust
from etymon.server.apply.administration_api import AdministrationAPI
from etymon.server.apply.identity_provider import Granted, Provider
from etymon.server.apply.sign_in import SignedIn, SignIn
from etymon.server.apply.site_trust import Site
from etymon.server.command_line.files import secret
from etymon.server.command_line.options import CardFiles, SiteChoice

TIMEOUT_SECONDS: Final = 30.0


def chosen(choice: SiteChoice) -> Site:
    """Return the site that is meant; raises Malformed when none is named."""
    if choice.data is None and not choice.address:
        raise Malformed("no_site", "Name the site with --site https://HOST:8443, or its data directory with --data.")
    if choice.data is None:
        return site_trust.named(choice.address, choice.anchors)
    found = site_trust.of_data_directory(choice.data)
    return Site(
        site_trust.named(choice.address, None).url if choice.address else found.url,
        site_trust.anchors(choice.anchors) if choice.anchors else found.anchors,
    )


@contextmanager
def administration(site: Site, files: CardFiles, console: Console) -> Iterator[tuple[AdministrationAPI, SignedIn]]:
    """Give the administration API as whoever signs in: with the software card, else in a browser of their own."""
    clock = SystemClock()
    with httpx.Client(verify=site.context(), timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        provider = Provider(http, site.url, clock)
        with _sign_in(provider, site, console, files) as sign_in:
            signed_in = SignedIn(sign_in, clock)
            yield AdministrationAPI(http, site.url, signed_in, time.sleep), signed_in


@contextmanager
def _sign_in(provider: Provider, site: Site, console: Console, files: CardFiles) -> Iterator[SignIn]:
    """Give the way to sign in; a software card is open, and its PIN verified, as long as it may be needed."""
    if files.card is None:
        yield lambda: device_sign_in.sign_in(provider, time.sleep, lambda *shown: _show(console, *shown))
        return
    with opened(site, files.card, pin=files.pin, passphrase=files.passphrase) as identity:

        def with_card() -> Granted:
            return card_sign_in.sign_in(provider, transport(site, identity), SystemEntropy())

        yield with_card


@contextmanager
def opened(site: Site, card: Path, *, pin: Path | None, passphrase: Path | None) -> Iterator[TLSIdentity]:
    """Open a software card and verify its PIN, to show it to a site whose TLS anchors are known."""
    if not site.anchors:
        raise Malformed("no_anchors", "Name the TLS anchors of the site with --ca or --data: a card is shown to it.")
    with storage.load(card, secret(passphrase, "Passphrase of the card file")) as stored:
        client = PIVClient(LocalTransport(PIVApplet(stored.state, stored.save, SystemEntropy())))
        client.select()
        client.verify_pin(secret(pin, "PIN of the card"))
        yield card_identity(client)


def transport(site: Site, identity: TLSIdentity) -> CardTLSTransport:
    """Return a way to a site on which the card answers for its holder."""
    return CardTLSTransport(trust=ServerTrust(site.anchors), clock=SystemClock(), identity=identity)


def _show(console: Console, address: str, code: str) -> None:
    console.print(
        f"Sign in with your smart card: open [bold]{address}[/] in a browser and type [bold]{code}[/]",
        highlight=False,
        soft_wrap=True,
    )
