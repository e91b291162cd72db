# SPDX-License-Identifier: Apache-2.0
"""`etymon ceremony`: key ceremonies of two people, from the script to the record (docs/operations/key-ceremony.md)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Malformed
from etymon.server.command_line import options
from etymon.server.command_line.options import CardPassphraseFile, Passphrase, PINFile, RootChoice
from etymon.server.command_line.site import PERSON, Data, assignment, person

if TYPE_CHECKING:
    from etymon.server.key_ceremony.script import Script

app = typer.Typer(
    help="Key ceremonies of two people: write the script, confirm, perform, verify.", no_args_is_help=True
)

ScriptFile = Annotated[Path, typer.Argument(help="File of the script.")]
Place = Annotated[str, typer.Option(help="Where the ceremony is held; the record says so.")]
KeyTypeName = Annotated[str, typer.Option("--key-type", help="p256, p384, rsa3072 or rsa4096.")]
Cards = Annotated[
    list[Path], typer.Option("--participant", help="PEM certificate of the card of one who takes part; twice or more.")
]


@app.command()
def organization(
    script: ScriptFile,
    organization: Annotated[str, typer.Option(help="Name of the organisation.")],
    status_url: Annotated[str, typer.Option(help="Where relying parties find CRL and OCSP (http://…); for good.")],
    place: Place,
    trust: Annotated[Path, typer.Option(help="YAML list of whose cards are trusted.")],
    administrator: Annotated[str, typer.Option(help=f"First Administrator: {PERSON}.")],
    administrator_card: Annotated[Path, typer.Option(help="PEM certificate of the Administrator's card.")],
    officer: Annotated[str, typer.Option(help=f"First Officer: {PERSON}.")],
    officer_card: Annotated[Path, typer.Option(help="PEM certificate of the Officer's card.")],
    key_type: KeyTypeName = "p256",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Further settings, NAME=VALUE.")] = None,
) -> None:
    """Write the script for a new organisation: all hierarchies, and the first two people with their cards."""
    from etymon.directory.model import Role
    from etymon.server import trust_documents
    from etymon.server.key_ceremony import writing
    from etymon.server.key_ceremony.script import Participant

    configuration: dict[str, object] = {"organization": organization, "status_url": status_url}
    configuration.update(assignment(text) for text in settings or ())
    participants = (
        Participant(Role.ADMINISTRATOR, *person("Administrator", administrator), writing.card(administrator_card)),
        Participant(Role.OFFICER, *person("Officer", officer), writing.card(officer_card)),
    )
    made = writing.organization(
        configuration, trust_documents.read(trust), participants, place, key_type, SystemClock(), SystemEntropy()
    )
    _written(script, made)


@app.command("issuing-authority")
def issuing_authority(
    script: ScriptFile,
    data: Data,
    name: Annotated[str, typer.Option(help="What it is called: derived-2, device-2 …")],
    participant: Cards,
    place: Place,
    key_type: KeyTypeName = "p256",
) -> None:
    """Write the script for a further issuing authority below the root of its hierarchy; it issues from then on."""
    from etymon.server.key_ceremony import writing

    made = writing.issuing_authority(data, name, participant, place, key_type, SystemClock(), SystemEntropy())
    _written(script, made)


@app.command("root-lists")
def root_lists(script: ScriptFile, data: Data, participant: Cards, place: Place) -> None:
    """Write the script for the roots' next CRLs, which are valid for 37 days (CP 4.9.7)."""
    from etymon.server.key_ceremony import writing

    _written(script, writing.root_lists(data, participant, place, SystemClock(), SystemEntropy()))


@app.command()
def hierarchy(
    script: ScriptFile,
    data: Data,
    name: Annotated[
        str, typer.Option(help="Which the organisation has not: managed, of one made before there was it.")
    ],
    participant: Cards,
    place: Place,
    key_type: KeyTypeName = "p256",
) -> None:
    """Write the script for a hierarchy that an organisation lacks: a root of its own and its issuing authority."""
    from etymon.server.key_ceremony import writing

    _written(script, writing.hierarchy(data, name, participant, place, key_type, SystemClock(), SystemEntropy()))


