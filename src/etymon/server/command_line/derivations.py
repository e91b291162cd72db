# SPDX-License-Identifier: Apache-2.0
"""`etymon derivations`: an officer decides about requests, and ends credentials of others (docs/life-cycle.md)."""

from typing import Annotated, Final

import typer

from etymon.server.command_line import listing
from etymon.server.command_line.listing import AsJSON, Column, Item, Listing, Part, key
from etymon.server.command_line.officers import Comment, ReasonOption, Since
from etymon.server.command_line.signed_in import PersonArgument, access, administration, quoted, tell

app = typer.Typer(no_args_is_help=True, help="Decide about derived credentials of others, as an Officer.")


app.callback()(access)


def _joined(item: Item, *names: str) -> str:
    return " ".join(filter(None, (item[name] for name in names)))


def _held(item: Item) -> str:
    """Return who holds what a phone has, since when, until when and why."""
    hold = item["hold"]
    if not hold:
        return ""
    own = hold["heldBy"] == item["userId"]
    by = "the cardholder" if own else f"officer {hold['heldByPrincipalName'] or hold['heldBy']}"
    since = f" since {hold['heldDateTime']}" if hold["heldDateTime"] else ""
    return f"by {by}{since} until {hold['heldUntilDateTime']}" + (f": {hold['reason']}" if hold["reason"] else "")


WAITING: Final = Listing(
    "No request waits for an officer.",
    (
        key("id", "Id"),
        Column("Person", lambda item: item["userPrincipalName"] or item["userId"]),
        key("issuanceRule", "Rule", words=True),
        key("requestedDateTime", "Asked"),
        key("expiresDateTime", "Good until"),
    ),
)
CREDENTIALS: Final = Part(
    lambda item: item["credentials"],
    (
        key("purpose", "Purpose"),
        key("state", "State"),
        key("serialNumber", "Serial number"),
        key("notAfterDateTime", "Good until"),
        key("endReason", "Ended because"),
    ),
)
KEYS: Final = Part(
    lambda item: item["attestations"],
    (
        Column("Key", lambda found: f"key of {found['purpose']}"),
        key("verdict", "Verdict"),
        Column("Where it is", lambda found: (found["securityLevel"] or "").replace("_", " "), words=True),
        Column("Phone", lambda found: _joined(found, "manufacturer", "model"), words=True),
        key("authority", "Vouched for by"),
    ),
)
DERIVED: Final = Listing(
    "Nothing was derived for this person.",
    (
        key("id", "Id"),
        key("state", "State"),
        Column(
            "Phone", lambda item: _joined(item, "manufacturer", "model", "serialNumber") or "no phone yet", words=True
        ),
        key("endReason", "Ended because"),
        Column("On hold", _held, words=True),
    ),
    (CREDENTIALS, KEYS),
)


@app.command("requests")
def requests(context: typer.Context, *, as_json: AsJSON = False) -> None:
    """List the requests that wait for an officer, the oldest first."""
    with administration(context) as api:
        listing.show(WAITING, api.every("/etymon/derivationRequests"), as_json=as_json)


@app.command("approve")
def approve(context: typer.Context, request: Annotated[str, typer.Argument(help="Id of the request.")]) -> None:
    """Approve another person's request; the person is told by mail."""
    with administration(context) as api:
        done = api.act(f"/etymon/derivationRequests/{quoted(request)}/approve", {})
    tell("Approved", done["userPrincipalName"], f"good until {done['expiresDateTime']}")


@app.command("refuse")
def refuse(
    context: typer.Context,
    request: Annotated[str, typer.Argument(help="Id of the request.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in words; the applicant is told.")],
) -> None:
    """Refuse another person's request; the person is told by mail."""
    with administration(context) as api:
        done = api.act(f"/etymon/derivationRequests/{quoted(request)}/refuse", {"reason": reason})
    tell("Refused", done["userPrincipalName"])


@app.command("list")
def list_(context: typer.Context, person: PersonArgument, *, as_json: AsJSON = False) -> None:
    """List everything that was derived for a person, the newest first; of what is held who holds it, and why."""
    with administration(context) as api:
        listing.show(DERIVED, api.every(f"/users/{quoted(person)}/derivations"), as_json=as_json)


