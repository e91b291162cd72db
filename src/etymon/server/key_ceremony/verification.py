# SPDX-License-Identifier: Apache-2.0
"""Verifying the record of a key ceremony, years later: by itself, and against the deployment it is of."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from etymon.audit import store as trail_store
from etymon.audit import trail
from etymon.ca import authorities
from etymon.kernel.errors import Malformed, NotPermitted
from etymon.pki.certificate import load, spki_sha256, to_der
from etymon.server import config_file, deployment
from etymon.server.key_ceremony import record
from etymon.server.key_ceremony.confirmation import Confirmation, require_genuine
from etymon.server.key_ceremony.script import Kind, Script, read_document


def verify(file: Path, data: Path | None) -> tuple[str, ...]:
    """Return in sentences what was verified of a record, with `data` against that deployment too.

    Raises `NotPermitted` for what does not hold: `record_forged`, `script_exchanged`, `not_confirmed` or the codes of
    a confirmation, `certificate_exchanged`, `not_revoked`, `record_of_another`, `record_not_in_trail`.
    """
    document = read_document(file)
    seal = record.require_signed(document)
    try:
        script = Script.from_document(document["script"])
        confirmations = [Confirmation.from_document(found) for found in document["confirmations"]]
        made: Sequence[Mapping[str, Any]] = document["authorities"]
        told = [
            "The record is as it was signed.",
            *_confirmed(script, document["script_sha256"], confirmations),
            *_certificates(made),
            *_revocations(script, made),
        ]
    except (KeyError, ValueError, TypeError) as exc:
        raise Malformed("ceremony_record", f"{file} is no record of a key ceremony.") from exc
    if data is not None:
        told += _against(data, file, script, seal, made)
    return tuple(told)


def _confirmed(script: Script, sha256: str, confirmations: Sequence[Confirmation]) -> list[str]:
    if script.sha256 != sha256:
        raise NotPermitted("script_exchanged", "The script is not the one that was performed.")
    confirmed = {require_genuine(script, each).card_sha256 for each in confirmations}
    for participant in script.participants:
        if participant.card_sha256 not in confirmed:
            raise NotPermitted("not_confirmed", f"The card of {participant.display_name} did not confirm the script.")
    return [
        f"{each.display_name} ({each.role.value}) confirmed the script with card {each.card_sha256[:16]}…"
        for each in script.participants
    ]


def _certificates(made: Sequence[Mapping[str, Any]]) -> list[str]:
    found = {each["name"]: load(base64.b64decode(each["certificate"], validate=True)) for each in made}
    for each in made:
        certificate, octets = found[each["name"]], base64.b64decode(each["list"], validate=True)
        digests = (hashlib.sha256(to_der(certificate)).hexdigest(), hashlib.sha256(octets).hexdigest())
        stated = (each["certificate_sha256"], each["list_sha256"])
        issuer = found.get(each["parent"] or each["name"])
        if digests != stated or spki_sha256(certificate).hex() != each["key_id"]:
            raise _exchanged(each["name"])
        if issuer is not None:
            try:
                certificate.verify_directly_issued_by(issuer)
            except (InvalidSignature, ValueError, TypeError) as exc:
                raise _exchanged(each["name"]) from exc
        if not x509.load_der_x509_crl(octets).is_signature_valid(certificate.public_key()):  # type: ignore[arg-type]  # authorities have RSA or EC keys
            raise _exchanged(each["name"])
    return [f"{len(made)} certificates and their lists are those of the keys that the record names."]


def _revocations(script: Script, made: Sequence[Mapping[str, Any]]) -> list[str]:
    """See that the root's list ends what the script revokes, and for its reason."""
    if script.kind is not Kind.REVOCATION:
        return []
    by_name = {each["name"]: each for each in made}
    (name,) = script.authorities
    certificate = load(base64.b64decode(by_name[name]["certificate"], validate=True))
    octets = base64.b64decode(by_name[by_name[name]["parent"]]["list"], validate=True)
    entry = x509.load_der_x509_crl(octets).get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is None or _reason(entry) != script.reason:
        raise NotPermitted("not_revoked", f"The root's list does not say that {name} was revoked for {script.reason}.")
    return [f"The root's list says that {name} was revoked for {script.reason}."]


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except x509.ExtensionNotFound:
        return ""


def _against(data: Path, file: Path, script: Script, seal: bytes, made: Sequence[Mapping[str, Any]]) -> list[str]:
    database = deployment.open_database(data, config_file.load(data))
    with closing(database), database.snapshot() as tx:
        checkpoint = trail_store.last_checkpoint(tx)
        if checkpoint is None or checkpoint.key_id != hashlib.sha256(seal).digest():
            raise NotPermitted("record_of_another", "The record was signed by another deployment.")
        for each in made:
            certificate = authorities.load(tx, each["name"]).certificate
            if hashlib.sha256(to_der(certificate)).hexdigest() != each["certificate_sha256"]:
                raise _exchanged(each["name"])
        events = trail.page(tx, name="ca:ceremony:performed", subject=f"ceremony:{script.id}")
        if record.sha256(file) not in {each.event.facts["record_sha256"] for each in events}:
            raise NotPermitted("record_not_in_trail", "The audit trail does not have this record.")
    return ["The audit trail and the authorities of the deployment say the same."]


def _exchanged(name: str) -> NotPermitted:
    return NotPermitted("certificate_exchanged", f"The certificate, key or list of {name} is not the recorded one.")
