# SPDX-License-Identifier: Apache-2.0
"""`etymon appointments`: an Administrator confirms whom an Officer made an Officer, or had recover keys."""

import enum
from collections.abc import Iterator
from typing import Annotated, Final

import typer

from etymon.server.apply.applying import counts
from etymon.server.command_line import listing
from etymon.server.command_line.listing import AsJSON, Column, Item, Listing, Part, key
from etymon.server.command_line.signed_in import PersonArgument, access, administration, quoted

app = typer.Typer(no_args_is_help=True, help="Officers and people who recover keys: an Administrator confirms each.")
app.callback()(access)

ROLES: Final = "/etymon/roles"
CARDS: Final = Part(
    lambda each: each["cards"],
    (Column("Cards", lambda card: f"card {card['identifier']} of {card['trustEntry']}"),),
    nothing="no card",
)


def _appointed(each: Item) -> str:
    by = each.get("appointedByPrincipalName") or each["appointedBy"] or "init"
    return f"appointed by {by} at {each['assignedDateTime']}"


def _state(each: Item) -> str:
    if each["confirmedBy"]:
        return f"confirmed by {each.get('confirmedByPrincipalName') or each['confirmedBy']}"
    return "needs no confirmation" if counts(each) else "waits for an Administrator"


LISTING: Final = Listing(
    "Nobody is an Officer or recovers keys, and nobody is to.",
    (
        key("userPrincipalName", "Person"),
        key("role", "Role"),
        Column("Appointment", _appointed),
        Column("State", _state),
    ),
    (CARDS,),
)


class ConfirmedRole(enum.StrEnum):
    """A role that counts once it is confirmed."""

    OFFICER = "officer"
    AGENT = "keyRecoveryAgent"
    OFFICIAL = "keyRecoveryOfficial"


@app.command("list")
def list_(context: typer.Context, *, as_json: AsJSON = False) -> None:
    """List who has such a role and who waits for it: who appointed and who confirmed them, when, and their cards."""
    with administration(context) as api:
        found = (each for item in api.every(ROLES) for each in _appointments(item))
        listing.show(LISTING, found, as_json=as_json)


@app.command("confirm")
def confirm(
    context: typer.Context,
    person: PersonArgument,
    role: Annotated[ConfirmedRole, typer.Option(help="Which role is confirmed.")],
    assigned: Annotated[str, typer.Option(help="When it was given, as `list` shows it beside the cards.")],
) -> None:
    """Confirm, as an Administrator, the appointment that `list` showed; look at its cards first.

    Refused when the role was given anew since (`appointment_changed`).
    """
    from etymon.graph.representations.body import instant

    instant(assigned, "--assigned")
    with administration(context) as api:
        wanted = {"role": role.value, "assignedDateTime": assigned}
        confirmed = api.act(f"{ROLES}/{quoted(person)}/confirm", wanted)
    listing.show(LISTING, [each for each in _appointments(confirmed) if each["role"] == role.value])


def _appointments(item: Item) -> Iterator[Item]:
    """Yield a person's appointments, each with the person's name."""
    for each in item.get("appointments", ()):
        yield {"userId": item["userId"], "userPrincipalName": item["userPrincipalName"], **each}
