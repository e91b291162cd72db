# SPDX-License-Identifier: Apache-2.0
"""`etymon appointments`: an Administrator confirms whom an Officer made an Officer, or had recover keys."""

import enum
from typing import Annotated, Any, Final

import typer

from etymon.server.command_line.signed_in import PersonArgument, access, administration, quoted, tell

app = typer.Typer(no_args_is_help=True, help="Officers and people who recover keys: an Administrator confirms each.")
app.callback()(access)

ROLES: Final = "/etymon/roles"


class ConfirmedRole(enum.StrEnum):
    """A role that counts once it is confirmed."""

    OFFICER = "officer"
    AGENT = "keyRecoveryAgent"
    OFFICIAL = "keyRecoveryOfficial"


@app.command("list")
def list_(context: typer.Context) -> None:
    """List who has such a role and who waits for it: who appointed and who confirmed them, when, and their cards."""
    with administration(context) as api:
        for item in api.every(ROLES):
            for each in item["appointments"]:
                _tell(item["userPrincipalName"], each)


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
    with administration(context) as api:
        wanted = {"role": role.value, "assignedDateTime": assigned}
        confirmed = api.act(f"{ROLES}/{quoted(person)}/confirm", wanted)
    for each in confirmed["appointments"]:
        if each["role"] == role.value:
            _tell(confirmed["userPrincipalName"], each)


def _tell(person: str, appointment: dict[str, Any]) -> None:
    """Print an appointment on one line, and each card of the person on one below."""
    confirmer = appointment["confirmedBy"]
    waits = "needs no confirmation" if appointment["counts"] else "waits for an Administrator"
    appointed = f"appointed by {appointment['appointedBy'] or 'nobody'} at {appointment['assignedDateTime']}"
    tell(person, appointment["role"], appointed, f"confirmed by {confirmer}" if confirmer else waits)
    for card in appointment["cards"]:
        tell(f"  card {card['identifier']} of {card['trustEntry']}")
    if not appointment["cards"]:
        tell("  no card")
