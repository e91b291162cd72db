# SPDX-License-Identifier: Apache-2.0
"""Commands that act over the administration API as whoever signs in: their options before the name, and their words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from urllib.parse import quote

import typer
from rich.console import Console
from rich.text import Text

from etymon.server.command_line import options
from etymon.server.command_line.options import Access

if TYPE_CHECKING:
    from etymon.server.apply.administration_api import AdministrationAPI

PersonArgument: TypeAlias = Annotated[str, typer.Argument(help="User principal name, or id; by id also after the end.")]


@options.taken_as("signing_in", options.access)
def access(context: typer.Context, *, signing_in: Access) -> None:
    """Keep which site is meant and who signs in, for the command that follows."""
    context.obj = signing_in


@contextmanager
def administration(context: typer.Context) -> "Iterator[AdministrationAPI]":
    """Give the administration API as whoever signs in."""
    from etymon.server.command_line import site_access

    signing_in: Access = context.obj
    meant = site_access.chosen(signing_in.site)
    with site_access.administration(meant, signing_in.card, Console(stderr=True)) as (api, _):
        yield api


def quoted(text: str) -> str:
    """Return text as a part of an address."""
    return quote(text, safe="")


def tell(*parts: Any) -> None:
    """Print one line as it is."""
    Console().print(Text("  ".join(str(part) for part in parts)), soft_wrap=True)
