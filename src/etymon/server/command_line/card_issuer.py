# SPDX-License-Identifier: Apache-2.0
"""`etymon card-issuer` and `etymon card new`: handing out software smart cards, for demonstrations and tests."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.server.command_line.files import secret
from etymon.server.command_line.signals import on_stop

if TYPE_CHECKING:
    from etymon.server.card_issuer import CardIssuer

app = typer.Typer(help="An issuer of software smart cards, for demonstrations and tests.", no_args_is_help=True)

Directory = Annotated[Path, typer.Argument(help="Directory of the card issuer.")]
PassphraseFile = Annotated[
    list[Path] | None, typer.Option("--passphrase-file", help="Opens the card issuer's keys; may repeat, a part each.")
]


@app.command("init")
def init(
    directory: Directory,
    organization: Annotated[str, typer.Option(help="Name of the agency that hands out the cards.")],
    status_url: Annotated[str, typer.Option(help="http address of its CRL and OCSP; cards carry it.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a card issuer, and write root.pem and intermediates.pem for whoever is to trust its cards."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from etymon.pki.keys import write_once
    from etymon.server import keyring
    from etymon.server.card_issuer import CardIssuer

    issuer = CardIssuer.create(
        directory,
        keyring.read_passphrase(passphrase_file),
        organization,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        status_url=status_url,
    )
    root, intermediates = issuer.chain()
    write_once(directory / "root.pem", root.public_bytes(Encoding.PEM))
    chain = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in intermediates)
    write_once(directory / "intermediates.pem", chain)
    Console().print(
        f"The card issuer is in {directory}. Trust its cards by root.pem and intermediates.pem there.", soft_wrap=True
    )


@app.command("serve")
def serve(directory: Directory, passphrase_file: PassphraseFile = None) -> None:
    """Answer CRL and OCSP at the card issuer's status address until SIGTERM or Ctrl-C."""
    import asyncio
    from datetime import timedelta
    from functools import partial
    from threading import Thread
    from urllib.parse import urlsplit

    import structlog
    from starlette.applications import Starlette

    from etymon.ca.http import status
    from etymon.server import logs
    from etymon.server.metrics import Metrics
    from etymon.server.worker import Duty, Worker
    from etymon.web.listeners import Listener, Listeners
    from etymon.web.unknown_address import nothing_here

    issuer = _open(directory, passphrase_file)
    logs.configure("info")
    address = urlsplit(issuer.authority.status_url)
    app = Starlette(routes=status.routes(issuer.authority), exception_handlers={404: partial(nothing_here, None)})
    listeners = Listeners([Listener("status", app, "127.0.0.1", address.port or 80)])
    on_stop(listeners.stop)
    ready = partial(structlog.get_logger("etymon.server").info, "ready", status=issuer.authority.status_url)
    duty = Duty("card_issuer", timedelta(minutes=1), issuer.keep_up)
    worker = Worker(issuer.database, SystemClock(), {}, [duty], Metrics())
    working = Thread(target=worker.run, name="worker")
    working.start()
    try:
        asyncio.run(listeners.run(ready=ready))
    finally:
        worker.stop()
        working.join()


def new(
    card: Annotated[Path, typer.Argument(help="New file for the card.")],
    issuer: Annotated[Path, typer.Option(help="Directory of the card issuer.")],
    name: Annotated[str, typer.Option(help="Common name on the card, such as ADAMS.ALICE.")],
    user_principal_name: Annotated[str, typer.Option("--upn", help="User principal name.")],
    mail: Annotated[str, typer.Option(help="E-mail address.")],
    issuer_passphrase_file: Annotated[
        list[Path] | None, typer.Option(help="Opens the card issuer's keys; may repeat, a part each.")
    ] = None,
    passphrase_file: Annotated[Path | None, typer.Option(help="Protects the card file; asked otherwise.")] = None,
    pin_file: Annotated[Path | None, typer.Option(help="The card's PIN, 6 to 8 digits; asked otherwise.")] = None,
    puk_file: Annotated[Path | None, typer.Option(help="The card's PUK, 8 characters; asked otherwise.")] = None,
    algorithm: Annotated[
        Literal["p256", "p384", "rsa2048"], typer.Option(help="Algorithm of the authentication key.")
    ] = "p256",
) -> None:
    """Make a card for somebody and store it, encrypted, in a new file."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from etymon.card.personalization import Cardholder
    from etymon.pki.keys import write_once
    from etymon.wire.piv import Algorithm

    algorithms = {"p256": Algorithm.P256, "p384": Algorithm.P384, "rsa2048": Algorithm.RSA_2048}
    made = _open(issuer, issuer_passphrase_file).make_card(
        card,
        Cardholder(name, user_principal_name, mail),
        passphrase=secret(passphrase_file, "Passphrase for the card file"),
        pin=secret(pin_file, "PIN for the card"),
        puk=secret(puk_file, "PUK for the card"),
        authentication=algorithms[algorithm],
    )
    write_once(card.with_suffix(".pem"), made.authentication.public_bytes(Encoding.PEM))
    told = f"card UUID {made.uuid}; the authentication certificate is in {card.with_suffix('.pem')}"
    Console().print(told, soft_wrap=True, highlight=False)


def _open(directory: Path, passphrase_file: list[Path] | None) -> "CardIssuer":
    from etymon.server import keyring
    from etymon.server.card_issuer import CardIssuer

    passphrase = keyring.read_passphrase(passphrase_file)
    return CardIssuer.open(directory, passphrase, clock=SystemClock(), entropy=SystemEntropy())
