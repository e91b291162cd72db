# SPDX-License-Identifier: Apache-2.0
"""`etymon derivations`: an officer decides about requests, and ends credentials of others (docs/life-cycle.md)."""

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from urllib.parse import quote

import typer
from rich.console import Console

from etymon.server.command_line.options import (
    Card,
    CardFiles,
    CardPassphraseFile,
    PINFile,
    SiteAddress,
    SiteAnchors,
    SiteChoice,
    SiteData,
)

if TYPE_CHECKING:
    from etymon.server.apply.administration_api import AdministrationAPI

app = typer.Typer(no_args_is_help=True, help="Decide about derived credentials of others, as an Officer.")


class Reason(enum.StrEnum):
    """What the revocation list says (RFC 5280 §5.3.1)."""

    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    UNSPECIFIED = "unspecified"


PersonArgument: TypeAlias = Annotated[str, typer.Argument(help="User principal name, or id; by id also after the end.")]
ReasonOption: TypeAlias = Annotated[Reason, typer.Option("--reason", help="What the revocation list says.")]
Comment: TypeAlias = Annotated[str, typer.Option("--comment", help="Why, in words; kept in the audit trail.")]


@app.callback()
def _access(
    context: typer.Context,
    *,
    data: SiteData = None,
    site: SiteAddress = "",
    ca: SiteAnchors = None,
    card: Card = None,
    pin_file: PINFile = None,
    passphrase_file: CardPassphraseFile = None,
) -> None:
    context.obj = (SiteChoice(data, site, ca), CardFiles(card, pin_file, passphrase_file))


@app.command("requests")
def requests(context: typer.Context) -> None:
    """List the requests that wait for an officer, the oldest first."""
    with _administration(context) as api:
        for item in api.every("/etymon/derivationRequests"):
            name = item["userPrincipalName"] or item["userId"]
            _print(item["id"], name, f"rule {item['issuanceRule']}", f"asked {item['requestedDateTime']}")


@app.command("approve")
def approve(context: typer.Context, request: Annotated[str, typer.Argument(help="Id of the request.")]) -> None:
    """Approve another person's request; the person is told by mail."""
    with _administration(context) as api:
        done = api.act(f"/etymon/derivationRequests/{_quoted(request)}/approve", {})
    _print("Approved", done["userPrincipalName"], f"good until {done['expiresDateTime']}")


@app.command("refuse")
def refuse(
    context: typer.Context,
    request: Annotated[str, typer.Argument(help="Id of the request.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in words; the applicant is told.")],
) -> None:
    """Refuse another person's request; the person is told by mail."""
    with _administration(context) as api:
        done = api.act(f"/etymon/derivationRequests/{_quoted(request)}/refuse", {"reason": reason})
    _print("Refused", done["userPrincipalName"])


@app.command("list")
def list_(context: typer.Context, person: PersonArgument) -> None:
    """List everything that was derived for a person, the newest first."""
    with _administration(context) as api:
        for item in api.every(f"/users/{_quoted(person)}/derivations"):
            device = " ".join(filter(None, (item["manufacturer"], item["model"], item["serialNumber"])))
            _print(item["id"], item["state"], device or "no phone yet", item["endReason"] or "")
            for each in item["credentials"]:
                _print(" ", each["purpose"], each["state"], each["serialNumber"] or "", each["notAfterDateTime"] or "")
            for found in item["attestations"]:
                where = (found["securityLevel"] or "").replace("_", " ")
                model = " ".join(filter(None, (found["manufacturer"], found["model"])))
                _print(" ", f"key of {found['purpose']}", found["verdict"], where, model, found["authority"] or "")


@app.command("end")
def end(
    context: typer.Context,
    derivation: Annotated[str, typer.Argument(help="Id of the derivation, as `list` shows it.")],
    reason: ReasonOption,
    comment: Comment,
) -> None:
    """End what a person has on one device; the person is told by mail."""
    with _administration(context) as api:
        done = api.act(f"/etymon/derivations/{_quoted(derivation)}/end", {"reason": reason.value, "comment": comment})
    _print(f"Ended {done['credentials']} certificates.")


@app.command("end-all")
def end_all(context: typer.Context, person: PersonArgument, reason: ReasonOption, comment: Comment) -> None:
    """End everything a person has or has asked for; the person is told by mail."""
    with _administration(context) as api:
        done = api.act(f"/users/{_quoted(person)}/endDerivations", {"reason": reason.value, "comment": comment})
    _print(f"Ended {done['credentials']} certificates.")


@app.command("end-authorized")
def end_authorized(
    context: typer.Context,
    *,
    since: Annotated[str, typer.Option(help="Since when, such as 2026-01-31T08:00:00Z.")],
    reason: ReasonOption,
    comment: Comment,
    rule: Annotated[str, typer.Option(help="Name of the issuance rule, in force or not.")] = "",
    officer: Annotated[str, typer.Option(help="Or the officer who made rules and approved.")] = "",
) -> None:
    """End everything that one rule, or one officer, has authorised since a time, batch by batch.

    Withdraw the rules first, or people derive anew under them. Run it again after an interruption: it goes on.
    """
    body = {"since": since, "rule": rule, "officer": officer, "reason": reason.value, "comment": comment}
    with _administration(context) as api:
        while True:
            done = api.act("/etymon/derivations/endAuthorized", body)
            told = f"Ended {done['derivations']} derivations, {done['approvals']} approvals, "
            _print(f"{told}{done['credentials']} certificates; {done['remaining']} derivations remain.")
            if not done["remaining"]:
                return


@contextmanager
def _administration(context: typer.Context) -> "Iterator[AdministrationAPI]":
    from etymon.server.command_line import site_access

    choice, files = context.obj
    console = Console(stderr=True)
    with site_access.administration(site_access.chosen(choice), files, console) as (api, _):
        yield api


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _print(*parts: Any) -> None:
    Console(highlight=False).print("  ".join(str(part) for part in parts), markup=False, soft_wrap=True)
