# SPDX-License-Identifier: Apache-2.0
"""The `etymon` command. Exit status: 0 done, 1 not so (a check failed), 2 the command or its input cannot be used."""

import sys
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.markup import escape

from etymon.kernel.errors import EtymonError
from etymon.server.command_line import card, card_issuer, phone, settings, site
from etymon.server.command_line.apply import apply
from etymon.server.command_line.demo import demo

app = typer.Typer(
    name="etymon",
    help="Derived credentials for people who sign in with a smart card.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo)
app.command("init")(site.init)
app.command("apply")(apply)
app.command("serve")(site.serve)
app.command("worker")(site.work)
app.command("proxy-files")(site.write_proxy_files)
app.command("settings")(settings.show)
app.add_typer(card.app, name="card")
app.add_typer(card_issuer.app, name="card-issuer")
app.add_typer(phone.app, name="phone")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; an error of ours, or a file that cannot be used, becomes one line that says what to do next."""
    try:
        app(args=list(arguments) if arguments is not None else None, standalone_mode=True)
    except EtymonError as error:
        told = f"[bold red]etymon:[/] {escape(error.detail or error.code)} [dim]({error.code})[/]"
        Console(stderr=True).print(told, soft_wrap=True, highlight=False)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:  # not of a file that somebody named
            raise
        told = f"[bold red]etymon:[/] {escape(str(error.filename))} cannot be used: {error.strerror}. [dim](file)[/]"
        Console(stderr=True).print(told, soft_wrap=True, highlight=False)
        sys.exit(2)
