# SPDX-License-Identifier: Apache-2.0
"""`etymon demo`: the whole story on this machine."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from etymon.kernel.errors import Conflict


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the site running afterwards; Ctrl-C ends it.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write every step and judgement to this file.")] = None,
    directory: Annotated[Path | None, typer.Option(help="Empty directory to work in; else a temporary one.")] = None,
) -> None:
    """Play the story from an empty directory, with real servers and judges; fail at the first untruth."""
    from etymon.server.demo.play import play

    if directory is not None and directory.exists() and any(directory.iterdir()):
        raise Conflict("directory_not_empty", f"{directory} is not empty. Choose a new directory.")
    status = play(Console(highlight=False), keep=keep, directory=directory, document=json)
    if status:
        raise typer.Exit(status)
