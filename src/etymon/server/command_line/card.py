# SPDX-License-Identifier: Apache-2.0
"""`etymon card`: the software smart card."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import NotFound
from etymon.server.command_line import card_issuer, options
from etymon.server.command_line.files import secret
from etymon.server.command_line.options import CardPassphraseFile, PINFile, SiteChoice
from etymon.server.command_line.signals import on_stop

if TYPE_CHECKING:
    from cryptography import x509

    from etymon.card.client import PIVClient
    from etymon.wire.piv import KeyReference

app = typer.Typer(
    help="The software smart card: make one, bind it to an account, put it into a reader, look at it.",
    no_args_is_help=True,
)

app.command("new")(card_issuer.new)

CardFile = Annotated[Path, typer.Argument(help="File that holds the card.")]


@app.command()
@options.taken_as("site", options.site_choice)
def bind(
    card: CardFile,
    code_file: Annotated[
        Path | None, typer.Option(help="File whose first line is the one-time code; asked otherwise.")
    ] = None,
    pin_file: PINFile = None,
    passphrase_file: CardPassphraseFile = None,
    *,
    site: SiteChoice,
) -> None:
    """Bind the card to its holder's account with a one-time code, as the page /idp/binding does in a browser.

    `etymon init` prints the first two codes; later an Administrator makes them, with `issueBindingCode` of the
    administration API.
    """
    from etymon.server import card_binding
    from etymon.server.command_line import site_access

    meant = site_access.chosen(site)
    with site_access.opened(meant, card, pin=pin_file, passphrase=passphrase_file) as identity:
        code = secret(code_file, f"One-time code for {card} (not shown as you type)")
        done = card_binding.bind(meant.url, site_access.transport(meant, identity), code)
    Console().print(f"{card} is bound. {done}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def insert(
    card: CardFile,
    passphrase_file: CardPassphraseFile = None,
    host: Annotated[str, typer.Option(help="Where the virtual reader (vpcd) listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port; 35963 is the first reader.")] = 35963,
) -> None:
    """Put the card into the virtual reader of pcscd (package vsmartcard-vpcd) until Ctrl-C."""
    from etymon.card import storage, vpcd
    from etymon.card.applet import PIVApplet

    console = Console()
    stop = threading.Event()
    on_stop(stop.set)

    def changed(*, inserted: bool) -> None:
        console.print("card inserted" if inserted else "card removed")

    with storage.load(card, secret(passphrase_file, "Passphrase of the card file")) as stored:
        applet = PIVApplet(stored.state, stored.save, SystemEntropy())
        console.print(f"waiting for the reader at {host}:{port}, pcscd's with vsmartcard-vpcd; is pcscd running? …")
        vpcd.insert(applet, host, port, stop, changed)


@app.command()
def info(card: CardFile, passphrase_file: CardPassphraseFile = None) -> None:
    """Show what the card tells without its PIN."""
    from etymon.card import storage
    from etymon.card.applet import PIVApplet
    from etymon.card.client import PIVClient
    from etymon.card.transport import LocalTransport
    from etymon.wire.piv import KeyReference

    console = Console()
    with storage.load(card, secret(passphrase_file, "Passphrase of the card file")) as stored:
        client = PIVClient(LocalTransport(PIVApplet(stored.state, stored.save, SystemEntropy())))
        client.select()
        chuid = client.read_chuid()
        console.print(f"card UUID  {chuid.card_uuid}\nexpires    {chuid.expires}\nPIN tries  {client.tries_left()}")
        table = Table("Key", "Subject", "Issuer", "Until", header_style="bold")
        for slot in (
            KeyReference.AUTHENTICATION,
            KeyReference.SIGNATURE,
            KeyReference.KEY_MANAGEMENT,
            KeyReference.CARD_AUTHENTICATION,
        ):
            certificate = _certificate(client, slot)
            if certificate is not None:
                table.add_row(
                    f"{slot:02X}",
                    certificate.subject.rfc4514_string(),
                    certificate.issuer.rfc4514_string(),
                    f"{certificate.not_valid_after_utc:%Y-%m-%d}",
                )
        console.print(table)


def _certificate(client: "PIVClient", slot: "KeyReference") -> "x509.Certificate | None":
    try:
        return client.read_certificate(slot)
    except NotFound:
        return None
