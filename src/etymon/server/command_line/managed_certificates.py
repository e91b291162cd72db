# SPDX-License-Identifier: Apache-2.0
"""`etymon managed-certificates`: an Officer sees and ends what SCEP connectors gave out (docs/protocols/scep.md)."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from etymon.kernel.errors import NotFound
from etymon.server.command_line import listing
from etymon.server.command_line.listing import AsJSON, Column, Item, Listing, key
from etymon.server.command_line.officers import Comment, ReasonOption, Since, batches
from etymon.server.command_line.signed_in import access, administration, quoted, tell

if TYPE_CHECKING:
    from etymon.server.apply.administration_api import AdministrationAPI

app = typer.Typer(no_args_is_help=True, help="See and end what SCEP connectors gave out, as an Officer.")
app.callback()(access)

PATH = "/etymon/managedCertificates"
CONNECTORS = "/etymon/scepConnectors"
LISTING = Listing(
    "No connector gave out anything like that.",
    (
        key("id", "Id"),
        key("state", "State"),
        key("revokedAuthority", "Revoked authority"),
        key("serialNumber", "Serial number"),
        key("connector", "Connector"),
        Column("Person", lambda item: item["userPrincipalName"] or item["userId"]),
        Column("Device", lambda item: item["deviceName"] or item["deviceId"], words=True),
        key("notAfterDateTime", "Until"),
        key("endReason", "Ended because"),
    ),
)
IN_FORCE = Listing(
    "No connector is in force.",
    (
        key("name", "Connector"),
        key("challengeSource", "Challenges"),
        key("clientId", "Client"),
        key("lifetimeDays", "Days"),
        Column("Keys", lambda item: " ".join(item["keyTypes"]), words=True),
        key("legacyAlgorithms", "Old algorithms"),
        key("url", "Address"),
    ),
)


@app.command("list")
def list_(
    context: typer.Context,
    *,
    connector: Annotated[str, typer.Option(help="Of connectors of this name only, in force or not.")] = "",
    person: Annotated[str, typer.Option(help="Of this person only: user principal name, or id.")] = "",
    serial_number: Annotated[str, typer.Option("--serial", help="Of this serial number only, hexadecimal.")] = "",
    as_json: AsJSON = False,
) -> None:
    """List what connectors gave out, ended or not; the state `planned` says that it is not signed yet."""
    wanted = {"connector": connector, "serialNumber": _number(serial_number)}
    conditions = [_equal(name, value) for name, value in wanted.items() if value]
    query = f"?$filter={quote(' and '.join(conditions))}" if conditions else ""
    path = f"/users/{quoted(person)}/managedCertificates" if person else PATH
    with administration(context) as api:
        found = api.every(f"{path}{query}")
        listing.show(LISTING, _of_known(api, connector, found) if connector else found, as_json=as_json)


@app.command("connectors")
def connectors(context: typer.Context, *, as_json: AsJSON = False) -> None:
    """List the SCEP connectors in force; an Officer makes them with `etymon apply`."""
    with administration(context) as api:
        listing.show(IN_FORCE, api.every(CONNECTORS), as_json=as_json)


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
    tell(f"Ended {done['certificates']} certificates.", *(["It was over before."] if not done["certificates"] else []))


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


def _of_known(api: "AdministrationAPI", connector: str, found: Iterator[Item]) -> Iterator[Item]:
    """Yield what was found; where that is nothing, raises NotFound unless there is or was a connector of that name."""
    first = next(found, None)
    if first is not None:
        yield first
        yield from found
        return
    known = itertools.chain(
        (each["name"] for each in api.every(CONNECTORS)),
        (each["connector"] for each in api.every(f"{PATH}?$filter={quote(_equal('connector', connector))}&$top=1")),
    )
    if connector not in known:
        raise NotFound(
            "scep_connector_unknown",
            f"No connector called {connector} is in force, and none of that name gave anything out. "
            "`etymon managed-certificates connectors` lists those in force.",
        )


def _equal(name: str, value: str) -> str:
    """Return a condition of the API's `$filter`."""
    return f"{name} eq '{value.replace(chr(39), chr(39) * 2)}'"


def _number(text: str) -> str:
    """Return a serial number as the API writes it; people copy it with colons and leading zeros."""
    return text.replace(":", "").replace(" ", "").lower().lstrip("0")
