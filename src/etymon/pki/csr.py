# SPDX-License-Identifier: Apache-2.0
"""Certification requests (PKCS #10, RFC 2986): what is left of one after its signature was verified."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from etymon.kernel.errors import DecodeError, Malformed
from etymon.pki import key_policy, message_algorithms
from etymon.pki.algorithms import PublicKey
from etymon.pki.certificate import UNREADABLE, spki, spki_sha256
from etymon.pki.message_algorithms import Permitted
from etymon.wire import der, pkcs10
from etymon.wire.der_scan import Bounds, require_plain
from etymon.wire.pkcs10 import CertificationRequest

LIMIT_BYTES: Final = 32 * 1024
"""Longest request that is read; one with an attestation chain of six certificates stays below it."""


BOUNDS: Final = Bounds(LIMIT_BYTES, depth=16, elements=2000)


@dataclass(frozen=True, slots=True)
class ProvenCSR:
    """A request whose sender showed possession of the private key; only this module makes one.

    Names in it are never copied.
    """

    public_key: PublicKey
    der: bytes

    @property
    def spki_sha256(self) -> bytes:
        """The SHA-256 of the requested key's SubjectPublicKeyInfo."""
        return spki_sha256(self.public_key)


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key this deployment made and holds itself (escrow, responder, server): possession needs no proof."""

    public_key: PublicKey

    @property
    def spki_sha256(self) -> bytes:
        """The SHA-256 of the key's SubjectPublicKeyInfo."""
        return spki_sha256(self.public_key)


CertifiableKey: TypeAlias = ProvenCSR | HeldKey


def hold(public_key: object) -> HeldKey:
    """Return a key of our own for certification; `Malformed` `weak_key` if policy forbids it.

    Slow for RSA: call it outside transactions.
    """
    return HeldKey(key_policy.check_for_certification(public_key))


def verify_proof_of_possession(data: bytes) -> ProvenCSR:
    """Read a DER request and verify its signature with the key it carries (RFC 2986 §4.2).

    Raises `Malformed` with `csr_malformed`, `csr_too_large`, `proof_of_possession_failed` or `weak_key`, the last also
    for a key in another encoding than the plain one: a compressed point, a curve spelled out, RSA without NULL.
    """
    if len(data) > LIMIT_BYTES:
        raise Malformed("csr_too_large", f"A certification request has at most {LIMIT_BYTES} bytes.")
    try:
        require_plain(data, BOUNDS)
        request = x509.load_der_x509_csr(data)
        requested_key = request.public_key()
        request.subject, request.attributes  # noqa: B018 - parsed late; a refusal belongs here
        sent_key = der.elements(der.only(request.tbs_certrequest_bytes, der.SEQUENCE).content)[2].encoded
    except (*UNREADABLE, DecodeError) as exc:
        raise Malformed("csr_malformed", "The certification request cannot be read. Send DER PKCS #10.") from exc
    public_key = key_policy.check(requested_key)
    if sent_key != spki(public_key):
        raise Malformed(
            "weak_key", "The key is not encoded plainly: a named curve and an uncompressed point, or RSA with NULL."
        )
    try:
        genuine = request.is_signature_valid
    except (*UNREADABLE, InvalidSignature):
        genuine = False
    if not genuine:
        raise _not_possessed()
    key_policy.check_for_certification(public_key)  # slow for RSA, so here, where nobody waits for a transaction
    return ProvenCSR(public_key, data)


def verify_rsa_proof(data: bytes, permitted: Permitted) -> tuple[ProvenCSR, CertificationRequest]:
    """Read a request of an outside program for an RSA key, verify its signature, and return what it asks for.

    Reads more than DER: attribute sets that are not sorted, among others. Raises `Malformed` with `csr_malformed`,
    `csr_too_large`, `proof_of_possession_failed`, `weak_key`, or `algorithm_not_allowed` for other keys and signatures.
    """
    asked = pkcs10.decode(data)
    public_key = message_algorithms.rsa_key(asked.public_key)
    hash_function = message_algorithms.signature_hash(asked.algorithm, None, permitted)
    if not message_algorithms.is_signature(public_key, asked.signature, asked.information, hash_function):
        raise _not_possessed()
    key_policy.check_for_certification(public_key)  # slow, so here too
    return ProvenCSR(public_key, data), asked


def _not_possessed() -> Malformed:
    return Malformed("proof_of_possession_failed", "The request's signature does not verify with the key it asks for.")
