# SPDX-License-Identifier: Apache-2.0
"""`etymon derivations`: an Officer decides about requests, and ends credentials of others (docs/life-cycle.md)."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import typer

from etymon.kernel.errors import NotFound
from etymon.server.command_line import listing
from etymon.server.command_line.files import require_new
from etymon.server.command_line.listing import AsJSON, Column, Item, Listing, Part, key
from etymon.server.command_line.officers import Comment, ReasonOption, Since, batches
from etymon.server.command_line.signed_in import PersonArgument, access, administration, quoted, tell

app = typer.Typer(no_args_is_help=True, help="Decide about derived credentials of others, as an Officer.")


DerivationArgument: TypeAlias = Annotated[str, typer.Argument(help="Id of the derivation, as `list` shows it.")]

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


def _key(found: Item) -> str:
    return "transport key of key history" if found["use"] == "keyHistory" else f"key of {found['purpose']}"


WAITING: Final = Listing(
    "No request waits for an Officer.",
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
        key("revokedAuthority", "Revoked authority"),
        key("serialNumber", "Serial number"),
        key("notAfterDateTime", "Good until"),
        key("endReason", "Ended because"),
    ),
)
KEYS: Final = Part(
    lambda item: item["attestations"],
    (
        Column("Key", _key),
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
OVER: Final = frozenset({"expired", "denied", "ended"})
ONE: Final = Listing("", DERIVED.columns, (CREDENTIALS,))


@app.command("requests")
def requests(context: typer.Context, *, as_json: AsJSON = False) -> None:
    """List the requests that wait for an Officer, the oldest first."""
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


@app.command("show")
def show(context: typer.Context, derivation: DerivationArgument, *, as_json: AsJSON = False) -> None:
    """Show what a person has on one device, and all that was found of its keys and when."""
    with administration(context) as api:
        item = api.item(f"/etymon/derivations/{quoted(derivation)}")
    listing.show(DERIVED if as_json else ONE, [item], as_json=as_json)
    for found in () if as_json else item["attestations"]:
        tell(" ", _key(found), found["verdict"], "judged", found["judgedDateTime"], found["id"])
        for name, value in _facts(found):
            if value is not None:
                tell("   ", f"{name}: {value}")


@app.command("chain")
def chain(
    context: typer.Context,
    derivation: DerivationArgument,
    attestation: Annotated[str, typer.Argument(help="Id of what was found of a key, as `show` shows it.")],
) -> None:
    """Write the attestation of one key as its phone sent it, in PEM, for `etymon verify attestation`."""
    with administration(context) as api:
        path = f"/etymon/derivations/{quoted(derivation)}/attestations/{quoted(attestation)}/chain"
        typer.echo(api.text(path), nl=False)


@app.command("certificate")
def certificate(
    context: typer.Context,
    derivation: DerivationArgument,
    purpose: Annotated[
        Literal["authentication", "signature", "encryption"], typer.Option(help="What the certificate is for.")
    ],
    output: Annotated[Path | None, typer.Option(help="New file for it; else it is written to standard output.")] = None,
) -> None:
    """Write a derived credential's certificate, in PEM, for `etymon lint certificate` and `etymon verify certificate`.

    Of several of one purpose the one that has not ended, or else the one that lasts longest. Auditors get it as well.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    from etymon.pki.certificate import load_der
    from etymon.pki.keys import write_once

    if output is not None:
        require_new(output)
    with administration(context) as api:
        item = api.item(f"/etymon/derivations/{quoted(derivation)}")
    pem = load_der(base64.b64decode(certificate_for(item, purpose))).public_bytes(Encoding.PEM)
    if output is None:
        typer.echo(pem, nl=False)
    else:
        write_once(output, pem)


@app.command("hold")
def hold(
    context: typer.Context,
    derivation: DerivationArgument,
    comment: Comment,
) -> None:
    """Put what another person has on one device on hold; unless it is restored in time, it ends. The person is told."""
    with administration(context) as api:
        done = api.act(f"/etymon/derivations/{quoted(derivation)}/hold", {"comment": comment})
    tell(f"On hold; it ends unless it is restored before {done['heldUntilDateTime']}.")


@app.command("restore")
def restore(
    context: typer.Context,
    derivation: DerivationArgument,
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
    derivation: DerivationArgument,
    reason: ReasonOption,
    comment: Comment,
) -> None:
    """End what a person has on one device; the person is told by mail."""
    with administration(context) as api:
        path = f"/etymon/derivations/{quoted(derivation)}"
        before = api.item(path)["state"]
        done = api.act(f"{path}/end", {"reason": reason.value, "comment": comment})
    tell(f"Ended {done['credentials']} certificates.", *(["It was over before."] if before in OVER else []))


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
    officer: Annotated[str, typer.Option(help="Or the Officer who made rules and approved.")] = "",
    authority: Annotated[str, typer.Option(help="Or the issuing authority: derived, managed-2 …")] = "",
) -> None:
    """End everything that one rule or Officer has authorised, or one authority certified, since a time, in batches.

    Of an Officer also what the Officer's SCEP connectors enrolled. Withdraw the rules first, and save the connectors
    anew by another Officer, or people derive and devices enroll anew under them. Run it again after an interruption: it
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


def certificate_for(derivation: Item, purpose: str) -> str:
    """Return the certificate of a purpose, as the API has it; `NotFound` `no_credential`, `not_issued`."""
    credentials = [each for each in derivation["credentials"] if each["purpose"] == purpose]
    if not credentials:
        others = ", ".join(sorted({each["purpose"] for each in derivation["credentials"]})) or "none"
        raise NotFound("no_credential", f"Nothing for {purpose} was derived here. It has credentials for: {others}.")
    issued = [each for each in credentials if each["certificate"]]
    if not issued:
        raise NotFound(
            "not_issued", f"The certificate for {purpose} is not issued yet. Ask again when the phone has it."
        )
    certified: str = max(issued, key=lambda each: (each["state"] != "ended", each["notAfterDateTime"]))["certificate"]
    return certified


def _facts(found: Item) -> Iterator[tuple[str, object]]:
    """Yield what was found of a key, and what its phone said, by name; None where it is not known."""
    level, application = found["securityLevel"], found["applicationId"] or {}
    yield "security level", level.replace("_", " ") if level else None
    yield "boot state", found["bootState"] and found["bootState"].replace("_", " ")
    yield "boot loader", None if found["deviceLocked"] is None else "locked" if found["deviceLocked"] else "unlocked"
    yield "system version", found["osVersion"]
    yield "system patch level", found["osPatchLevel"]
    yield "model", " ".join(filter(None, (found["manufacturer"], found["model"]))) or None
    yield "application", ", ".join(application.get("packages", ())) or None
    yield "signed by", ", ".join(application.get("signatureDigests", ())) or None
    yield "authority", found["authority"]
    yield "status list", "looked at" if found["statusListChecked"] else "none known"
    yield "SHA-256 of the key", found["keySha256"]
