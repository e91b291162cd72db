# SPDX-License-Identifier: Apache-2.0
"""Making encryption keys, keeping them wrapped, and delivering them to their owner's key store.

An encryption certificate is issued only after `deposit` has kept the key (Common Policy 4.12.1).
"""

from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from etymon.audit import sealer
from etymon.escrow import delivery, owner_notice, store
from etymon.escrow.dependencies import Dependencies, record
from etymon.escrow.errors import (
    certificate_of_another_key,
    key_destroyed,
    key_type_not_escrowed,
    key_unknown,
    retention_not_over,
    under_legal_hold,
)
from etymon.escrow.model import ESCROWED_TYPES, RETENTION, EscrowedKey, EscrowState, GeneratedKey, check_reason
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import Secret
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import spki_sha256
from etymon.storage.database import Transaction


def generate(deps: Dependencies, *, person_id: UUID, key_type: KeyType) -> GeneratedKey:
    """Return a new key for a person, wrapped, for `deposit` to keep.

    Slow: call it outside of transactions. `Malformed` `key_type_not_escrowed` for anything but RSA of 2048 and 3072
    bits.
    """
    if key_type not in ESCROWED_TYPES:
        raise key_type_not_escrowed()
    private_key = keys.generate(key_type)
    public_key = private_key.public_key()
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise key_type_not_escrowed()
    key_id = random_id(deps.entropy)
    plain = Secret(private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    wrapping = deps.key_encryption_key
    wrapped = wrapping.wrap(plain, delivery.context(key_id, person_id, public_key))
    return GeneratedKey(key_id, person_id, key_type, public_key, wrapped, wrapping.id)


def deposit(tx: Transaction, deps: Dependencies, generated: GeneratedKey) -> EscrowedKey:
    """Keep a key in the caller's transaction; when that commits, escrow has confirmed."""
    now = deps.clock.now()
    store.add(tx, generated, now)
    facts = {"key_type": generated.key_type.value, "public_key_sha256": spki_sha256(generated.public_key).hex()}
    actor, subject = f"person:{generated.person_id}", f"escrowed_key:{generated.id}"
    record(tx, deps, "key:deposited", actor=actor, subject=subject, facts=facts)
    state = EscrowState.DEPOSITED
    return EscrowedKey(generated.id, generated.person_id, generated.key_type, generated.public_key, state, now)


def certify(tx: Transaction, deps: Dependencies, key_id: UUID, certificate: x509.Certificate) -> None:
    """Keep a key's certificate with it: mail programs find the key by it, and it says how long to keep the key.

    `Conflict` `certificate_of_another_key` when it is not the key's, or the key has another; the same one again
    changes nothing.
    """
    key = store.known_key(tx, key_id)
    if key.certificate == certificate:
        return
    if spki_sha256(certificate) != spki_sha256(key.public_key):
        raise certificate_of_another_key()
    if not store.certify(tx, key_id, certificate, certificate.not_valid_after_utc + RETENTION):
        raise certificate_of_another_key()
    facts = {"serial_number": f"{certificate.serial_number:x}"}
    record(tx, deps, "key:certified", actor="escrow", subject=f"escrowed_key:{key_id}", facts=facts)


def history(tx: Transaction, person_id: UUID) -> list[EscrowedKey]:
    """Return all of a person's keys that can be released, newest first."""
    return store.of_person(tx, person_id)


def release_to_transport_key(
    deps: Dependencies,
    key_id: UUID,
    transport_key: rsa.RSAPublicKey,
    *,
    owner: UUID,
    reason: str,
    actor: str,
    source: str = "",
) -> bytes:
    """Return a person's own key in CMS that only the transport key opens (RFC 7030 §4.4.2).

    Every release and every refusal is recorded, and the key's owner is told of both. `NotFound`
    `escrowed_key_unknown` for a key that is not `owner`'s; `Conflict` for one that is destroyed, or an owner who
    cannot be told; `Malformed` for a transport key that is too weak; `Unavailable` when the audit trail stands still
    or the key does not open. Runs transactions of its own.
    """
    check_reason(reason)
    try:
        with deps.database.transaction() as tx:
            sealer.require_live(tx, deps.clock)
            key = store.known_key(tx, key_id)
            if key.person_id != owner:
                raise key_unknown()
            person = owner_notice.owner_to_tell(tx, owner)
            wrapped = delivery.release(tx, deps, key, transport_key, reason=reason, actor=actor, source=source)
            owner_notice.released(tx, deps, person, [key], reason)
        return delivery.opened(deps, wrapped, transport_key)
    except EtymonError as refusal:
        with deps.database.transaction() as tx:
            owner_notice.refused(tx, deps, [key_id], refusal, reason=reason, actor=actor, source=source)
        raise


def destroy(tx: Transaction, deps: Dependencies, key_id: UUID, *, reason: str, actor: str) -> None:
    """Destroy the private half of a key; its record stays.

    `Conflict` `retention_not_over` until a year after its certificate ends (Key Recovery Policy 4.12), `legal_hold`
    while its person's keys are held, and `escrowed_key_destroyed` for a key that is gone.
    """
    check_reason(reason)
    key = store.known_key(tx, key_id)
    if key.state is EscrowState.DESTROYED:
        raise key_destroyed()
    if not store.destroy(tx, key_id, deps.clock.now()):
        raise under_legal_hold() if store.is_held(tx, key.person_id) else retention_not_over()
    facts = {"reason": reason}
    record(tx, deps, "key:destroyed", actor=actor, subject=f"escrowed_key:{key_id}", facts=facts)
