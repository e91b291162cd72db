# SPDX-License-Identifier: Apache-2.0
"""`etymon apply`: brings an organisation about as one file describes it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from etymon.kernel.clock import SystemClock
from etymon.server.command_line import options
from etymon.server.command_line.options import Access


@options.taken_as("access", options.access)
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
    access: Access,
) -> None:
    """Bring an organisation about as FILE describes it: show the difference, ask, do it.

    An Administrator does everything but issuance rules, connectors and the roles of Officers, Auditors and who recovers
    keys; an Officer does these. Nothing ends without --prune.
    """
    from etymon.server.apply import applying, reading
    from etymon.server.apply.applying import Outcome, Wishes
    from etymon.server.apply.planning import Passwords, Pruning
    from etymon.server.command_line import site_access

    console = Console()
    organization = reading.read(file)
    meant = site_access.chosen(access.site)
    console.print(f"{organization.name} at {meant.url}", style="bold", highlight=False, markup=False)
    wishes = Wishes(
        Pruning.END if prune else Pruning.KEEP,
        Passwords.AGAIN if send_passwords else Passwords.WITH_CHANGES,
        only_look=check,
    )
    with site_access.administration(meant, access.card, console) as (api, signed_in):
        outcome = applying.apply(
            organization,
            api,
            signed_in.subject(),
            wishes,
            clock=SystemClock(),
            console=console,
            confirm=lambda question: yes or typer.confirm(question),
        )
    if outcome is Outcome.DIFFERENT:
        raise typer.Exit(1)
