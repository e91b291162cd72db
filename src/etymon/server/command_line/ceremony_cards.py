# SPDX-License-Identifier: Apache-2.0
"""Confirmations beside the file of a script: made with a software card, or of what a card in a reader signed."""

import json
from pathlib import Path

from etymon.card import storage
from etymon.card.applet import PIVApplet
from etymon.card.card_key import CardKey
from etymon.card.client import PIVClient
from etymon.card.transport import LocalTransport
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Malformed
from etymon.server.command_line.files import secret
from etymon.server.key_ceremony import confirmation, writing
from etymon.server.key_ceremony.confirmation import Confirmation
from etymon.server.key_ceremony.script import Script, canonical, read_document
from etymon.wire.piv import KeyReference


def with_software_card(
    script: Script, card: Path, pin_file: Path | None, passphrase_file: Path | None, clock: Clock
) -> Confirmation:
    """Return the confirmation of a software card; asks for what no file gives."""
    with storage.load(card, secret(passphrase_file, "Passphrase of the card file")) as stored:
        client = PIVClient(LocalTransport(PIVApplet(stored.state, stored.save, SystemEntropy())))
        client.select()
        certificate = client.read_certificate(KeyReference.AUTHENTICATION)
        confirmation.participant_of(script, certificate)  # before a PIN is asked for
        client.verify_pin(secret(pin_file, "PIN of the card"))
        return confirmation.confirm(script, certificate, CardKey(client, KeyReference.AUTHENTICATION), clock.now())


def write_statement(script: Script, file: Path, clock: Clock) -> None:
    """Write what a card in a reader is to sign."""
    file.write_bytes(canonical(confirmation.statement(script, clock.now())))


def with_signature(script: Script, statement: Path, certificate: Path, signature: Path) -> Confirmation:
    """Return the confirmation of a card that signed elsewhere."""
    made = Confirmation(read_document(statement), writing.card(certificate), signature.read_bytes())
    confirmation.require_genuine(script, made)
    return made


def keep(script_file: Path, script: Script, made: Confirmation) -> Path:
    """Write a confirmation beside the script; a later one of the same card takes its place."""
    who = confirmation.participant_of(script, made.certificate)
    file = _file(script_file, who.card_sha256)
    file.write_text(json.dumps(made.to_document(), indent=2) + "\n", "utf-8")
    return file


def kept(script_file: Path, script: Script) -> list[Confirmation]:
    """Return the confirmations that are there of those who take part."""
    files = [_file(script_file, participant.card_sha256) for participant in script.participants]
    found = [Confirmation.from_document(read_document(file)) for file in files if file.exists()]
    if not found:
        raise Malformed("not_confirmed", f"Nobody has confirmed {script_file}. Use `etymon ceremony confirm`.")
    return found


def _file(script_file: Path, card_sha256: str) -> Path:
    return script_file.with_name(f"{script_file.name}.{card_sha256[:16]}.confirmation")
