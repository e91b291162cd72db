# SPDX-License-Identifier: Apache-2.0
"""`etymon identity-feed`: who may tell of people and cards over SCIM, named by an Officer."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from etymon.kernel.errors import Malformed
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

app = typer.Typer(no_args_is_help=True, help="Programs that tell of people and cards over SCIM.")
Feed = Annotated[str, typer.Argument(help="Id of the feed: letters, digits, dots and hyphens.")]
FEEDS = "/etymon/identityFeeds"


@app.command()
def name(
    feed: Feed,
    *,
    public_key: Annotated[Path, typer.Option(help="PEM file of the feed's public key, on P-256.")],
    display_name: Annotated[str, typer.Option("--name", help="Name for people.")],
    may_bind_cards: Annotated[
        bool, typer.Option("--may-bind-cards", help="Lets the feed bind cards to its people who hold no role.")
    ] = False,
    data: SiteData = None,
    site: SiteAddress = "",
    ca: SiteAnchors = None,
    card: Card = None,
    pin_file: PINFile = None,
    passphrase_file: CardPassphraseFile = None,
) -> None:
    """Name a feed, or change its key and right, as an Officer.

    Whoever has the feed's key may end every account it tells of; with --may-bind-cards they may also open them.
    """
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey

    from etymon.server.command_line import site_access

    try:
        key = ECKey.import_key(public_key.read_bytes())
    except (JoseError, ValueError) as exc:
        raise Malformed("public_key", f"{public_key} holds no public key on P-256 in PEM form.") from exc
    if key.is_private:
        raise Malformed("public_key", f"{public_key} holds a private key. Name the file of the public one.")
    body = {"displayName": display_name, "publicKey": key.as_dict(private=False), "mayBindCards": may_bind_cards}
    console = Console()
    meant = site_access.chosen(SiteChoice(data, site, ca))
    with site_access.administration(meant, CardFiles(card, pin_file, passphrase_file), console) as (api, _):
        api.put(f"{FEEDS}/{feed}", body)
    right = "may bind cards" if may_bind_cards else "may not bind cards"
    console.print(f"The feed {feed} is named; it {right}. It signs in at {meant.url}/scim/oauth/token.", soft_wrap=True)


@app.command()
def end(
    feed: Feed,
    data: SiteData = None,
    site: SiteAddress = "",
    ca: SiteAnchors = None,
    card: Card = None,
    pin_file: PINFile = None,
    passphrase_file: CardPassphraseFile = None,
) -> None:
    """End a feed, as an Officer. Its people stay."""
    from etymon.server.command_line import site_access

    console = Console()
    meant = site_access.chosen(SiteChoice(data, site, ca))
    with site_access.administration(meant, CardFiles(card, pin_file, passphrase_file), console) as (api, _):
        api.delete(f"{FEEDS}/{feed}")
    console.print(f"The feed {feed} has ended.")
