# SPDX-License-Identifier: Apache-2.0
"""`etymon audit list`: the audit trail by an Auditor's role. `verify | export | checkpoint | key`: by the machine's.

The latter read the database and the keys themselves, as whoever may do that on the machine: an Operator.
"""

import functools
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlencode

import typer
from rich.console import Console

from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import DecodeError, Malformed, NotFound

if TYPE_CHECKING:
    from etymon.audit.examination import Report
    from etymon.audit.model import Checkpoint
    from etymon.pki.algorithms import PublicKey
    from etymon.server.apply.administration_api import AdministrationAPI
    from etymon.storage.database import Database

from etymon.server.command_line import listing, options, signed_in
from etymon.server.command_line.listing import AsJSON, Column, Item, Listing
from etymon.server.command_line.options import Access, Passphrase

app = typer.Typer(
    help="List the audit trail as an Auditor; verify, export and keep it on the machine.", no_args_is_help=True
)

Data = Annotated[Path, typer.Option("--data", help="Data directory of the organisation.")]
Keys = Annotated[
    list[Path] | None,
    typer.Option("--key", help="PEM file of the key that signs checkpoints; repeat it for former ones."),
]
Known = Annotated[
    Path | None, typer.Option("--checkpoint", help="A checkpoint kept elsewhere, or an earlier export: shows cuts.")
]


def _facts(item: Item) -> str:
    return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in item["facts"].items())


TIME: Final = "recordedDateTime"
LARGEST_PAGE: Final = 100
EVENTS: Final = Listing(
    "No such event is in the trail.",
    (
        listing.key("sequence", "Place"),
        listing.key(TIME, "Time"),
        listing.key("name", "Event"),
        listing.key("outcome", "Outcome"),
        listing.key("actor", "Actor"),
        listing.key("subject", "Subject"),
        listing.key("source", "From"),
        Column("Facts", _facts, words=True),
    ),
)


