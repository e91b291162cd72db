# SPDX-License-Identifier: Apache-2.0
"""A vault in software: each key is an encrypted PKCS #8 in its record, opened for the one operation that needs it.

Between operations only the compartments' keys are in memory. Python cannot promise to wipe what an operation used; what
it leaves in freed memory is the price of a store that needs no token.
"""

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as library

from etymon.card.external_key import SignatureScheme, SoftwareKey
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Malformed, NotPermitted, Unavailable
from etymon.kernel.secret import Secret
from etymon.phone.key_store.contract import EncryptionPadding, KeyRecord, Protection, TokenReference, WrappedKey
from etymon.phone.key_store.server_generated import open_package
from etymon.phone.sealed_file import derive, open_sealed, seal
from etymon.pki import keys
from etymon.pki.algorithms import KeyType, PrivateKey, PublicKey


class SoftwareVault:
    """Keys encrypted by AES-256-GCM under their compartment's key; the reference of a key is its ciphertext."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._open: dict[Protection, Secret[bytes]] = {}

    def unlock(self, protection: Protection, key: Secret[bytes]) -> None:
        """Keep the compartment's key until it is locked."""
        self._open[protection] = derive(key, f"wrap {protection.value}")

    def lock(self, protection: Protection) -> None:
        """Forget the compartment's key."""
        self._open.pop(protection, None)

    def generate(self, protection: Protection, alias: str, kind: KeyType) -> tuple[bytes, PublicKey]:
        """Make a key; its ciphertext is what the record keeps."""
        return self._keep(protection, alias, keys.generate(kind))

    def import_wrapped(
        self, protection: Protection, alias: str, package: WrappedKey, transport: KeyRecord
    ) -> tuple[bytes, PublicKey]:
        """Open the package and keep its key like one made here."""
        return self._keep(protection, alias, open_package(package, lambda block: self._oaep(transport, block)))

    def sign_digest(self, record: KeyRecord, digest: bytes, scheme: SignatureScheme) -> bytes:
        """Return the signature over a digest."""
        return SoftwareKey(self._private_key(record)).sign_digest(digest, scheme)

    def decrypt(self, record: KeyRecord, ciphertext: bytes, padding: EncryptionPadding) -> bytes:
        """Return what was encrypted to an RSA key."""
        private_key = self._private_key(record)
        if isinstance(private_key, ec.EllipticCurvePrivateKey):
            raise NotPermitted("wrong_key_type", "Only RSA keys decrypt.")
        try:
            return private_key.decrypt(ciphertext, _library_padding(padding))
        except ValueError as exc:
            raise Malformed("not_decryptable", "This was not encrypted to the phone's key.") from exc

    def certify(self, record: KeyRecord) -> None:
        """Do nothing: the record has the certificate, and no other program looks here."""

    def delete(self, record: KeyRecord) -> None:
        """Do nothing: the key was in its record."""

    def sweep(self, protection: Protection, keep: frozenset[bytes]) -> None:
        """Do nothing: there are no keys but those in the records."""

    def destroy(self, protection: Protection) -> None:
        """Forget the compartment's key; the ciphertexts go with their records."""
        self.lock(protection)

    def token_reference(self, record: KeyRecord) -> TokenReference | None:  # noqa: ARG002 - the seam's signature
        """Return None: no other program can use a key from here."""
        return None

    def close(self) -> None:
        """Forget the compartments' keys."""
        self._open.clear()

    def _keep(self, protection: Protection, alias: str, private_key: PrivateKey) -> tuple[bytes, PublicKey]:
        plain = private_key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return seal(self._key(protection), alias, plain, self._entropy), private_key.public_key()

    def _private_key(self, record: KeyRecord) -> PrivateKey:
        plain = open_sealed(self._key(record.protection), record.alias, record.reference)
        if plain is None:
            raise Unavailable("key_damaged", "The key is damaged. Set your credential up again.")
        # our own authenticated ciphertext: the lengthy check of RSA parameters was the generation's
        private_key = serialization.load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(private_key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise Unavailable("key_damaged", "The key is of a kind that is not used here.")
        return private_key

    def _key(self, protection: Protection) -> Secret[bytes]:
        try:
            return self._open[protection]
        except KeyError as exc:
            raise NotPermitted("activation_required", "Enter your activation secret first.") from exc

    def _oaep(self, record: KeyRecord, block: bytes) -> bytes:
        return self.decrypt(record, block, EncryptionPadding.OAEP_SHA256)


def _library_padding(padding: EncryptionPadding) -> library.AsymmetricPadding:
    if padding is EncryptionPadding.PKCS1V15:
        return library.PKCS1v15()
    return library.OAEP(library.MGF1(hashes.SHA256()), hashes.SHA256(), None)
