# SPDX-License-Identifier: Apache-2.0
"""The signature algorithms and key types that are used here, as data (SP 800-78-5 §3; RFC 4055; RFC 5758)."""

import enum
from typing import Final, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from etymon.kernel.errors import Malformed
from etymon.wire import der

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

RSA_PUBLIC_EXPONENT: Final = 65537


class KeyType(enum.Enum):
    """A kind of key that certificates here are made for."""

    P256 = "p256"
    P384 = "p384"
    RSA2048 = "rsa2048"
    RSA3072 = "rsa3072"
    RSA4096 = "rsa4096"


class SignatureAlgorithm(enum.Enum):
    """An algorithm that signs certificates, CRLs and OCSP answers; the value is its object identifier."""

    SHA256_RSA = "1.2.840.113549.1.1.11"
    SHA384_RSA = "1.2.840.113549.1.1.12"
    ECDSA_SHA256 = "1.2.840.10045.4.3.2"
    ECDSA_SHA384 = "1.2.840.10045.4.3.3"

    @property
    def is_rsa(self) -> bool:
        """Say whether the key is an RSA key."""
        return self in {SignatureAlgorithm.SHA256_RSA, SignatureAlgorithm.SHA384_RSA}

    def hash(self) -> hashes.SHA256 | hashes.SHA384:
        """Return the hash function."""
        if self in {SignatureAlgorithm.SHA256_RSA, SignatureAlgorithm.ECDSA_SHA256}:
            return hashes.SHA256()
        return hashes.SHA384()

    def identifier(self) -> bytes:
        """Return the DER AlgorithmIdentifier: NULL parameters for RSA (RFC 4055 §5), none for ECDSA (RFC 5758 §3.2)."""
        name = der.object_identifier(self.value)
        return der.sequence(name, der.null()) if self.is_rsa else der.sequence(name)


def key_type(public_key: object) -> KeyType:
    """Return the kind of `public_key`; raise `Malformed` `weak_key` for every other kind."""
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        for kind, curve in ((KeyType.P256, ec.SECP256R1), (KeyType.P384, ec.SECP384R1)):
            if isinstance(public_key.curve, curve):
                return kind
    if isinstance(public_key, rsa.RSAPublicKey):
        for kind, bits in ((KeyType.RSA2048, 2048), (KeyType.RSA3072, 3072), (KeyType.RSA4096, 4096)):
            if public_key.key_size == bits:
                return kind
    raise Malformed("weak_key", "Use a P-256, P-384 or RSA key of 2048, 3072 or 4096 bits.")


def default_signature_algorithm(kind: KeyType) -> SignatureAlgorithm:
    """Return the algorithm whose strength fits the key (SP 800-78-5 table 4)."""
    match kind:
        case KeyType.P256:
            return SignatureAlgorithm.ECDSA_SHA256
        case KeyType.P384:
            return SignatureAlgorithm.ECDSA_SHA384
        case KeyType.RSA4096:
            return SignatureAlgorithm.SHA384_RSA
        case KeyType.RSA2048 | KeyType.RSA3072:
            return SignatureAlgorithm.SHA256_RSA
