# SPDX-License-Identifier: Apache-2.0
"""`etymon verify`: judging what others issued, by files alone. Nothing is fetched from the network."""

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Literal, TypeAlias

import typer

from etymon.server.command_line.files import secret
from etymon.server.command_line.options import CardPassphraseFile

app = typer.Typer(
    help="Judge certificates, key attestations and cards by files alone; nothing is fetched.", no_args_is_help=True
)

Files = list[Path]
Anchors: TypeAlias = Annotated[Files | None, typer.Option("--anchor", help="File of trust anchors; may repeat.")]
Intermediates: TypeAlias = Annotated[
    Files | None, typer.Option("--intermediate", help="File of intermediates, .p7c too; may repeat.")
]
CRLs: TypeAlias = Annotated[Files | None, typer.Option("--crl", help="File of CRLs; may repeat.")]
Revocation: TypeAlias = Annotated[
    Literal["required", "off"],
    typer.Option("--revocation", help="Whether a usable CRL is needed for each certificate."),
]
Moment: TypeAlias = Annotated[str | None, typer.Option("--at", help="Moment, RFC 3339 with zone; else now.")]
Batch: TypeAlias = Annotated[
    str | None,
    typer.Option("--batch", help="File of questions, a JSON object a line; - for stdin. Options fill what lacks."),
]


@app.command("certificate")
def certificate(
    leaf: Annotated[
        str | None, typer.Argument(help="File of the certificate to judge, PEM or DER; - for stdin.")
    ] = None,
    anchor: Anchors = None,
    intermediate: Intermediates = None,
    crl: CRLs = None,
    policy: Annotated[list[str] | None, typer.Option(help="Accepted policy OID, else any; may repeat.")] = None,
    *,
    explicit_policy: Annotated[
        bool, typer.Option("--explicit-policy", help="The path must hold for an accepted policy.")
    ] = False,
    inhibit_policy_mapping: Annotated[
        bool, typer.Option("--inhibit-policy-mapping", help="Policy mappings count for nothing.")
    ] = False,
    inhibit_any_policy: Annotated[
        bool, typer.Option("--inhibit-any-policy", help="anyPolicy in a certificate counts for nothing.")
    ] = False,
    revocation: Revocation = "required",
    at: Moment = None,
    leniency: Annotated[list[str] | None, typer.Option(help="Departure from a standard to accept; may repeat.")] = None,
    batch: Batch = None,
) -> None:
    """Judge a certificate's path (RFC 5280): one JSON object a leaf; exit 0 valid, 1 not valid, 2 unusable input."""
    from etymon.kernel.clock import SystemClock
    from etymon.server import certificate_questions as questions

    _require_one(leaf, batch, "a certificate")
    given = questions.Question(
        leaf=leaf or "",
        anchor=_names(anchor),
        intermediate=_names(intermediate),
        crl=_names(crl),
        policy=tuple(policy or ()),
        explicit_policy=explicit_policy,
        inhibit_policy_mapping=inhibit_policy_mapping,
        inhibit_any_policy=inhibit_any_policy,
        revocation=revocation,
        at=at,
        leniency=tuple(leniency or ()),
    )
    verifier = questions.Verifier(SystemClock(), sys.stdin.buffer)
    with _asked(batch) as lines:
        answers = iter([questions.ask(given, verifier)]) if lines is None else questions.batch(lines, given, verifier)
        raise typer.Exit(_tell(answers))


@app.command("attestation")
def attestation(
    chain: Annotated[
        str | None, typer.Argument(help="File of the chain, the attested key's certificate first; - for stdin.")
    ] = None,
    root: Annotated[Files | None, typer.Option(help="File of attestation roots; may repeat.")] = None,
    challenge: Annotated[
        str | None, typer.Option(help="Challenge the key was made for, hexadecimal; else any.")
    ] = None,
    revocations: Annotated[
        str | None, typer.Option(help="List of revoked attestation keys, JSON as Google publishes it.")
    ] = None,
    at: Moment = None,
    batch: Batch = None,
) -> None:
    """Judge an Android key attestation: one JSON object a chain; exit 0 valid, 1 not valid, 2 unusable input.

    Valid is a key that was made in hardware and cannot leave it, on a device with a locked boot loader.
    """
    from etymon.kernel.clock import SystemClock
    from etymon.server import attestation_questions as questions

    _require_one(chain, batch, "a chain")
    given = questions.Question(chain or "", _names(root), challenge, revocations, at)
    verifier = questions.Verifier(SystemClock(), sys.stdin.buffer)
    with _asked(batch) as lines:
        answers = iter([questions.ask(given, verifier)]) if lines is None else questions.batch(lines, given, verifier)
        raise typer.Exit(_tell(answers))


@app.command("card")
def card(
    card: Annotated[Path, typer.Argument(help="File of the software card whose signed objects are judged.")],
    anchor: Anchors = None,
    intermediate: Intermediates = None,
    crl: CRLs = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="Accepted policy OID, else the one for content signing; may repeat.")
    ] = None,
    *,
    revocation: Revocation = "required",
    at: Moment = None,
    passphrase_file: CardPassphraseFile = None,
) -> None:
    """Judge a card's CHUID and security object, and whoever signed them: one JSON object; exit as `certificate`."""
    from etymon.card import storage
    from etymon.card.applet import PIVApplet
    from etymon.card.client import PIVClient
    from etymon.card.transport import LocalTransport
    from etymon.kernel.clock import SystemClock
    from etymon.kernel.entropy import SystemEntropy
    from etymon.server import certificate_questions as questions

    given = questions.Question(
        anchor=_names(anchor),
        intermediate=_names(intermediate),
        crl=_names(crl),
        policy=tuple(policy or ()),
        revocation=revocation,
        at=at,
    )
    with storage.load(card, secret(passphrase_file, "Passphrase of the card file")) as stored, _asked(None):
        client = PIVClient(LocalTransport(PIVApplet(stored.state, stored.save, SystemEntropy())))
        client.select()
        verifier = questions.Verifier(SystemClock(), sys.stdin.buffer)
        raise typer.Exit(_tell(iter([questions.ask_of_card(given, verifier, client)])))


def _require_one(subject: str | None, batch: str | None, name: str) -> None:
    if (subject is None) == (batch is None):
        raise typer.BadParameter(f"Give either {name} or --batch.")


@contextlib.contextmanager
def _asked(batch: str | None) -> Iterator[IO[bytes] | None]:
    """Give the lines of a batch, or None for one question; the library's remarks are not told meanwhile."""
    with warnings.catch_warnings(), contextlib.ExitStack() as opened:
        warnings.simplefilter("ignore", UserWarning)  # on serial numbers and lengths
        if batch is None:
            yield None
        else:
            yield sys.stdin.buffer if batch == "-" else opened.enter_context(Path(batch).open("rb"))


def _tell(answers: Iterator[tuple[dict[str, object], int]]) -> int:
    """Write each answer as it comes; return the worst status."""
    worst = 0
    for answer, status in answers:
        typer.echo(json.dumps(answer))
        worst = max(worst, status)
    return worst


def _names(files: Files | None) -> tuple[str, ...]:
    return tuple(map(str, files or ()))
