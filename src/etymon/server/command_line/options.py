# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share: which site, and the software card to sign in with."""

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
