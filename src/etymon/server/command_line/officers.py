# SPDX-License-Identifier: Apache-2.0
"""What commands of an officer share: who signs in where, why something ends, and how it is told."""

import enum
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


class Reason(enum.StrEnum):
    """What the revocation list says (RFC 5280 §5.3.1)."""

    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    UNSPECIFIED = "unspecified"


PersonArgument: TypeAlias = Annotated[str, typer.Argument(help="User principal name, or id; by id also after the end.")]
ReasonOption: TypeAlias = Annotated[Reason, typer.Option("--reason", help="What the revocation list says.")]
Comment: TypeAlias = Annotated[str, typer.Option("--comment", help="Why, in words; kept in the audit trail.")]
Since: TypeAlias = Annotated[str, typer.Option(help="Since when, such as 2026-01-31T08:00:00Z.")]


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
    """Remember where to sign in, and with which card; the callback of a group of commands."""
    context.obj = (SiteChoice(data, site, ca), CardFiles(card, pin_file, passphrase_file))


@contextmanager
def administration(context: typer.Context) -> "Iterator[AdministrationAPI]":
    """Sign in, and lend the administration API."""
    from etymon.server.command_line import site_access

    choice, files = context.obj
    console = Console(stderr=True)
    with site_access.administration(site_access.chosen(choice), files, console) as (api, _):
        yield api


def quoted(text: str) -> str:
    """Return text as a part of a path."""
    return quote(text, safe="")


def show(*parts: Any) -> None:
    """Print one line as it is."""
    Console(highlight=False).print("  ".join(str(part) for part in parts), markup=False, soft_wrap=True)
