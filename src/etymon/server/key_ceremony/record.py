# SPDX-License-Identifier: Apache-2.0
"""The record of a key ceremony: what was done, by whom, with which keys; signed, and printed for people to sign too."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from etymon.ca import authorities, crl
from etymon.ca.model import Authority
from etymon.kernel.errors import EtymonError, Malformed, NotPermitted
from etymon.pki.algorithms import default_signature_algorithm, key_type
from etymon.pki.certificate import spki, spki_sha256, to_der
from etymon.pki.keys import write_once
from etymon.pki.signer import Signer, checked_signature, verify
from etymon.server.deployment import Deployment
from etymon.server.initialization import RootKeys
from etymon.server.key_ceremony.confirmation import Confirmed
from etymon.server.key_ceremony.journal import FOLDER, Journal
from etymon.server.key_ceremony.script import Kind, Script, canonical, this_program
from etymon.server.key_places import PlacedKeys, RootToken

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Performed:
    """What came of a script: who confirmed it, the authorities, escrow's key, and what left the machine."""

    confirmed: tuple[Confirmed, ...]
    authorities: tuple[Mapping[str, Any], ...]
    escrow_key: str
    left: tuple[Mapping[str, str], ...]


def gathered(
    script: Script,
    confirmed: Sequence[Confirmed],
    deployment: Deployment,
    placed: PlacedKeys,
    names: Sequence[str],
    root_keys: RootKeys | RootToken,
) -> Performed:
    """Return what is there after a script was performed."""
    cipher = deployment.escrow_cipher
    return Performed(
        tuple(confirmed),
        tuple(_authority(deployment, placed, name) for name in names),
        cipher.identifier().hex() if cipher is not None else "in a file of the data directory",
        tuple(_left(script, name, root_keys) for name in names if name.endswith("-root")),
    )


