# SPDX-License-Identifier: Apache-2.0
"""`etymon backup`, `restore` and `backup-key`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.server.command_line.options import Passphrase

Data = Annotated[Path, typer.Option("--data", help="Data directory of the organisation.")]


def backup(
    file: Annotated[Path, typer.Argument(help="New file for the backup.")],
    data: Data,
    recipient: Annotated[
        list[str], typer.Option("--recipient", help="Public key of age (age1…) that can open it; repeat for more.")
    ],
) -> None:
    """Write one consistent, encrypted archive of the whole deployment; it may go on running."""
    from etymon.server.backup import archive, taking

    console = Console(stderr=True)
    with console.status("…") as status:
        taking.take(
            data,
            file,
            archive.recipients(recipient),
            SystemClock(),
            SystemEntropy(),
            lambda what: status.update(f"backup: {what} …"),
        )
    size = file.stat().st_size / 1_000_000
    console.print(f"{file}: {size:.1f} MB. Keep the passphrase of the keys elsewhere: it is not in it.", soft_wrap=True)


def restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    data: Annotated[Path, typer.Option("--data", help="New data directory.")],
    identity: Annotated[Path, typer.Option("--identity", help="File with the private key of age that opens it.")],
    passphrase_file: Passphrase = None,
) -> None:
    """Make a deployment from its backup. Codes, links and sessions of before are good no more."""
    from etymon.server import keyring
    from etymon.server.backup import archive, restoring

    console = Console(stderr=True)
    with console.status("…") as status:
        restored = restoring.restore(
            file,
            archive.identity(identity),
            data,
            keyring.read_passphrase(passphrase_file),
            SystemClock(),
            SystemEntropy(),
            lambda what: status.update(f"restoring: {what} …"),
        )
    console.print(
        f"{restored.organization} is in {data} as it was at {restored.taken_at}. What was issued, revoked and enrolled "
        "since is not in it: docs/operations/backup-and-restore.md.",
        soft_wrap=True,
    )
    if restored.token is not None:
        console.print(
            f"It has keys in the token {restored.token}, and no backup has those: connect that token, or the copy its "
            "maker's means made of it, before the services start.",
            soft_wrap=True,
        )
    if restored.is_older:
        console.print(f"Its database is of an older program: run `etymon upgrade --data {data}` first.", soft_wrap=True)


def backup_key(file: Annotated[Path, typer.Argument(help="New file for the private key.")]) -> None:
    """Make a key that opens backups, and print its public half for --recipient. Keep the file away from the site."""
    from pyrage import x25519

    from etymon.pki.keys import write_once

    made = x25519.Identity.generate()
    write_once(file, f"# public key: {made.to_public()}\n{made}\n".encode("ascii"))
    typer.echo(made.to_public())
