# SPDX-License-Identifier: Apache-2.0
"""The `etymon` command. Exit status: 0 done, 1 not so (a check failed), 2 the command or its input cannot be used.

A command imports what it needs when it runs, so that the other commands and `--help` need not wait for it.
"""

import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from etymon.kernel.errors import EtymonError
from etymon.server.command_line import (
    appointments,
    audit,
    card,
    card_issuer,
    card_status,
    ceremony,
    derivations,
    identity_feed,
    key_recovery,
    lint,
    managed_certificates,
    phone,
    settings,
    site,
    verify,
)
from etymon.server.command_line.apply import apply
from etymon.server.command_line.backup import backup, backup_key, restore
from etymon.server.command_line.demo import demo
from etymon.server.command_line.enrollment_code import enrollment_code
from etymon.server.command_line.usage import Commands

app = typer.Typer(
    name="etymon",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo)
app.command("init")(site.init)
app.command("apply")(apply)
app.command("enrollment-code")(enrollment_code)
app.command("serve")(site.serve)
app.command("worker")(site.work)
app.command("upgrade")(site.upgrade)
app.command("backup")(backup)
app.command("backup-key")(backup_key)
app.command("restore")(restore)
app.command("proxy-files")(site.write_proxy_files)
app.command("settings")(settings.show)
app.add_typer(appointments.app, name="appointments")
app.add_typer(audit.app, name="audit")
app.add_typer(ceremony.app, name="ceremony")
app.add_typer(card.app, name="card")
app.add_typer(identity_feed.app, name="identity-feed")
app.add_typer(card_status.app, name="card-status")
app.add_typer(card_issuer.app, name="card-issuer")
app.add_typer(derivations.app, name="derivations")
app.add_typer(key_recovery.app, name="key-recovery")
app.add_typer(managed_certificates.app, name="managed-certificates")
app.add_typer(phone.app, name="phone")
app.add_typer(verify.app, name="verify")
app.add_typer(lint.app, name="lint")


def _tell_version(asked: bool) -> None:  # noqa: FBT001 - typer's way to call back for a flag
    if asked:
        typer.echo(f"etymon {importlib.metadata.version('etymon')}")
        raise typer.Exit


@app.callback()
def _etymon(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Derived credentials for people who sign in with a smart card."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; an error of ours, or a file that cannot be used, becomes one line that says what to do next."""
    try:
        app(args=list(arguments) if arguments is not None else None, standalone_mode=True)
    except EtymonError as error:
        _end(error.detail or error.code, error.code)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.filename is None:
            _end(f"The system does not let it be done: {reason}.", "system")
        _end(f"{error.filename} cannot be used: {reason}.", "file")


def _end(sentence: str, code: str) -> NoReturn:
    told = f"[bold red]etymon:[/] {escape(sentence)} [dim]({code})[/]"
    Console(stderr=True).print(told, soft_wrap=True, highlight=False)
    sys.exit(2)
