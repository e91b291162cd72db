# SPDX-License-Identifier: Apache-2.0
"""The seam behind which signing keys live: a file in memory here, a PKCS#11 token behind the same three names."""

from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from etymon.kernel.errors import Unavailable
from etymon.pki.algorithms import (
    PrivateKey,
    PublicKey,
    SignatureAlgorithm,
    default_signature_algorithm,
    key_type,
)
from etymon.wire import der


class Signer(Protocol):
    """Signs with one key and one algorithm."""

    @property
    def public_key(self) -> PublicKey:
        """The public half of the key."""
        ...

    @property
    def algorithm(self) -> SignatureAlgorithm:
        """The algorithm every signature is made with."""
        ...

    def sign(self, tbs: bytes) -> bytes:
        """Return the signature over `tbs`, as it stands in a certificate; `Unavailable` if the key cannot be used."""
        ...


class SoftwareSigner:
    """A key held in memory."""

    def __init__(self, private_key: PrivateKey) -> None:
        self._private_key = private_key
        self.public_key: PublicKey = private_key.public_key()
        self.algorithm: SignatureAlgorithm = default_signature_algorithm(key_type(self.public_key))

    def sign(self, tbs: bytes) -> bytes:
        """Return the signature over `tbs`."""
        if isinstance(self._private_key, rsa.RSAPrivateKey):
            return self._private_key.sign(tbs, padding.PKCS1v15(), self.algorithm.hash())
        return self._private_key.sign(tbs, ec.ECDSA(self.algorithm.hash()))


def signed(signer: Signer, tbs: bytes) -> bytes:
    """Return the DER of SEQUENCE {tbs, algorithm, signature}: a certificate or a CRL (RFC 5280 §4.1, §5.1).

    The signature is verified before it is used; one that does not verify raises `Unavailable`.
    """
    return assembled(signer.algorithm, tbs, checked_signature(signer, tbs))


def assembled(algorithm: SignatureAlgorithm, tbs: bytes, signature: bytes) -> bytes:
    """Return the DER of SEQUENCE {tbs, algorithm, signature} for a signature that is checked elsewhere."""
    return der.sequence(tbs, algorithm.identifier(), der.bit_string(signature))


def checked_signature(signer: Signer, tbs: bytes) -> bytes:
    """Return the signer's signature over `tbs` after verifying it with the signer's public key."""
    signature = signer.sign(tbs)
    try:
        verify(signer.public_key, signer.algorithm, signature, tbs)
    except InvalidSignature as exc:
        raise Unavailable("signature_failed", "The signing key gave a signature that does not verify.") from exc
    return signature


def verify(public_key: PublicKey, algorithm: SignatureAlgorithm, signature: bytes, tbs: bytes) -> None:
    """Raise `InvalidSignature` unless `signature` over `tbs` is `public_key`'s."""
    if isinstance(public_key, rsa.RSAPublicKey):
        public_key.verify(signature, tbs, padding.PKCS1v15(), algorithm.hash())
    else:
        public_key.verify(signature, tbs, ec.ECDSA(algorithm.hash()))