@app.command("authority-revocation")
def authority_revocation(
    script: ScriptFile,
    data: Data,
    name: Annotated[str, typer.Option(help="Which authority: derived, device-2 …")],
    reason: Annotated[
        str, typer.Option(help="cACompromise, keyCompromise, superseded, cessationOfOperation … (RFC 5280 §5.3.1).")
    ],
    participant: Cards,
    place: Place,
) -> None:
    """Write the script that has an issuing authority revoked by its root, for good; nothing it issued is good then."""
    from etymon.server.key_ceremony import writing

    made = writing.revocation(data, name, reason, participant, place, SystemClock(), SystemEntropy())
    _written(script, made)


@app.command()
def show(script: ScriptFile) -> None:
    """Show what a script says, for those who confirm it."""
    from etymon.server.key_ceremony import script as scripts
    from etymon.server.key_ceremony import writing

    typer.echo(writing.readable(scripts.read(script)))


@app.command()
def confirm(
    script: ScriptFile,
    card: Annotated[Path | None, typer.Option(help="File of the software card.")] = None,
    pin_file: PINFile = None,
    passphrase_file: CardPassphraseFile = None,
    statement: Annotated[
        Path | None, typer.Option(help="For a card in a reader: file for what its key 9A signs, or that was signed.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM certificate of that card.")] = None,
    signature: Annotated[Path | None, typer.Option(help="The signature of that card over the statement.")] = None,
) -> None:
    """Confirm a script with a card: its authentication key signs that its holder takes part."""
    from etymon.server.command_line import ceremony_cards
    from etymon.server.key_ceremony import script as scripts

    read = scripts.read(script)
    _warn(read)
    if card is not None:
        made = ceremony_cards.with_software_card(read, card, pin_file, passphrase_file, SystemClock())
    elif statement is not None and signature is None:
        ceremony_cards.write_statement(read, statement, SystemClock())
        typer.echo(f"Have the card's key 9A sign {statement}, and come back with --certificate and --signature.")
        return
    elif statement is not None and signature is not None and certificate is not None:
        made = ceremony_cards.with_signature(read, statement, certificate, signature)
    else:
        raise Malformed("no_card", "Name a software card with --card, or --statement, --certificate and --signature.")
    typer.echo(f"Confirmed: {ceremony_cards.keep(script, read, made)}")


@app.command()
@options.taken_as("roots", options.root_choice)
def perform(
    script: ScriptFile,
    data: Data,
    passphrase_file: Passphrase = None,
    crl: Annotated[
        list[Path] | None, typer.Option(help="CRLs of the cards' issuers, where there is no network; each of them.")
    ] = None,
    *,
    roots: RootChoice,
) -> None:
    """Do what a confirmed script says, or go on with it, and write the record."""
    from etymon.server import keyring
    from etymon.server.command_line import ceremony_cards
    from etymon.server.command_line.root_place import root_place
    from etymon.server.config_file import load
    from etymon.server.key_ceremony import performance, status_of_cards
    from etymon.server.key_ceremony import script as scripts

    read = scripts.read(script)
    usual = str(read.configuration.get("pkcs11_module", ""))
    if (data / "config.toml").exists():
        usual = load(data).pkcs11_module
    means = performance.Means(
        data=data,
        passphrase=keyring.read_passphrase(passphrase_file),
        root_keys=root_place(roots, usual),
        status_of=status_of_cards.source(crl or (), SystemEntropy()),
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    _warn(read)
    made = performance.perform(read, ceremony_cards.kept(script, read), means)
    typer.echo(f"Performed. The record is {made}; print {made.with_suffix('.txt')} and sign it.")


@app.command()
def verify(
    record: Annotated[Path, typer.Argument(help="File of the record.")],
    data: Annotated[Path | None, typer.Option("--data", help="Data directory to compare it with.")] = None,
) -> None:
    """Verify a record: signatures of cards and seal, certificates, lists; with --data the audit trail too."""
    from etymon.server.key_ceremony import verification

    for sentence in verification.verify(record, data):
        typer.echo(sentence)


def _warn(script: "Script") -> None:
    """Tell what nobody can undo, before it is confirmed and before it is done."""
    from etymon.server.key_ceremony import consequences

    for sentence in consequences.lines(script):
        typer.echo(f"Cannot be undone: {sentence}", err=True)


def _written(file: Path, script: "Script") -> None:
    from etymon.pki.keys import write_once
    from etymon.server.key_ceremony.script import canonical

    write_once(file, canonical(script.to_document()))
    typer.echo(f"{file}, SHA-256 {script.sha256}. Read it with `etymon ceremony show`, and confirm it.")
