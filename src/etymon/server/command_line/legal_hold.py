# SPDX-License-Identifier: Apache-2.0
"""`etymon key-recovery legal-hold`: a person's escrowed keys are kept for a proceeding, whatever retention says."""

from typing import Annotated, Final

import typer

from etymon.server.command_line import listing
from etymon.server.command_line.listing import AsJSON, Column, Listing, key
from etymon.server.command_line.signed_in import PersonArgument, administration, quoted, tell

app = typer.Typer(no_args_is_help=True, help="Keep a person's escrowed keys from being destroyed.")

HOLDS: Final = "/etymon/legalHolds"
LISTING: Final = Listing(
    "There is no legal hold; --all shows those that were lifted.",
    (
        key("id", "Id"),
        key("state", "State"),
        Column("Person", lambda item: item["userPrincipalName"] or item["userId"]),
        key("reference", "Reference", words=True),
        key("reason", "Reason", words=True),
        key("placedDateTime", "Placed"),
    ),
)


@app.command("place")
def place(
    context: typer.Context,
    person: PersonArgument,
    *,
    reference: Annotated[str, typer.Option(help="Which order or proceeding.")],
    reason: Annotated[str, typer.Option(help="Why, in words; kept in the audit trail.")],
) -> None:
    """Put a person's keys, those to come too, under hold, as an Officer or a key recovery official."""
    with administration(context) as api:
        done = api.act(HOLDS, {"user": person, "reference": reference, "reason": reason})
    kept = "1 key is" if done["keys"] == 1 else f"{done['keys']} keys are"
    tell(done["id"], f"{kept} kept until the hold is lifted.")


@app.command("list")
def list_(
    context: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those that were lifted.")] = False,
    as_json: AsJSON = False,
) -> None:
    """List the holds, the oldest first."""
    with administration(context) as api:
        found = api.every(HOLDS + ("" if every else "?$filter=state eq 'live'"))
        listing.show(LISTING, found, as_json=as_json)


@app.command("lift")
def lift(
    context: typer.Context,
    hold: Annotated[str, typer.Argument(help="Id of the hold, as `list` shows it.")],
    reason: Annotated[str, typer.Option(help="Why, in words; kept in the audit trail.")],
) -> None:
    """Lift a hold; keys whose time is over are destroyed at the next turn of the worker."""
    with administration(context) as api:
        done = api.act(f"{HOLDS}/{quoted(hold)}/lift", {"reason": reason})
    tell(done["id"], "lifted", done["reference"])
