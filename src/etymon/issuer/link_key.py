# SPDX-License-Identifier: Apache-2.0
"""The link key: the phone's authentication key, which signs what the phone asks for between scan and certificate."""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from etymon.issuer.errors import link_proof_wrong
from etymon.kernel.errors import Malformed
from etymon.pki import key_policy, signer
from etymon.pki.algorithms import KeyType, PublicKey, SignatureAlgorithm, key_type

LARGEST_KEY_BYTES = 1024
LARGEST_SIGNATURE_BYTES = 1024


def load(spki: bytes) -> PublicKey:
    """Read a DER SubjectPublicKeyInfo; `Malformed` for what is none or is not allowed (SP 800-78)."""
    if len(spki) > LARGEST_KEY_BYTES:
        raise Malformed("malformed_key", "The key is too large.")
    try:
        public_key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise Malformed("malformed_key", "The key is not a SubjectPublicKeyInfo.") from exc
    return key_policy.check(public_key)


def require_signature(spki: bytes, message: bytes, signature: bytes) -> None:
    """Refuse a signature that is not this key's: ECDSA in DER, or RSASSA-PKCS1-v1_5 with SHA-256 (link.md)."""
    public_key = load(spki)
    algorithm = {
        KeyType.P256: SignatureAlgorithm.ECDSA_SHA256,
        KeyType.P384: SignatureAlgorithm.ECDSA_SHA384,
    }.get(key_type(public_key), SignatureAlgorithm.SHA256_RSA)
    if len(signature) > LARGEST_SIGNATURE_BYTES:
        raise link_proof_wrong()
    try:
        signer.verify(public_key, algorithm, signature, message)
    except InvalidSignature as exc:
        raise link_proof_wrong() from exc
