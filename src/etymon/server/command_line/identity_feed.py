# SPDX-License-Identifier: Apache-2.0
"""`etymon identity-feed`: who may tell of people and cards over SCIM, named by an Officer."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from etymon.kernel.errors import Malformed
from etymon.server.command_line import listing, options
from etymon.server.command_line.listing import AsJSON, Listing, key
from etymon.server.command_line.options import Access
from etymon.server.command_line.signed_in import quoted

app = typer.Typer(no_args_is_help=True, help="Programs that tell of people and cards over SCIM.")
Feed = Annotated[str, typer.Argument(help="Id of the feed: letters, digits, dots and hyphens.")]
FEEDS = "/etymon/identityFeeds"
LISTING = Listing(
    "No identity feed is named.",
    (
        key("id", "Feed"),
        key("displayName", "Name", words=True),
        key("mayBindCards", "May bind cards"),
        key("accounts", "Accounts"),
        key("registeredDateTime", "Named"),
    ),
)


@app.command()
@options.taken_as("access", options.access)
def name(
    feed: Feed,
    *,
    public_key: Annotated[Path, typer.Option(help="PEM file of the feed's public key, on P-256.")],
    display_name: Annotated[str, typer.Option("--name", help="Name for people.")],
    may_bind_cards: Annotated[
        bool, typer.Option("--may-bind-cards", help="Lets the feed bind cards to its people who hold no role.")
    ] = False,
    access: Access,
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
    meant = site_access.chosen(access.site)
    with site_access.administration(meant, access.card, console) as (api, _):
        api.put(f"{FEEDS}/{quoted(feed)}", body)
    right = "may bind cards" if may_bind_cards else "may not bind cards"
    console.print(f"The feed {feed} is named; it {right}. It signs in at {meant.url}/scim/oauth/token.", soft_wrap=True)


@app.command()
@options.taken_as("access", options.access)
def end(
    feed: Feed,
    *,
    access: Access,
) -> None:
    """End a feed, as an Officer. Its people stay."""
    from etymon.server.command_line import site_access

    console = Console()
    meant = site_access.chosen(access.site)
    with site_access.administration(meant, access.card, console) as (api, _):
        api.item(f"{FEEDS}/{quoted(feed)}")  # a slip of the pen is told, and ends nothing
        api.delete(f"{FEEDS}/{quoted(feed)}")
    console.print(f"The feed {feed} has ended.")


@app.command("list")
@options.taken_as("access", options.access)
def list_(*, as_json: AsJSON = False, access: Access) -> None:
    """List the feeds: what each may do, and of how many accounts it tells."""
    from etymon.server.command_line import site_access

    meant = site_access.chosen(access.site)
    with site_access.administration(meant, access.card, Console(stderr=True)) as (api, _):
        listing.show(LISTING, api.every(FEEDS), as_json=as_json)
