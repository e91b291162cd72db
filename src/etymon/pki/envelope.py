# SPDX-License-Identifier: Apache-2.0
"""Opening and sealing envelopes with RSA PKCS #1 v1.5 and a block cipher in CBC mode, as SCEP has them.

Neither padding is safe against somebody who may ask often and is told what was wrong. So that there is nothing to tell,
every way in which an envelope does not open is one refusal, and a content key that does not unwrap is replaced by a
random one (RFC 3218 §2.3.2); the library's own decryption does the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.padding import PKCS7

from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import DecodeError, Malformed
from etymon.pki import message_algorithms
from etymon.pki.message_algorithms import RSA_ENCRYPTION, BlockCipher, Permitted
from etymon.wire import scep_envelope
from etymon.wire.scep_envelope import Envelope, Recipient


class RegistrationKey(Protocol):
    """An RSA key that both signs messages and opens them; in memory, or in a token."""

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        """The public half of the key."""
        ...

    def sign(self, message: bytes, hash_function: hashes.HashAlgorithm) -> bytes:
        """Return the PKCS #1 v1.5 signature over `message`."""
        ...

    def decrypt(self, encrypted_key: bytes) -> bytes:
        """Return what was encrypted with PKCS #1 v1.5; ValueError, or anything at all, for what was not."""
        ...


class SoftwareRegistrationKey:
    """A key held in memory."""

    def __init__(self, private_key: rsa.RSAPrivateKey) -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key()

    def sign(self, message: bytes, hash_function: hashes.HashAlgorithm) -> bytes:
        """Return the signature over `message`."""
        return self._private_key.sign(message, padding.PKCS1v15(), hash_function)

    def decrypt(self, encrypted_key: bytes) -> bytes:
        """Return what was encrypted."""
        return self._private_key.decrypt(encrypted_key, padding.PKCS1v15())


@dataclass(frozen=True, slots=True)
class Registrar:
    """A registration authority that can answer: its certificate, and the key that goes with it."""

    certificate: x509.Certificate
    key: RegistrationKey


def opened(
    envelope: bytes, registrars: Sequence[Registrar], permitted: Permitted, entropy: Entropy
) -> tuple[bytes, BlockCipher]:
    """Return the content of an envelope to one of `registrars`, and the cipher it came in.

    Raises `Malformed`: `algorithm_not_allowed` for what is not used here, `message_not_opened` for anything else.
    """
    try:
        read = scep_envelope.decode(envelope)
    except DecodeError as exc:
        raise not_opened() from exc
    cipher = message_algorithms.cipher_named(read.cipher, permitted)
    registrar, recipient = _addressed(read, registrars)
    return _deciphered(read, cipher, _content_key(recipient, registrar.key, cipher, entropy)), cipher


def sealed(
    content: bytes, recipient: bytes, public_key: rsa.RSAPublicKey, cipher: BlockCipher, entropy: Entropy
) -> bytes:
    """Return an envelope for `public_key`, whose holder is named by an encoded IssuerAndSerialNumber."""
    content_key, vector = entropy.octets(cipher.key_size), entropy.octets(cipher.block_size)
    padder = PKCS7(8 * cipher.block_size).padder()
    encryptor = Cipher(cipher.algorithm(content_key), modes.CBC(vector)).encryptor()
    padded = padder.update(content) + padder.finalize()
    return scep_envelope.encode(
        recipient=recipient,
        encrypted_key=public_key.encrypt(content_key, padding.PKCS1v15()),
        cipher=cipher.oid,
        vector=vector,
        ciphertext=encryptor.update(padded) + encryptor.finalize(),
    )


def not_opened() -> Malformed:
    """The one refusal for whatever is wrong inside, or with, an envelope."""
    return Malformed("message_not_opened", "The message could not be opened, or what is in it is not the sender's own.")


def _addressed(envelope: Envelope, registrars: Sequence[Registrar]) -> tuple[Registrar, Recipient]:
    """Return whom the envelope is for; it names the certificate by number, or its key by identifier.

    The issuer's name is not compared: clients write it anew, in string types of their own, and the number is random.
    """
    for registrar in registrars:
        extensions = registrar.certificate.extensions
        identifier = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        for recipient in envelope.recipients:
            numbered = recipient.serial_number == registrar.certificate.serial_number
            if numbered or recipient.key_identifier == identifier:
                if recipient.algorithm != RSA_ENCRYPTION:
                    raise Malformed("algorithm_not_allowed", "Wrap the content key with RSA PKCS #1 v1.5.")
                return registrar, recipient
    raise not_opened()


def _content_key(recipient: Recipient, key: RegistrationKey, cipher: BlockCipher, entropy: Entropy) -> bytes:
    substitute = entropy.octets(cipher.key_size)
    try:
        found = key.decrypt(recipient.encrypted_key)
    except ValueError:
        return substitute
    return found if len(found) == cipher.key_size else substitute


def _deciphered(envelope: Envelope, cipher: BlockCipher, content_key: bytes) -> bytes:
    if len(envelope.initialization_vector) != cipher.block_size:
        raise not_opened()
    decryptor = Cipher(cipher.algorithm(content_key), modes.CBC(envelope.initialization_vector)).decryptor()
    unpadder = PKCS7(8 * cipher.block_size).unpadder()
    try:
        padded = decryptor.update(envelope.ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as exc:
        raise not_opened() from exc
