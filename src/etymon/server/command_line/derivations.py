# SPDX-License-Identifier: Apache-2.0
"""`etymon derivations`: an officer decides about requests, and ends credentials of others (docs/life-cycle.md)."""

from typing import Annotated

import typer

from etymon.server.command_line.officers import (
    Comment,
    PersonArgument,
    ReasonOption,
    Since,
    access,
    administration,
    quoted,
    show,
)

app = typer.Typer(no_args_is_help=True, help="Decide about derived credentials of others, as an Officer.")


app.callback()(access)


@app.command("requests")
def requests(context: typer.Context) -> None:
    """List the requests that wait for an officer, the oldest first."""
    with administration(context) as api:
        for item in api.every("/etymon/derivationRequests"):
            name = item["userPrincipalName"] or item["userId"]
            show(item["id"], name, f"rule {item['issuanceRule']}", f"asked {item['requestedDateTime']}")


@app.command("approve")
def approve(context: typer.Context, request: Annotated[str, typer.Argument(help="Id of the request.")]) -> None:
    """Approve another person's request; the person is told by mail."""
    with administration(context) as api:
        done = api.act(f"/etymon/derivationRequests/{quoted(request)}/approve", {})
    show("Approved", done["userPrincipalName"], f"good until {done['expiresDateTime']}")


@app.command("refuse")
def refuse(
    context: typer.Context,
    request: Annotated[str, typer.Argument(help="Id of the request.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in words; the applicant is told.")],
) -> None:
    """Refuse another person's request; the person is told by mail."""
    with administration(context) as api:
        done = api.act(f"/etymon/derivationRequests/{quoted(request)}/refuse", {"reason": reason})
    show("Refused", done["userPrincipalName"])


@app.command("list")
def list_(context: typer.Context, person: PersonArgument) -> None:
    """List everything that was derived for a person, the newest first."""
    with administration(context) as api:
        for item in api.every(f"/users/{quoted(person)}/derivations"):
            device = " ".join(filter(None, (item["manufacturer"], item["model"], item["serialNumber"])))
            show(item["id"], item["state"], device or "no phone yet", item["endReason"] or "")
            for each in item["credentials"]:
                show(" ", each["purpose"], each["state"], each["serialNumber"] or "", each["notAfterDateTime"] or "")


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
    show(f"Ended {done['credentials']} certificates.")


@app.command("end-all")
def end_all(context: typer.Context, person: PersonArgument, reason: ReasonOption, comment: Comment) -> None:
    """End everything a person has or has asked for, by SCEP too; the person is told by mail of what was derived."""
    with administration(context) as api:
        done = api.act(f"/users/{quoted(person)}/endDerivations", {"reason": reason.value, "comment": comment})
    show(f"Ended {done['credentials']} certificates, and {done['managedCertificates']} of managed endpoints.")


@app.command("end-authorized")
def end_authorized(
    context: typer.Context,
    *,
    since: Since,
    reason: ReasonOption,
    comment: Comment,
    rule: Annotated[str, typer.Option(help="Name of the issuance rule, in force or not.")] = "",
    officer: Annotated[str, typer.Option(help="Or the officer who made rules and approved.")] = "",
) -> None:
    """End everything that one rule, or one officer, has authorised since a time, batch by batch.

    Of an officer also what the officer's SCEP connectors enrolled. Withdraw the rules first, and save the connectors
    anew by another officer, or people derive and devices enroll anew under them. Run it again after an interruption: it
    goes on.
    """
    body = {"since": since, "rule": rule, "officer": officer, "reason": reason.value, "comment": comment}
    with administration(context) as api:
        while True:
            done = api.act("/etymon/derivations/endAuthorized", body)
            told = f"Ended {done['derivations']} derivations, {done['approvals']} approvals, "
            told += f"{done['credentials']} certificates, and {done['managedCertificates']} of managed endpoints"
            show(f"{told}; {done['remaining']} remain.")
            if not done["remaining"]:
                return
