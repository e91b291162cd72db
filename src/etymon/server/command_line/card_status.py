# SPDX-License-Identifier: Apache-2.0
"""`etymon card-status`: looking at the cards behind what was derived, now and in front of one's eyes."""

from functools import partial
from typing import TYPE_CHECKING

import typer

from etymon.server.command_line.options import Passphrase
from etymon.server.command_line.site import Data, opened

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

app = typer.Typer(no_args_is_help=True, help="The status of the cards behind derived credentials.")


@app.callback()
def _card_status() -> None:
    """Keep `sweep` a command of its own."""


@app.command()
def sweep(data: Data, passphrase_file: Passphrase = None) -> None:
    """Ask the status of all cards now. What was broken off goes on; workers may run beside it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from etymon.issuer import card_status_monitor

    deps = opened(data, passphrase_file).issuer
    console = Console()
    with deps.database.transaction() as tx:
        card_status_monitor.check_now(tx, deps, actor="operator")
        sources = card_status_monitor.all_sources(tx)
        cards = {source.id: card_status_monitor.count(tx, source) for source in sources}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        for source in sources:
            done = source.checked + source.unknown if source.began_at else 0
            task = bar.add_task(source.list_url or source.trust_entry, total=cards[source.id], completed=done)
            tell = partial(_advance, bar, task)
            while not card_status_monitor.sweep(deps, source.id, progress=tell):
                pass
    with deps.database.snapshot() as tx:
        after = card_status_monitor.all_sources(tx)
    silent = [source for source in after if source.silent_since]
    unknown = sum(source.unknown for source in after)
    for source in silent:
        console.print(f"{source.list_url or source.trust_entry}: nobody answers; nothing was changed.", markup=False)
    console.print(f"{sum(cards.values())} cards at {len(sources)} sources.", highlight=False)
    if unknown:
        console.print(f"Of {unknown} of them nobody tells the status; they are asked for again.", highlight=False)
    if silent or unknown:
        raise typer.Exit(1)


def _advance(bar: "Progress", task: "TaskID", checked: int) -> None:
    bar.update(task, completed=checked)