@app.command("hold")
def hold(
    context: typer.Context,
    derivation: Annotated[str, typer.Argument(help="Id of the derivation, as `list` shows it.")],
    comment: Comment,
) -> None:
    """Put what another person has on one device on hold; unless it is restored in time, it ends. The person is told."""
    with administration(context) as api:
        done = api.act(f"/etymon/derivations/{quoted(derivation)}/hold", {"comment": comment})
    tell(f"On hold; it ends unless it is restored before {done['heldUntilDateTime']}.")


@app.command("restore")
def restore(
    context: typer.Context,
    derivation: Annotated[str, typer.Argument(help="Id of the derivation, as `list` shows it.")],
    evidence: Annotated[
        str, typer.Option("--identity-evidence", help="How the person's identity was established anew; kept.")
    ],
) -> None:
    """Put what another person has on hold in force again; the person is told by mail."""
    with administration(context) as api:
        path = f"/etymon/derivations/{quoted(derivation)}/restore"
        done = api.act(path, {"identityEvidence": evidence})
    tell(f"Restored {done['credentials']} certificates.")


@app.command("end")
def end(
    context: typer.Context,
    derivation: Annotated[str, typer.Argument(help="Id of the derivation, as `list` shows it.")],
    reason: ReasonOption,
    comment: Comment,
) -> None:
    """End what a person has on one device; the person is told by mail."""
    with administration(context) as api:
        done = api.act(f"/etymon/derivations/{quoted(derivation)}/end", {"reason": reason.value, "comment": comment})
    tell(f"Ended {done['credentials']} certificates.")


@app.command("end-all")
def end_all(context: typer.Context, person: PersonArgument, reason: ReasonOption, comment: Comment) -> None:
    """End everything a person has or has asked for, by SCEP too; the person is told by mail of what was derived."""
    with administration(context) as api:
        done = api.act(f"/users/{quoted(person)}/endDerivations", {"reason": reason.value, "comment": comment})
    tell(f"Ended {done['credentials']} certificates, and {done['managedCertificates']} of managed endpoints.")


@app.command("end-authorized")
def end_authorized(
    context: typer.Context,
    *,
    since: Since,
    reason: ReasonOption,
    comment: Comment,
    rule: Annotated[str, typer.Option(help="Name of the issuance rule, in force or not.")] = "",
    officer: Annotated[str, typer.Option(help="Or the officer who made rules and approved.")] = "",
    authority: Annotated[str, typer.Option(help="Or the issuing authority: derived, managed-2 …")] = "",
) -> None:
    """End everything that one rule or officer has authorised, or one authority certified, since a time, in batches.

    Of an officer also what the officer's SCEP connectors enrolled. Withdraw the rules first, and save the connectors
    anew by another officer, or people derive and devices enroll anew under them. Run it again after an interruption: it
    goes on.
    """
    named = {"rule": rule, "officer": officer, "authority": authority}
    body = {"since": since, **named, "reason": reason.value, "comment": comment}
    with administration(context) as api:
        while True:
            done = api.act("/etymon/derivations/endAuthorized", body)
            told = f"Ended {done['derivations']} derivations, {done['approvals']} approvals, "
            told += f"{done['credentials']} certificates, and {done['managedCertificates']} of managed endpoints"
            tell(f"{told}; {done['remaining']} remain.")
            if not done["remaining"]:
                return


@app.command("rekey-certified")
def rekey_certified(
    context: typer.Context,
    authority: Annotated[str, typer.Option(help="The issuing authority before: derived …")],
    comment: Comment,
) -> None:
    """Have all that an issuing authority certified rekeyed onto its successor; phones do it at their next check-in."""
    with administration(context) as api:
        while True:
            done = api.act("/etymon/derivations/rekeyCertified", {"authority": authority, "comment": comment})
            tell(f"{done['credentials']} certificates are due to be rekeyed; {done['remaining']} remain.")
            if not done["remaining"]:
                return
