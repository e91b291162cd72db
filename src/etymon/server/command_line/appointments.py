# SPDX-License-Identifier: Apache-2.0
"""`etymon key-recovery appointments | confirm`: an Administrator confirms whom an Officer made recover keys."""

import enum
from typing import Annotated

import typer

from etymon.server.command_line.signed_in import PersonArgument, administration, quoted, tell

ROLES = "/etymon/roles"


class RecoveryRole(enum.StrEnum):
    """A role that counts once it is confirmed."""

    AGENT = "keyRecoveryAgent"
    OFFICIAL = "keyRecoveryOfficial"


def list_(context: typer.Context) -> None:
    """List who is to recover keys and who does, with who appointed and who confirmed them."""
    with administration(context) as api:
        for item in api.every(ROLES):
            for each in item["appointments"]:
                state = f"confirmed by {each['confirmedBy']}" if each["confirmedBy"] else "waits for an Administrator"
                tell(item["userPrincipalName"], each["role"], f"appointed by {each['appointedBy'] or 'nobody'}", state)


def confirm(
    context: typer.Context,
    person: PersonArgument,
    role: Annotated[RecoveryRole, typer.Option(help="Which role is confirmed.")],
) -> None:
    """Confirm that a person recovers keys, as an Administrator; look at the person's cards first."""
    with administration(context) as api:
        api.act(f"{ROLES}/{quoted(person)}/confirm", {"role": role.value})
    tell(person, role.value, "confirmed")
