# SPDX-License-Identifier: Apache-2.0
"""`etymon managed-certificates`: an officer sees and ends what SCEP connectors gave out (docs/protocols/scep.md)."""

from typing import Annotated
from urllib.parse import quote

import typer

from etymon.server.command_line.officers import Comment, ReasonOption, Since, batches
from etymon.server.command_line.signed_in import access, administration, quoted, tell

app = typer.Typer(no_args_is_help=True, help="See and end what SCEP connectors gave out, as an Officer.")
app.callback()(access)

PATH = "/etymon/managedCertificates"


@app.command("list")
def list_(
    context: typer.Context,
    *,
    connector: Annotated[str, typer.Option(help="Of connectors of this name only, in force or not.")] = "",
    person: Annotated[str, typer.Option(help="Of this person only: user principal name, or id.")] = "",
    serial_number: Annotated[str, typer.Option("--serial", help="Of this serial number only, hexadecimal.")] = "",
) -> None:
    """List what connectors gave out, ended or not; the state `planned` says that it is not signed yet."""
    wanted = {"connector": connector, "serialNumber": _number(serial_number)}
    conditions = [f"{name} eq '{value.replace(chr(39), chr(39) * 2)}'" for name, value in wanted.items() if value]
    query = f"?$filter={quote(' and '.join(conditions))}" if conditions else ""
    path = f"/users/{quoted(person)}/managedCertificates" if person else PATH
    with administration(context) as api:
        for item in api.every(f"{path}{query}"):
            holder = item["userPrincipalName"] or item["userId"] or item["deviceName"] or item["deviceId"]
            device = item["deviceName"] if item["userId"] else None
            told = (item["serialNumber"], item["connector"], holder, device, item["notAfterDateTime"])
            tell(item["id"], item["state"], *filter(None, (item["revokedAuthority"], *told)), item["endReason"] or "")


@app.command("end")
def end(
    context: typer.Context,
    certificate: Annotated[str, typer.Argument(help="Id of the certificate, as `list` shows it.")],
    reason: ReasonOption,
    comment: Comment,
) -> None:
    """End one certificate; ending it twice does no harm."""
    with administration(context) as api:
        done = api.act(f"{PATH}/{quoted(certificate)}/end", {"reason": reason.value, "comment": comment})
    tell(f"Ended {done['certificates']} certificates.")


@app.command("end-enrolled")
def end_enrolled(
    context: typer.Context,
    connector: Annotated[str, typer.Argument(help="Name of the connector, in force or not.")],
    *,
    since: Since,
    reason: ReasonOption,
    comment: Comment,
) -> None:
    """End everything that a connector has enrolled since a time, batch by batch, and the challenges that wait.

    Close the door first: a new page password, key of the client, or connector. Run it again after an interruption: it
    goes on.
    """
    body = {"connector": connector, "since": since, "reason": reason.value, "comment": comment}
    with administration(context) as api:
        for done, left in batches(api, f"{PATH}/endEnrolled", body, "certificates"):
            told = f"Ended {done['certificates']} certificates, {done['challenges']} challenges"
            tell(f"{told}; {left} certificates remain.")


def _number(text: str) -> str:
    """Return a serial number as the API writes it; people copy it with colons and leading zeros."""
    return text.replace(":", "").replace(" ", "").lower().lstrip("0")
