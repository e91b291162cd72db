# SPDX-License-Identifier: Apache-2.0
"""`etymon key-recovery appointments | confirm`: an Administrator confirms whom an Officer made recover keys."""

import enum
from collections.abc import Iterator
from typing import Annotated

import typer

from etymon.server.command_line import listing
from etymon.server.command_line.listing import AsJSON, Column, Item, Listing, Part, key
from etymon.server.command_line.signed_in import PersonArgument, administration, quoted

ROLES = "/etymon/roles"
CARDS = Part(
    lambda each: each["cards"],
    (Column("Cards", lambda card: f"card {card['identifier']} of {card['trustEntry']}"),),
    nothing="no card",
)


def _appointed(each: Item) -> str:
    return f"appointed by {each['appointedBy'] or 'nobody'} at {each['assignedDateTime']}"


def _state(each: Item) -> str:
    return f"confirmed by {each['confirmedBy']}" if each["confirmedBy"] else "waits for an Administrator"


LISTING = Listing(
    "Nobody recovers keys, and nobody is to.",
    (
        key("userPrincipalName", "Person"),
        key("role", "Role"),
        Column("Appointment", _appointed),
        Column("State", _state),
    ),
    (CARDS,),
)


class RecoveryRole(enum.StrEnum):
    """A role that counts once it is confirmed."""

    AGENT = "keyRecoveryAgent"
    OFFICIAL = "keyRecoveryOfficial"


def list_(context: typer.Context, *, as_json: AsJSON = False) -> None:
    """List who is to recover keys and who does: who appointed and who confirmed them, when, and their cards."""
    with administration(context) as api:
        found = (each for item in api.every(ROLES) for each in _appointments(item))
        listing.show(LISTING, found, as_json=as_json)


def confirm(
    context: typer.Context,
    person: PersonArgument,
    role: Annotated[RecoveryRole, typer.Option(help="Which role is confirmed.")],
    assigned: Annotated[str, typer.Option(help="When it was given, as `appointments` lists it beside the cards.")],
) -> None:
    """Confirm, as an Administrator, the appointment that `appointments` listed; look at its cards first.

    Refused when the role was given anew since (`appointment_changed`).
    """
    with administration(context) as api:
        wanted = {"role": role.value, "assignedDateTime": assigned}
        confirmed = api.act(f"{ROLES}/{quoted(person)}/confirm", wanted)
    listing.show(LISTING, [each for each in _appointments(confirmed) if each["role"] == role.value])


def _appointments(item: Item) -> Iterator[Item]:
    """Yield a person's appointments, each with the person's name."""
    for each in item["appointments"]:
        yield {"userId": item["userId"], "userPrincipalName": item["userPrincipalName"], **each}
