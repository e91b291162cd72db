# SPDX-License-Identifier: Apache-2.0
"""`etymon key-recovery`: keys of others, asked for by an official, let out by two agents.

See docs/operations/key-recovery.md.
"""

import base64
import enum
import hashlib
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from etymon.kernel.errors import Malformed
from etymon.server.command_line import appointments, legal_hold, listing
from etymon.server.command_line.files import require_new, secret
from etymon.server.command_line.listing import AsJSON, Column, Item, Listing, Part, key
from etymon.server.command_line.signed_in import PersonArgument, access, administration, quoted, tell

app = typer.Typer(
    no_args_is_help=True, help="Recover another person's escrowed encryption keys: two agents let them out."
)
app.callback()(access)
app.add_typer(legal_hold.app, name="legal-hold")
app.command("appointments")(appointments.list_)
app.command("confirm")(appointments.confirm)

RECOVERIES: Final = "/etymon/keyRecoveries"
WAITING: Final = "?$filter=state in ('requested', 'half_approved', 'approved')"
UNEXPLAINED: Final = "?$filter=state in ('refused', 'expired', 'failed') and cause eq null"
HALVES: Final = ("first", "second")

KEY: Final = (
    key("serialNumber", "Serial number"),
    key("keyType", "Key"),
    key("state", "State"),
    key("notAfterDateTime", "Certificate until"),
)
KEYS: Final = Listing("No key of this person is in escrow.", KEY)
LISTING: Final = Listing(
    "No recovery is listed; --all shows those that are over.",
    (
        key("id", "Id"),
        key("state", "State"),
        Column("Person", lambda item: item["userPrincipalName"] or item["userId"]),
        key("requestor", "For", words=True),
        Column("By", lambda item: f"{item['authority']} {item['reference']}", words=True),
        key("reason", "Reason", words=True),
        Column("Document", lambda item: item["documentSha256"] or None),
        Column("Notice", lambda item: "withheld" if item["noticeWithheld"] else None),
        Column("Until", lambda item: None if item["endedDateTime"] else item["expiresDateTime"]),
        key("endReason", "Ended because", words=True),
        key("cause", "Cause", words=True),
    ),
    (Part(lambda item: item["keys"], KEY),),
)

RecoveryArgument: TypeAlias = Annotated[str, typer.Argument(help="Id of the recovery, as `list` shows it.")]


class Keys(enum.StrEnum):
    """Which keys are asked for."""

    ALL = "all"
    CURRENT = "current"


class Authority(enum.StrEnum):
    """What entitles the requestor."""

    POLICY = "policy"
    LEGAL_PROCESS = "legalProcess"


@app.command("keys")
def keys(context: typer.Context, person: PersonArgument, *, as_json: AsJSON = False) -> None:
    """List a person's keys in escrow by their certificates, the newest first."""
    with administration(context) as api:
        listing.show(KEYS, api.every(f"/users/{quoted(person)}/escrowedKeys"), as_json=as_json)


@app.command("request")
def request(
    context: typer.Context,
    person: PersonArgument,
    *,
    requestor: Annotated[str, typer.Option("--for", help="Who gets the keys.")],
    authority: Annotated[Authority, typer.Option(help="What entitles the requestor.")],
    reference: Annotated[str, typer.Option(help="Which written authorisation, such as a court's number.")],
    reason: Annotated[str, typer.Option(help="Why, in words; kept in the audit trail.")],
    which: Annotated[Keys, typer.Option("--keys", help="All keys, or the newest.")] = Keys.ALL,
    serial: Annotated[
        list[str] | None, typer.Option(help="Instead: the key of this certificate; may be repeated.")
    ] = None,
    document: Annotated[Path | None, typer.Option(help="The authorisation; its SHA-256 goes on record.")] = None,
    no_notice: Annotated[bool, typer.Option("--no-notice", help="Legal process keeps it from the person.")] = False,
) -> None:
    """Ask for another person's keys, as a key recovery official; agents are told by mail."""
    body = {
        "user": person,
        "keys": "named" if serial else which.value,
        "serialNumbers": serial or [],
        "requestor": requestor,
        "authority": authority.value,
        "reference": reference,
        "documentSha256": hashlib.sha256(document.read_bytes()).hexdigest() if document else "",
        "reason": reason,
        "withholdNotice": no_notice,
    }
    with administration(context) as api:
        _tell_recovery(api.act(RECOVERIES, body))


