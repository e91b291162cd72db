# SPDX-License-Identifier: Apache-2.0
"""`etymon derivations`: an officer decides about requests, and ends credentials of others (docs/life-cycle.md)."""

from typing import Annotated

import typer

from etymon.server.command_line.officers import Comment, ReasonOption, Since, batches
from etymon.server.command_line.signed_in import PersonArgument, access, administration, quoted, tell

app = typer.Typer(no_args_is_help=True, help="Decide about derived credentials of others, as an Officer.")


app.callback()(access)


@app.command("requests")
def requests(context: typer.Context) -> None:
    """List the requests that wait for an officer, the oldest first."""
    with administration(context) as api:
        for item in api.every("/etymon/derivationRequests"):
            name = item["userPrincipalName"] or item["userId"]
            tell(item["id"], name, f"rule {item['issuanceRule']}", f"asked {item['requestedDateTime']}")


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
def list_(context: typer.Context, person: PersonArgument) -> None:
    """List everything that was derived for a person, the newest first."""
    with administration(context) as api:
        for item in api.every(f"/users/{quoted(person)}/derivations"):
            device = " ".join(filter(None, (item["manufacturer"], item["model"], item["serialNumber"])))
            tell(item["id"], item["state"], device or "no phone yet", item["endReason"] or "")
            for each in item["credentials"]:
                held = f"until  {each['heldUntilDateTime']}" if each["heldUntilDateTime"] else None
                shown = filter(None, (each["state"], each["revokedAuthority"], held))
                tell(" ", each["purpose"], *shown, each["serialNumber"] or "", each["notAfterDateTime"] or "")
            for found in item["attestations"]:
                where = (found["securityLevel"] or "").replace("_", " ")
                model = " ".join(filter(None, (found["manufacturer"], found["model"])))
                tell(" ", f"key of {found['purpose']}", found["verdict"], where, model, found["authority"] or "")


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
        bulk = batches(api, "/etymon/derivations/endAuthorized", body, "derivations", "managedCertificates")
        for done, left in bulk:
            told = f"Ended {done['derivations']} derivations, {done['approvals']} approvals, "
            told += f"{done['credentials']} certificates, and {done['managedCertificates']} of managed endpoints"
            tell(f"{told}; {left} remain.")


@app.command("rekey-certified")
def rekey_certified(
    context: typer.Context,
    authority: Annotated[str, typer.Option(help="The issuing authority before: derived …")],
    comment: Comment,
) -> None:
    """Have all that an issuing authority certified rekeyed onto its successor; phones do it at their next check-in."""
    body = {"authority": authority, "comment": comment}
    with administration(context) as api:
        for done, left in batches(api, "/etymon/derivations/rekeyCertified", body, "credentials"):
            tell(f"{done['credentials']} certificates are due to be rekeyed; {left} remain.")