def write(data: Path, script: Script, performed: Performed, journal: Journal, seal: Signer) -> Path:
    """Write the record, as JSON and as text to be printed, and return the JSON's file; one that is there stays."""
    target = file(data, script)
    if not target.exists():
        document = _document(script, performed, journal)
        document["signature"] = signature_of(document, seal)
        write_once(target, json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
    if not target.with_suffix(".txt").exists():
        write_once(target.with_suffix(".txt"), printed(target).encode())
    return target


def file(data: Path, script: Script) -> Path:
    """Return where a ceremony's record is."""
    return data / FOLDER / f"{script.id}.json"


def sha256(record: Path) -> str:
    """Return the hash of a record's file, which the audit trail and the printed record name."""
    return hashlib.sha256(record.read_bytes()).hexdigest()


def signature_of(unsigned: Mapping[str, Any], seal: Signer) -> dict[str, str]:
    """Return the signature of a record by the key that seals the audit trail, with that key."""
    return {
        "key": base64.b64encode(spki(seal.public_key)).decode("ascii"),
        "value": base64.b64encode(checked_signature(seal, canonical(unsigned))).decode("ascii"),
    }


def require_signed(document: Mapping[str, Any]) -> bytes:
    """Return the SubjectPublicKeyInfo of the key that signed a record; `NotPermitted` `record_forged` otherwise."""
    try:
        unsigned = {name: value for name, value in document.items() if name != "signature"}
        octets = base64.b64decode(document["signature"]["key"], validate=True)
        key = load_der_public_key(octets)
        kind = key_type(key)
        signature = base64.b64decode(document["signature"]["value"], validate=True)
        verify(key, default_signature_algorithm(kind), signature, canonical(unsigned))  # type: ignore[arg-type]  # key_type took it
    except InvalidSignature as exc:
        raise NotPermitted("record_forged", "The record was changed after it was signed.") from exc
    except (KeyError, ValueError, TypeError, EtymonError) as exc:
        raise Malformed("ceremony_record", "This is no record of a key ceremony.") from exc
    return octets


def printed(record: Path) -> str:
    """Return a record as text that people sign by hand."""
    document = json.loads(record.read_text("utf-8"))
    script = document["script"]
    lines = [
        "RECORD OF A KEY CEREMONY",
        "",
        f"Ceremony        {script['id']}  ({script['kind']})",
        f"Place           {script['place']}",
        f"Began, ended    {document['began_at']}  {document['ended_at']}",
        f"Program         etymon {document['program']['version']}",
        f"                SHA-256 {document['program']['sha256']}",
        f"Script          SHA-256 {document['script_sha256']}",
        "",
        "PARTICIPANTS",
    ]
    for each in document["participants"]:
        lines += [
            f"  {each['role']:<14}{each['display_name']} <{each['user_principal_name']}>",
            f"                card certificate SHA-256 {each['card_sha256']}",
            f"                confirmed {each['confirmed_at']}, card good by {each['status']}",
        ]
    lines += ["", "STEPS"]
    for step in document["steps"]:
        facts = "".join(f"; {name} {value}" for name, value in step.items() if name not in {"at", "step"})
        lines.append(f"  {step['at']}  {step['step']}{facts}")
    lines += ["", "AUTHORITIES"]
    for made in document["authorities"]:
        lines += [
            f"  {made['name']} ({made['subject']}), below {made['parent'] or 'nobody'}",
            f"                key {made['key_type']}, made in a {made['key_place']}, SHA-256 {made['key_id']}",
            f"                certificate SHA-256 {made['certificate_sha256']}, until {made['not_after']}",
            f"                list no. {made['list_number']}, SHA-256 {made['list_sha256']}, next {made['list_next']}",
        ]
        if "revoked_at" in made:
            lines.append(f"                REVOKED {made['revoked_at']} for {made['revocation_reason']}")
    lines += ["", f"ESCROW KEY      {document['escrow_key']}", "", "LEFT THE MACHINE"]
    lines += [f"  {left['what']}: {left['where']}  {left['sha256']}".rstrip() for left in document["left_the_machine"]]
    lines += ["", f"This record is the file {record.name}, SHA-256", f"  {sha256(record)}", "", "SIGNED BY HAND", ""]
    lines += [
        f"  {each['display_name']:<32}____________________________  ____________" for each in document["participants"]
    ]
    return "\n".join(lines) + "\n"


def place_of(root_keys: RootKeys | RootToken) -> str:
    """Return where root keys are, for people."""
    if isinstance(root_keys, RootKeys):
        return f"encrypted files in {root_keys.directory}"
    return f"the token {root_keys.choice}"


def _document(script: Script, performed: Performed, journal: Journal) -> dict[str, Any]:
    steps, program = journal.steps(), this_program()
    return {
        "etymon_key_ceremony_record": VERSION,
        "script": script.to_document(),
        "script_sha256": script.sha256,
        "began_at": steps[0]["at"],
        "ended_at": steps[-1]["at"],
        "program": {"version": program.version, "sha256": program.sha256},
        "participants": [_participant(each) for each in performed.confirmed],
        "confirmations": [each.confirmation.to_document() for each in performed.confirmed],
        "steps": steps,
        "authorities": list(performed.authorities),
        "escrow_key": performed.escrow_key,
        "left_the_machine": list(performed.left),
    }


def _participant(each: Confirmed) -> dict[str, str]:
    status = each.path.evidence[0]
    return {
        "role": each.participant.role.value,
        "display_name": each.participant.display_name,
        "user_principal_name": each.participant.user_principal_name,
        "card_sha256": each.participant.card_sha256,
        "trust_entry": each.path.entry_name,
        "confirmed_at": str(each.confirmation.statement["confirmed_at"]),
        "status": f"{status.kind.value} of {status.this_update.isoformat()}",
    }


def _authority(deployment: Deployment, placed: PlacedKeys, name: str) -> dict[str, Any]:
    with deployment.database.snapshot() as tx:
        found, revoked = authorities.load(tx, name), crl.find(tx, name)
    certificate = found.certificate
    if revoked is None:
        raise Malformed("list_missing", f"The authority {name} has no list.")
    return {
        "name": name,
        "parent": found.parent,
        "subject": certificate.subject.rfc4514_string(),
        "key_type": key_type(certificate.public_key()).value,
        "key_place": placed.place_of(name),
        "key_id": spki_sha256(certificate).hex(),
        "certificate": base64.b64encode(to_der(certificate)).decode("ascii"),
        "certificate_sha256": hashlib.sha256(to_der(certificate)).hexdigest(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "list": base64.b64encode(revoked.der).decode("ascii"),
        "list_number": revoked.number,
        "list_sha256": hashlib.sha256(revoked.der).hexdigest(),
        "list_next": revoked.next_update.isoformat(),
        **_end(found),
    }


def _end(authority: Authority) -> dict[str, str]:
    if authority.revoked_at is None or authority.reason is None:
        return {}
    return {"revoked_at": authority.revoked_at.isoformat(), "revocation_reason": authority.reason.name.lower()}


def _left(script: Script, name: str, root_keys: RootKeys | RootToken) -> dict[str, str]:
    is_new = script.kind in {Kind.ORGANIZATION, Kind.HIERARCHY}
    brought = "" if is_new else ", brought for this and taken back"
    digest = ""
    if isinstance(root_keys, RootKeys):
        digest = "SHA-256 " + hashlib.sha256((root_keys.directory / f"{name}.pem").read_bytes()).hexdigest()
    return {"what": f"the key of {name}", "where": place_of(root_keys) + brought, "sha256": digest}