@app.command("list")
@options.taken_as("signing_in", options.access)
def list_(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Option(help="Events of this name, such as directory:role:assigned.")] = "",
    actor: Annotated[str, typer.Option(help="What this one did: KIND:ID, or a user principal name.")] = "",
    subject: Annotated[str, typer.Option(help="What was done to this one: likewise.")] = "",
    not_name: Annotated[list[str] | None, typer.Option(help="Leave out events of this name; may be repeated.")] = None,
    since: Annotated[str, typer.Option(help="Since when, such as 2026-01-31T08:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Before when.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="So many at most; all otherwise.")] = None,
    as_json: AsJSON = False,
    signing_in: Access,
) -> None:
    """List events, the newest first, signing in as an Auditor. That it was read is in the trail."""
    narrow = functools.partial(_address, but=not_name or (), since=since, until=until, limit=limit)
    narrow({})  # times are judged before anybody signs in
    context.obj = signing_in
    with signed_in.administration(context) as api:
        path = narrow({"name": name, "actor": _party(api, actor), "subject": _party(api, subject)})
        listing.show(EVENTS, itertools.islice(api.every(path), limit), as_json=as_json)


@app.command("verify")
def verify(
    exports: Annotated[list[Path] | None, typer.Argument(help="Exports, in order; the database otherwise.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Data directory whose database is verified.")] = None,
    key: Keys = None,
    checkpoint: Known = None,
) -> None:
    """Look for edits, gaps, deletions, reordering and cuts; print one JSON object. Exit 0 intact, 1 not, 2 unusable."""
    from etymon.audit import verification

    if bool(exports) == (data is not None):
        raise Malformed("trail_not_named", "Name the exports, or the data directory with --data.")
    if not key:
        raise Malformed("no_key", "Name the key that signs checkpoints with --key; `etymon audit key` writes it.")
    keys = [_public_key(file) for file in key]
    known = None if checkpoint is None else _checkpoint(checkpoint)
    with Console(stderr=True).status("verifying …") as status, ExitStack() as stack:

        def show(events: int) -> None:
            status.update(f"verifying … {events} events")

        if data is not None:
            database = stack.enter_context(_database(data))
            report = verification.verify(database, *keys, known=known, progress=show)
        else:
            files = (stack.enter_context(file.open(encoding="utf-8")) for file in exports or ())
            report = verification.verify_exports(files, *keys, known=known, progress=show)
    typer.echo(json.dumps(_answer(report)))
    if not report.is_intact:
        raise typer.Exit(1)


@app.command("export")
def write_export(
    file: Annotated[Path, typer.Argument(help="New file for the export.")],
    data: Data,
    after: Annotated[
        Path | None, typer.Option(help="The export before, or its checkpoint: go on where it ended.")
    ] = None,
) -> None:
    """Write the signed trail as JSON lines. Keep it where those who run the system cannot reach it."""
    from etymon.audit import export
    from etymon.server import process_events

    start = None if after is None else _checkpoint(after)
    begins = start.sequence if start else 0
    with _database(data) as database, Console(stderr=True).status("exporting …") as status:
        with file.open("x", encoding="ascii") as out:
            for number, line in enumerate(export.lines(database, after=start)):
                out.write(line)
                status.update(f"exporting … {number} lines")
        ends = _checkpoint(file).sequence if number else begins
        facts = {"after": begins, "to": ends}
        process_events.by_account(
            database, SystemClock(), SystemEntropy(), "audit:trail:exported", "audit-trail", **facts
        )
    told = f"{ends - begins} events, to place {ends}, are in {file}" if ends > begins else "Nothing was signed since."
    Console(stderr=True).print(told, soft_wrap=True, highlight=False)


@app.command("checkpoint")
def show_checkpoint(data: Data) -> None:
    """Print the newest signed checkpoint as a line of JSON; kept elsewhere, it shows later that nothing was cut off."""
    from etymon.audit import export, store

    with _database(data) as database, database.snapshot() as tx:
        newest = store.last_checkpoint(tx)
    if newest is None:
        raise NotFound("no_checkpoint", "Nothing was sealed yet. Run `etymon serve` or `etymon worker`.")
    typer.echo(export.checkpoint_line(newest), nl=False)


@app.command("key")
def show_key(
    data: Data,
    passphrase_file: Passphrase = None,
) -> None:
    """Print the public key that signs checkpoints (PEM). Fetch it once, early, and keep it with the exports."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from etymon.server import keyring
    from etymon.server.deployment import Deployment

    deployment = Deployment.open(data, keyring.read_passphrase(passphrase_file), SystemClock(), SystemEntropy())
    deployment.database.close()
    public = deployment.signer("audit-seal").public_key
    typer.echo(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), nl=False)


def _party(api: "AdministrationAPI", said: str) -> str:
    """Return how the trail names an actor or subject: people by their ids, whatever they were called since."""
    name = said.removeprefix("person:")
    is_name = "@" in name and ":" not in name
    return f"person:{api.item(f'/users/{signed_in.quoted(name)}')['id']}" if is_name else said


def _address(said: Mapping[str, str], *, but: Iterable[str], since: str, until: str, limit: int | None) -> str:
    """Return where the events are that are meant."""
    from etymon.graph.representations.body import instant
    from etymon.wire import odata

    conditions: list[odata.Expression] = [odata.Comparison(name, "eq", value) for name, value in said.items() if value]
    conditions += [odata.Comparison("name", "ne", name) for name in but]
    if since:
        conditions.append(odata.Comparison(TIME, "ge", instant(since, "--since")))
    if until:
        conditions.append(odata.Comparison(TIME, "lt", instant(until, "--until")))
    query = {} if limit is None else {"$top": min(limit, LARGEST_PAGE)}
    narrowed = {"$filter": odata.write_filter(functools.reduce(odata.And, conditions))} if conditions else {}
    return f"/etymon/auditEvents?{urlencode({**query, **narrowed})}"


@contextmanager
def _database(data: Path) -> Iterator["Database"]:
    from etymon.server.config_file import load
    from etymon.server.deployment import open_database, require_database

    read = load(data)
    database = open_database(data, read)
    try:
        require_database(database, read)
        yield database
    finally:
        database.close()


def _public_key(file: Path) -> "PublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        found = load_pem_public_key(file.read_bytes())
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise Malformed("not_a_public_key", f"{file} holds no public key in PEM.") from exc
    if not isinstance(found, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise Malformed("not_a_public_key", f"{file} holds a key of another kind; checkpoints have EC or RSA keys.")
    return found


def _checkpoint(file: Path) -> "Checkpoint":
    from etymon.audit import export

    try:
        with file.open(encoding="ascii") as lines:
            return export.kept_checkpoint(lines)
    except (DecodeError, UnicodeDecodeError) as exc:
        raise Malformed("no_checkpoint", f"The last line of {file} is no checkpoint of an audit trail.") from exc


def _answer(report: "Report") -> dict[str, object]:
    return {
        "valid": report.is_intact,
        "events": report.events,
        "checkpoints": report.checkpoints,
        "signed_sequence": report.signed_sequence,
        "findings": [
            {"fault": found.fault.value, "sequence": found.sequence, "detail": found.detail}
            for found in report.findings
        ],
    }
