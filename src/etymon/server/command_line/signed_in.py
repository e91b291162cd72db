# SPDX-License-Identifier: Apache-2.0
"""Commands that act over the administration API as whoever signs in: their options before the name, and their words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from urllib.parse import quote

import typer
from rich.console import Console

from etymon.server.command_line.options import (
    Card,
    CardFiles,
    CardPassphraseFile,
    PINFile,
    SiteAddress,
    SiteAnchors,
    SiteChoice,
    SiteData,
)

if TYPE_CHECKING:
    from etymon.server.apply.administration_api import AdministrationAPI

PersonArgument: TypeAlias = Annotated[str, typer.Argument(help="User principal name, or id; by id also after the end.")]


def access(
    context: typer.Context,
    *,
    data: SiteData = None,
    site: SiteAddress = "",
    ca: SiteAnchors = None,
    card: Card = None,
    pin_file: PINFile = None,
    passphrase_file: CardPassphraseFile = None,
) -> None:
    """Keep which site is meant and who signs in, for the command that follows."""
    context.obj = (SiteChoice(data, site, ca), CardFiles(card, pin_file, passphrase_file))


@contextmanager
def administration(context: typer.Context) -> "Iterator[AdministrationAPI]":
    """Give the administration API as whoever signs in."""
    from etymon.server.command_line import site_access

    choice, files = context.obj
    console = Console(stderr=True)
    with site_access.administration(site_access.chosen(choice), files, console) as (api, _):
        yield api


def quoted(text: str) -> str:
    """Return text as a part of an address."""
    return quote(text, safe="")


def tell(*parts: Any) -> None:
    """Print one line as it is."""
    Console(highlight=False).print("  ".join(str(part) for part in parts), markup=False, soft_wrap=True)
