# SPDX-License-Identifier: Apache-2.0
"""What a derived authentication certificate is called by: its own UUID, which stands for the person while it lives."""

from uuid import UUID

from etymon.ca import certificates
from etymon.directory import bindings
from etymon.issuer.dependencies import Dependencies
from etymon.kernel.errors import Unavailable
from etymon.pki import certificate as reading
from etymon.storage.database import Transaction
from etymon.wire import der


def identifier_of(tx: Transaction, certificate_id: UUID) -> str:
    """Return the UUID the authority chose: it stands in what was signed or will be (CP 3.1.1.2, fresh each time)."""
    kept = certificates.find(tx, certificate_id)
    encoded = kept.der if kept else None
    if encoded is None and kept is not None and kept.tbs is not None:
        algorithm = der.elements(der.only(kept.tbs, der.SEQUENCE).content)[2].encoded
        encoded = der.sequence(kept.tbs, algorithm, der.bit_string(b""))
    uuid = reading.card_uuid(reading.load(encoded)) if encoded is not None else None
    if uuid is None:
        raise Unavailable("plan_not_readable", "The certificate could not be planned. Send the same request again.")
    return str(uuid)


def end_binding(
    tx: Transaction, deps: Dependencies, person_id: UUID, identifier: str, *, reason: str, actor: str
) -> None:
    """Let the certificate stand for nobody any more: what was signed in with it can be refreshed no more."""
    for binding in bindings.bindings_of(tx, person_id):
        named = (binding.trust_entry, binding.identifier) == (deps.trust_entry, identifier)
        if named and binding.ended_at is None:
            bindings.end(tx, deps, binding.id, reason=reason, actor=actor)
