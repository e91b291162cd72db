# SPDX-License-Identifier: Apache-2.0
"""What kept evidence of a key says, for whoever looks into it later; nothing is judged anew."""

import base64
from dataclasses import dataclass
from textwrap import wrap
from typing import Final
from uuid import UUID

from etymon.issuer.attestation import store
from etymon.issuer.attestation.model import KeyAttestation, printable
from etymon.kernel.errors import NotFound
from etymon.pki import key_attestation
from etymon.pki.attestation_chain import NotAttested
from etymon.pki.key_attestation import AttestedKey
from etymon.storage.database import Transaction
from etymon.wire.key_description import ApplicationId

MOST_NAMED: Final = 20
"""Packages and signers that are shown of one key; the chain has them all."""

_PEM_COLUMNS: Final = 64  # RFC 7468 §2


@dataclass(frozen=True, slots=True)
class Described:
    """What the phone said of itself when it made a key. Only the packages are its system's word, not its hardware's."""

    boot_state: str
    device_locked: bool
    os_version: int | None
    packages: tuple[str, ...]
    signature_digests: tuple[bytes, ...]


def described(found: KeyAttestation) -> Described | None:
    """Return what the chain of a proved key says besides; None where it proves nothing or is not understood.

    What was proved once may be more than today's reader takes: the verdict stands, and the others of a list are shown.
    """
    if not found.is_proved:
        return None
    try:
        attested = key_attestation.read(found.chain)
    except NotAttested:
        return None
    application = _application(attested)
    return Described(
        boot_state=attested.boot_state.name.lower() if attested.boot_state is not None else "",
        device_locked=attested.device_locked,
        os_version=attested.description.hardware_enforced.number("osVersion"),
        packages=tuple(printable(name) for name, _ in application.packages[:MOST_NAMED]),
        signature_digests=application.signature_digests[:MOST_NAMED],
    )


def of_key(tx: Transaction, derivation: UUID, attestation: UUID) -> KeyAttestation:
    """Return one piece of evidence of a derivation; raises `NotFound`."""
    found = next((each for each in store.of_derivation(tx, derivation) if each.id == attestation), None)
    if found is None:
        raise NotFound("attestation_unknown", "Nothing of this id was found of a key of this device.")
    return found


def pem(found: KeyAttestation) -> str:
    """Return the chain as it was received, the key's certificate first; what is no certificate is in it too."""
    return "".join(map(_pem, found.chain))


def _pem(octets: bytes) -> str:
    lines = wrap(base64.b64encode(octets).decode("ascii"), _PEM_COLUMNS)
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""))


def _application(attested: AttestedKey) -> ApplicationId:
    try:
        return key_attestation.application_id(attested)
    except NotAttested:
        return ApplicationId((), ())  # the system's word only, which proves nothing, and was not asked for
