# SPDX-License-Identifier: Apache-2.0
"""`etymon demo`: the whole story on this machine."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from etymon.server.demo.play import play


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the site running afterwards; Ctrl-C ends it.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write every step and judgement to this file.")] = None,
    directory: Annotated[Path | None, typer.Option(help="Empty directory to work in; else a temporary one.")] = None,
) -> None:
    """Play the story from an empty directory, with real servers and judges; fail at the first untruth."""
    status = play(Console(highlight=False), keep=keep, directory=directory, document=json)
    if status:
        raise typer.Exit(status)
