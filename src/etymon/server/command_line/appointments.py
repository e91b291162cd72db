# SPDX-License-Identifier: Apache-2.0
"""`etymon key-recovery appointments | confirm`: an Administrator confirms whom an Officer made recover keys."""

import enum
from typing import Annotated, Any

import typer

from etymon.server.command_line.signed_in import PersonArgument, administration, quoted, tell

ROLES = "/etymon/roles"


class RecoveryRole(enum.StrEnum):
    """A role that counts once it is confirmed."""

    AGENT = "keyRecoveryAgent"
    OFFICIAL = "keyRecoveryOfficial"


def list_(context: typer.Context) -> None:
    """List who is to recover keys and who does: who appointed and who confirmed them, when, and their cards."""
    with administration(context) as api:
        for item in api.every(ROLES):
            for each in item["appointments"]:
                _tell(item["userPrincipalName"], each)


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
    for each in confirmed["appointments"]:
        if each["role"] == role.value:
            _tell(confirmed["userPrincipalName"], each)


def _tell(person: str, appointment: dict[str, Any]) -> None:
    """Print an appointment on one line, and each card of the person on one below."""
    confirmer = appointment["confirmedBy"]
    state = f"confirmed by {confirmer}" if confirmer else "waits for an Administrator"
    appointed = f"appointed by {appointment['appointedBy'] or 'nobody'} at {appointment['assignedDateTime']}"
    tell(person, appointment["role"], appointed, state)
    for card in appointment["cards"]:
        tell(f"  card {card['identifier']} of {card['trustEntry']}")
    if not appointment["cards"]:
        tell("  no card")