@app.command("list")
def list_(
    context: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    unexplained: Annotated[bool, typer.Option(help="Those that were not successful and have no cause yet.")] = False,
    as_json: AsJSON = False,
) -> None:
    """List the recoveries that wait for agents or their official, the oldest first."""
    with administration(context) as api:
        found = api.every(RECOVERIES + (UNEXPLAINED if unexplained else "" if every else WAITING))
        listing.show(LISTING, found, as_json=as_json)


@app.command("approve")
def approve(
    context: typer.Context,
    recovery: RecoveryArgument,
    half_file: Annotated[Path | None, typer.Option(help="New file for your half; else it is shown.")] = None,
) -> None:
    """Approve a recovery as one of two agents, and get your half of the password, this once."""
    from etymon.pki.keys import write_once

    if half_file is not None:
        require_new(half_file)
    with administration(context) as api:
        done = api.act(f"{RECOVERIES}/{quoted(recovery)}/approve", {})
        official = api.item(f"/users/{quoted(done['requestedBy'])}")
    _tell_recovery(done)
    whose = f"{official['displayName']} ({official['userPrincipalName']}), who asked,"
    if half_file is None:
        tell(f"Your half of the password, for {whose} alone:", done["passwordHalf"])
    else:
        write_once(half_file, f"{done['passwordHalf']}\n".encode())
        tell(f"Your half of the password is in {half_file}, for {whose} alone.")


@app.command("refuse")
def refuse(
    context: typer.Context,
    recovery: RecoveryArgument,
    reason: Annotated[str, typer.Option(help="Why, in words; the official is told.")],
) -> None:
    """Refuse a recovery as an agent, or take your own request back."""
    with administration(context) as api:
        _tell_recovery(api.act(f"{RECOVERIES}/{quoted(recovery)}/refuse", {"reason": reason}))


@app.command("collect")
def collect(
    context: typer.Context,
    recovery: RecoveryArgument,
    into: Annotated[Path, typer.Option(help="Directory for the keys, one SERIAL.p12 each.")],
    half_file: Annotated[list[Path] | None, typer.Option(help="File with a half of the password; twice.")] = None,
) -> None:
    """Collect the keys, once, as the official who asked, with the halves from both agents."""
    from etymon.pki.keys import write_once

    files: list[Path | None] = [*(half_file or (None, None))]
    if len(files) != len(HALVES):
        raise Malformed("half_files", "Name two files with a half of the password each, or none to be asked for both.")
    halves = [secret(file, f"The {name} half of the password") for file, name in zip(files, HALVES, strict=True)]
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    with administration(context) as api:
        for found in api.item(f"{RECOVERIES}/{quoted(recovery)}")["keys"]:
            require_new(_package(into, found))
        done = api.act(
            f"{RECOVERIES}/{quoted(recovery)}/collect", {"passwordHalves": [half.reveal() for half in halves]}
        )
    for found in done["keys"]:
        file = _package(into, found)
        write_once(file, base64.b64decode(found["pkcs12"]))
        tell("Written:", file)
    tell("The password is the half that begins with 1-, a hyphen, and the half that begins with 2-.")


@app.command("explain")
def explain(
    context: typer.Context,
    recovery: RecoveryArgument,
    cause: Annotated[str, typer.Option(help="What the analysis found, in words.")],
) -> None:
    """Record why a recovery was refused, expired or failed."""
    with administration(context) as api:
        _tell_recovery(api.act(f"{RECOVERIES}/{quoted(recovery)}/explain", {"cause": cause}))


def _package(into: Path, found: Item) -> Path:
    return into / f"{int(found['serialNumber'], 16):x}.p12"


def _tell_recovery(item: Item) -> None:
    listing.show(LISTING, [item])
