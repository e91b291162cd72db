# SPDX-License-Identifier: Apache-2.0
"""A handle dressed up as the library's RSA private key, for its CMS reader: it deciphers and does nothing else.

`card.external_key.as_private_key` does the same for signing.
"""

from typing import NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding as library
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed

from etymon.card.external_key import Unexportable
from etymon.kernel.errors import NotPermitted
from etymon.phone.key_store.contract import EncryptionPadding, KeyHandle


def as_decrypting_key(handle: KeyHandle) -> rsa.RSAPrivateKey:
    """Return what the library takes for a private key that decrypts with PKCS#1 v1.5."""
    if not isinstance(handle.public_key, rsa.RSAPublicKey):
        raise NotPermitted("wrong_key_type", "Only RSA keys decrypt.")
    return _DecryptingKey(handle, handle.public_key)


class _DecryptingKey(Unexportable, rsa.RSAPrivateKey):
    def __init__(self, handle: KeyHandle, public_key: rsa.RSAPublicKey) -> None:
        self._handle = handle
        self._public_key = public_key

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public_key

    def decrypt(self, ciphertext: bytes, padding: library.AsymmetricPadding) -> bytes:
        if not isinstance(padding, library.PKCS1v15):
            _refuse()
        return self._handle.decrypt(bytes(ciphertext), EncryptionPadding.PKCS1V15)

    def sign(
        self,
        data: bytes,  # noqa: ARG002 - the library's signature
        padding: library.AsymmetricPadding,  # noqa: ARG002 - the library's signature
        algorithm: Prehashed | hashes.HashAlgorithm | NoDigestInfo,  # noqa: ARG002 - the library's signature
    ) -> NoReturn:
        _refuse()


def _refuse() -> NoReturn:
    raise NotPermitted("key_stays", "This key stays where it is; it can only decrypt.")
