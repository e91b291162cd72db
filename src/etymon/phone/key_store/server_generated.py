# SPDX-License-Identifier: Apache-2.0
"""Opens a key that a server made (RFC 7030 §4.4.2): deciphered, its signature verified, its key read.

Called inside a vault only; what it returns stays there.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from etymon.kernel.errors import Malformed
from etymon.phone.certificate_chain import issued_by
from etymon.phone.key_store.contract import WrappedKey
from etymon.pki import certificate as certificates
from etymon.pki.algorithms import key_type
from etymon.wire import der, key_package
from etymon.wire.key_package import Signed

KEY_GENERATION_AUTHORITY: Final = "1.3.6.1.5.5.7.3.32"
"""id-kp-cmKGA (RFC 9480 §2.2): a certificate for signing keys that were made for somebody else."""

CONTENT_KEY_BYTES: Final = 32
BLOCK_BITS: Final = 128

_HASHES: Final = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}


def open_package(package: WrappedKey, decipher: Callable[[bytes], bytes]) -> rsa.RSAPrivateKey:
    """Return the one RSA key in `package`; `decipher` opens RSAES-OAEP with SHA-256 by the transport key.

    The package must be signed by a key-generation certificate that one of the package's issuers issued and that is
    valid when it is received: another subscriber's certificate does not do. Raises `Malformed`.
    """
    enveloped = key_package.decode_enveloped(package.envelope)
    content_key = decipher(enveloped.encrypted_key)
    if len(content_key) != CONTENT_KEY_BYTES:
        raise _malformed()
    signed = key_package.decode_signed(_deciphered(content_key, enveloped.initialization_vector, enveloped.ciphertext))
    _verify(signed, _signer(signed, package))
    keys = key_package.decode_package(signed.package)
    if len(keys) != 1:
        raise _malformed()
    try:
        private_key = serialization.load_der_private_key(keys[0], None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _malformed() from exc
    if not isinstance(private_key, rsa.RSAPrivateKey):
        raise Malformed("key_package_key_type", "The key made for the phone is not an RSA key.")
    key_type(private_key.public_key())
    return private_key


def _deciphered(content_key: bytes, vector: bytes, ciphertext: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES256(content_key), modes.CBC(vector)).decryptor()
    unpadder = padding.PKCS7(BLOCK_BITS).unpadder()
    try:
        return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()
    except ValueError as exc:
        raise _malformed() from exc


def _signer(signed: Signed, package: WrappedKey) -> x509.Certificate:
    issuers = [certificates.load(issuer) for issuer in package.issuers]
    for encoded in signed.certificates:
        certificate = certificates.load(encoded)
        if _is_named(certificate, signed.signer) and _may_sign(certificate, issuers, package.received_at):
            return certificate
    raise Malformed("key_package_signer", "The key package is not signed by the issuer's key-generation certificate.")


def _is_named(certificate: x509.Certificate, signer: bytes) -> bool:
    by_number = key_package.issuer_and_serial_number(certificate.issuer.public_bytes(), certificate.serial_number)
    identifier = certificates.extension(certificate, x509.SubjectKeyIdentifier)
    by_key = der.encode(0x80, identifier.value.digest) if identifier else None
    return signer in {by_number, by_key}


def _may_sign(certificate: x509.Certificate, issuers: list[x509.Certificate], at: datetime) -> bool:
    usage = certificates.extension(certificate, x509.ExtendedKeyUsage)
    if usage is None or x509.ObjectIdentifier(KEY_GENERATION_AUTHORITY) not in usage.value:
        return False
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        return False
    return any(issued_by(certificate, issuer) for issuer in issuers)


def _verify(signed: Signed, signer: x509.Certificate) -> None:
    key = certificates.public_key(signer)
    algorithm = _HASHES[key_package.DIGESTS[signed.digest]]
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signed.signature, signed.attributes, ec.ECDSA(algorithm))
        else:
            key.verify(signed.signature, signed.attributes, rsa_padding.PKCS1v15(), algorithm)
    except InvalidSignature as exc:
        raise Malformed("key_package_signature", "The key package's signature is not genuine.") from exc


def _malformed() -> Malformed:
    return Malformed("key_package_malformed", "The key package cannot be opened.")
