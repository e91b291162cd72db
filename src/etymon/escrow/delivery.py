# SPDX-License-Identifier: Apache-2.0
"""A key leaving escrow: put on record, unwrapped, enveloped to a transport key (RFC 7030 §4.4.2, RFC 5958).

What may be released to whom is decided in `deposit`, `history`, `self_recovery` and `recovery`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from etymon.audit.model import Fact
from etymon.escrow import store
from etymon.escrow.dependencies import Dependencies, record
from etymon.escrow.errors import key_unusable, transport_key_too_weak
from etymon.escrow.model import EscrowedKey, WrappedKey
from etymon.kernel.entropy import Entropy, random_id
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.pki import key_policy
from etymon.pki.certificate import spki_sha256, to_der
from etymon.pki.signer import Signer, checked_signature
from etymon.storage.database import Transaction
from etymon.wire import key_package
from etymon.wire.key_package import Enveloped, Signed

CONTEXT: Final = b"etymon escrow v1\x00"

_DIGESTS: Final = {"sha256": key_package.SHA256, "sha384": key_package.SHA384}


def context(key_id: UUID, person_id: UUID, public_key: rsa.RSAPublicKey) -> bytes:
    """Return what a wrapped key is bound to: a row that was given to another person does not unwrap."""
    return CONTEXT + key_id.bytes + person_id.bytes + spki_sha256(public_key)


def check_transport_key(transport_key: object, *, carries_bits: int) -> rsa.RSAPublicKey:
    """Return an RSA key that may carry a key of `carries_bits`.

    `Malformed` `weak_key` for a key that may not be used at all, `transport_key` for another kind, and
    `transport_key_too_weak` for one shorter than what it carries (Key Recovery Policy 6.1.2: as strong as the key).
    """
    checked = key_policy.check(transport_key)
    if not isinstance(checked, rsa.RSAPublicKey):
        raise Malformed("transport_key", "The transport key is an RSA key of 2048 bits or more.")
    if checked.key_size < carries_bits:
        raise transport_key_too_weak()
    return checked


def release(
    tx: Transaction,
    deps: Dependencies,
    key: EscrowedKey,
    transport_key: rsa.RSAPublicKey,
    *,
    reason: str,
    actor: str,
    source: str,
) -> WrappedKey:
    """Put a release on record in the caller's transaction, before anything is opened; `Conflict` when destroyed."""
    checked = check_transport_key(transport_key, carries_bits=key.public_key.key_size)
    facts: dict[str, Fact] = {"reason": reason, "transport_key_sha256": spki_sha256(checked).hex()}
    return _released(tx, deps, key.id, facts, reason=reason, actor=actor, source=source, transport_key=checked)


def release_recovered(
    tx: Transaction, deps: Dependencies, key_id: UUID, recovery_id: UUID, *, reason: str, actor: str, source: str
) -> WrappedKey:
    """Put a release by a recovery on record, as `release` does; a recovery releases a key once."""
    facts: dict[str, Fact] = {"reason": reason, "recovery": str(recovery_id)}
    return _released(tx, deps, key_id, facts, reason=reason, actor=actor, source=source, recovery_id=recovery_id)


def release_to_cardholder(
    tx: Transaction, deps: Dependencies, key_id: UUID, card_proof: UUID, *, reason: str, actor: str, source: str
) -> WrappedKey:
    """Put a release to whoever proved a card on record, as `release` does."""
    facts: dict[str, Fact] = {"reason": reason, "card_proof": str(card_proof)}
    return _released(tx, deps, key_id, facts, reason=reason, actor=actor, source=source, card_proof=card_proof)


def _released(
    tx: Transaction,
    deps: Dependencies,
    key_id: UUID,
    facts: Mapping[str, Fact],
    *,
    reason: str,
    actor: str,
    source: str,
    transport_key: rsa.RSAPublicKey | None = None,
    recovery_id: UUID | None = None,
    card_proof: UUID | None = None,
) -> WrappedKey:
    wrapped = store.release(tx, key_id)
    store.add_release(
        tx,
        random_id(deps.entropy),
        key_id=key_id,
        released_at=deps.clock.now(),
        transport_key=transport_key,
        reason=reason,
        actor=actor,
        recovery_id=recovery_id,
        card_proof=card_proof,
    )
    subject = f"escrowed_key:{key_id}"
    record(tx, deps, "key:released", actor=actor, subject=subject, facts=facts, source=source)
    return wrapped


def unwrapped(deps: Dependencies, wrapped: WrappedKey) -> Secret[bytes]:
    """Return a released key as PKCS #8; `Unavailable` `escrowed_key_unusable` if it does not open."""
    known = {each.id: each for each in (deps.key_encryption_key, *deps.former_keys)}
    key = wrapped.key
    if wrapped.wrapped_by not in known:
        raise key_unusable()
    return known[wrapped.wrapped_by].unwrap(wrapped.wrapped, context(key.id, key.person_id, key.public_key))


def opened(deps: Dependencies, wrapped: WrappedKey, transport_key: rsa.RSAPublicKey) -> bytes:
    """Return a released key in CMS for the transport key; `Unavailable` `escrowed_key_unusable` if it does not open."""
    return envelope(
        unwrapped(deps, wrapped),
        transport_key,
        entropy=deps.entropy,
        signer=deps.signer,
        signer_certificate=deps.signer_certificate,
        signed_at=deps.clock.now(),
    )


def envelope(
    private_key: Secret[bytes],
    transport_key: rsa.RSAPublicKey,
    *,
    entropy: Entropy,
    signer: Signer,
    signer_certificate: x509.Certificate,
    signed_at: datetime,
) -> bytes:
    """Return a PKCS #8 key as EnvelopedData(SignedData(AsymmetricKeyPackage)) that only the transport key opens."""
    package = key_package.encode_package([private_key.reveal()])
    digest = _DIGESTS[signer.algorithm.hash().name]
    attributes = key_package.signed_attributes(package, digest, signed_at)
    signed = Signed(
        package=package,
        digest=digest,
        attributes=attributes,
        algorithm=signer.algorithm.value,
        signature=checked_signature(signer, attributes),
        signer=key_package.issuer_and_serial_number(
            signer_certificate.issuer.public_bytes(), signer_certificate.serial_number
        ),
        certificates=(to_der(signer_certificate),),
    )
    content = key_package.encode_signed(signed, algorithm=signer.algorithm.identifier())
    content_key, vector = entropy.octets(32), entropy.octets(16)
    padder = PKCS7(algorithms.AES256.block_size).padder()
    encryptor = Cipher(algorithms.AES256(content_key), modes.CBC(vector)).encryptor()
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    return key_package.encode_enveloped(
        Enveloped(
            recipient=x509.SubjectKeyIdentifier.from_public_key(transport_key).digest,
            encrypted_key=transport_key.encrypt(content_key, oaep),
            initialization_vector=vector,
            ciphertext=encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize(),
        )
    )
