# SPDX-License-Identifier: Apache-2.0
"""`etymon apply`: brings an organisation about as one file describes it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import httpx
import typer
from rich.console import Console

from etymon.card import storage
from etymon.card.applet import PIVApplet
from etymon.card.client import PIVClient
from etymon.card.server_trust import ServerTrust
from etymon.card.tls import CardTLSTransport, card_identity
from etymon.card.transport import LocalTransport
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Malformed
from etymon.server.apply import applying, card_sign_in, device_sign_in, reading, site_trust
from etymon.server.apply.administration_api import AdministrationAPI
from etymon.server.apply.applying import Outcome, Wishes
from etymon.server.apply.identity_provider import Granted, Provider
from etymon.server.apply.planning import Passwords, Pruning
from etymon.server.apply.sign_in import SignedIn, SignIn
from etymon.server.apply.site_trust import Site
from etymon.server.command_line.files import secret

TIMEOUT_SECONDS: Final = 30.0


def apply(
    file: Annotated[Path, typer.Argument(help="The organisation's file (docs/operations/organization-file.md).")],
    *,
    prune: Annotated[bool, typer.Option("--prune", help="End what is there and not in the file.")] = False,
    check: Annotated[
        bool, typer.Option("--check", "--dry-run", help="Only show; exit status 1 when there are differences.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the changes.")] = False,
    send_passwords: Annotated[
        bool, typer.Option("--send-passwords", help="Send Wi-Fi passwords again, though nothing else differs.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Data directory: names the site and its TLS anchors.")] = None,
    site: Annotated[str, typer.Option(help="Address of the site, https://HOST:8443.")] = "",
    ca: Annotated[Path | None, typer.Option(help="TLS anchors of the site; else the machine's.")] = None,
    card: Annotated[Path | None, typer.Option(help="Software card to sign in with; else a browser is asked.")] = None,
    pin_file: Annotated[Path | None, typer.Option(help="File whose first line is the card's PIN.")] = None,
    passphrase_file: Annotated[Path | None, typer.Option(help="File whose first line opens the card file.")] = None,
) -> None:
    """Bring an organisation about as FILE describes it: show the difference, ask, do it.

    As an Administrator everything but the issuance rules is done, as an Officer those; nothing ends without --prune.
    """
    console, clock = Console(), SystemClock()
    organization = reading.read(file)
    meant = _site(data, site, ca)
    console.print(f"{organization.name} at {meant.url}", style="bold", highlight=False, markup=False)
    wishes = Wishes(
        Pruning.END if prune else Pruning.KEEP,
        Passwords.AGAIN if send_passwords else Passwords.WITH_CHANGES,
        only_look=check,
    )
    with httpx.Client(verify=meant.context(), timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        provider = Provider(http, meant.url, clock)
        with _sign_in(provider, meant, console, CardFiles(card, pin_file, passphrase_file)) as sign_in:
            signed_in = SignedIn(sign_in, clock)
            api = AdministrationAPI(http, meant.url, signed_in, time.sleep)
            outcome = applying.apply(
                organization,
                api,
                signed_in.subject(),
                wishes,
                clock=clock,
                console=console,
                confirm=lambda question: yes or typer.confirm(question),
            )
    if outcome is Outcome.DIFFERENT:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class CardFiles:
    """Where a software card is, its PIN, and what opens its file."""

    card: Path | None
    pin: Path | None
    passphrase: Path | None


def _site(data: Path | None, address: str, ca: Path | None) -> Site:
    if data is None and not address:
        raise Malformed("no_site", "Name the site with --site https://HOST:8443, or its data directory with --data.")
    if data is None:
        return site_trust.named(address, ca)
    found = site_trust.of_data_directory(data)
    return Site(
        site_trust.named(address, None).url if address else found.url, site_trust.anchors(ca) if ca else found.anchors
    )


@contextmanager
def _sign_in(provider: Provider, site: Site, console: Console, files: CardFiles) -> Iterator[SignIn]:
    """Give the way to sign in; a software card is open, and its PIN verified, as long as it may be needed."""
    if files.card is None:
        yield lambda: device_sign_in.sign_in(provider, time.sleep, lambda *shown: _show(console, *shown))
        return
    if not site.anchors:
        raise Malformed("no_anchors", "Name the TLS anchors of the site with --ca or --data: a card is shown to it.")
    with storage.load(files.card, secret(files.passphrase, "Passphrase of the card file")) as stored:
        client = PIVClient(LocalTransport(PIVApplet(stored.state, stored.save, SystemEntropy())))
        client.select()
        client.verify_pin(secret(files.pin, "PIN of the card"))
        identity = card_identity(client)
        trust = ServerTrust(site.anchors)

        def with_card() -> Granted:
            transport = CardTLSTransport(trust=trust, clock=SystemClock(), identity=identity)
            return card_sign_in.sign_in(provider, transport, SystemEntropy())

        yield with_card


def _show(console: Console, address: str, code: str) -> None:
    console.print(
        f"Sign in with your smart card: open [bold]{address}[/] in a browser and type [bold]{code}[/]",
        highlight=False,
        soft_wrap=True,
    )
