# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share: which site, the software card to sign in with, where the root keys are.

A list of options is written once, as a function that makes a value of them; `taken_as` gives it to a command.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

SiteData: TypeAlias = Annotated[
    Path | None, typer.Option("--data", help="Data directory on this machine: names the site and its TLS anchors.")
]
SiteAddress: TypeAlias = Annotated[str, typer.Option("--site", help="Address of the site, https://HOST:8443.")]
SiteAnchors: TypeAlias = Annotated[
    Path | None, typer.Option("--ca", help="PEM file of the site's TLS anchors; else the machine's.")
]
Card: TypeAlias = Annotated[
    Path | None, typer.Option("--card", help="Software card to sign in with; else a browser is asked.")
]
PINFile: TypeAlias = Annotated[
    Path | None, typer.Option("--pin-file", help="File whose first line is the card's PIN; asked otherwise.")
]
CardPassphraseFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="File whose first line opens the card file; asked otherwise."),
]
Passphrase: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--passphrase-file",
        help="Opens the keys; may repeat, a part each. Else the service credential etymon-passphrase.",
    ),
]
RootDirectory: TypeAlias = Annotated[
    Path | None, typer.Option("--root-keys", help="Directory of the root keys, which is kept in a safe place.")
]
RootPassphraseFile: TypeAlias = Annotated[
    Path | None, typer.Option("--root-passphrase-file", help="Protects the root keys of that directory.")
]
RootTokenLabel: TypeAlias = Annotated[
    str, typer.Option("--root-token", help="Instead: label of a token of its own that has the root keys.")
]
RootPINFile: TypeAlias = Annotated[Path | None, typer.Option("--root-pin-file", help="The PIN of that token.")]
RootModule: TypeAlias = Annotated[
    Path | None, typer.Option("--root-module", help="Its PKCS#11 module; else the setting pkcs11_module.")
]

Command: TypeAlias = Callable[..., None]


@dataclass(frozen=True, slots=True)
class RootChoice:
    """Where the root keys are: a directory with its passphrase, or a token with its PIN."""

    directory: Path | None
    passphrase_file: Path | None
    token: str
    pin_file: Path | None
    module: Path | None


@dataclass(frozen=True, slots=True)
class SiteChoice:
    """The site that is meant: by address, by data directory, or both; and the file of its TLS anchors."""

    data: Path | None
    address: str
    anchors: Path | None


@dataclass(frozen=True, slots=True)
class CardFiles:
    """Where a software card is, its PIN, and what opens its file."""

    card: Path | None
    pin: Path | None
    passphrase: Path | None


@dataclass(frozen=True, slots=True)
class Access:
    """Which site is meant, and whose card signs in there."""

    site: SiteChoice
    card: CardFiles


def site_choice(*, data: SiteData = None, site: SiteAddress = "", ca: SiteAnchors = None) -> SiteChoice:
    """Return which site is meant."""
    return SiteChoice(data, site, ca)


def access(
    *,
    data: SiteData = None,
    site: SiteAddress = "",
    ca: SiteAnchors = None,
    card: Card = None,
    pin_file: PINFile = None,
    passphrase_file: CardPassphraseFile = None,
) -> Access:
    """Return which site is meant and who signs in."""
    return Access(SiteChoice(data, site, ca), CardFiles(card, pin_file, passphrase_file))


def root_choice(
    *,
    root_keys: RootDirectory = None,
    root_passphrase_file: RootPassphraseFile = None,
    root_token: RootTokenLabel = "",
    root_pin_file: RootPINFile = None,
    root_module: RootModule = None,
) -> RootChoice:
    """Return where the root keys are."""
    return RootChoice(root_keys, root_passphrase_file, root_token, root_pin_file, root_module)


def taken_as(name: str, options: Callable[..., object]) -> Callable[[Command], Command]:
    """Let a command take the options of a function, and get what it makes of them as its keyword argument `name`."""
    listed = inspect.signature(options).parameters

    def taken(command: Command) -> Command:
        @functools.wraps(command)
        def run(*arguments: object, **given: object) -> None:
            made = options(**{option: given.pop(option) for option in listed})
            command(*arguments, **given, **{name: made})

        own = inspect.signature(command)
        parameters = [each for each in own.parameters.values() if each.name != name]
        run.__dict__["__signature__"] = own.replace(parameters=[*parameters, *listed.values()])
        return run

    return taken
