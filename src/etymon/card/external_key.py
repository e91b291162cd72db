# SPDX-License-Identifier: Apache-2.0
"""Private keys that stay where they are: in a card, in a key store. They sign, and are never handed over.

`ExternalKey` is the seam. `as_private_key` dresses one up as a private key of the `cryptography` library, so that its
builders for certificate requests, certificates and CMS take it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NoReturn, Protocol, Self, cast

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed

from etymon.kernel.errors import Malformed

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Padding(Enum):
    """How a digest becomes the number an RSA key works on (RFC 8017)."""

    PKCS1V15 = "pkcs1v15"
    PSS = "pss"
    """MGF1 with the scheme's hash; the salt is as long as the digest (RFC 8446 §4.2.3)."""


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """A hash, and for RSA keys a padding; EC keys sign with ECDSA and ignore the padding."""

    hash: hashes.SHA256 | hashes.SHA384 | hashes.SHA512
    padding: Padding = Padding.PKCS1V15


class ExternalKey(Protocol):
    """A private key that signs in place."""

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        ...

    def sign_digest(self, digest: bytes, scheme: SignatureScheme) -> bytes:
        """Return the signature over a digest made with the scheme's hash; ECDSA signatures in DER (RFC 3279)."""
        ...


def sign(key: ExternalKey, data: bytes, scheme: SignatureScheme) -> bytes:
    """Return the signature over `data`."""
    digest = hashes.Hash(scheme.hash)
    digest.update(data)
    return key.sign_digest(digest.finalize(), scheme)


def usual_scheme(public_key: PublicKey) -> SignatureScheme:
    """Return what SP 800-78-5 table 4 pairs with the key: SHA-384 with P-384, else SHA-256; PKCS#1 v1.5 for RSA."""
    if isinstance(public_key, ec.EllipticCurvePublicKey) and public_key.curve.key_size > 256:
        return SignatureScheme(hashes.SHA384())
    return SignatureScheme(hashes.SHA256())


class SoftwareKey:
    """A key of this process behind the same seam, for content signers and tests."""

    def __init__(self, private_key: PrivateKey) -> None:
        self._private_key = private_key

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._private_key.public_key()

    def sign_digest(self, digest: bytes, scheme: SignatureScheme) -> bytes:
        """Return the signature over a digest."""
        key, prehashed = self._private_key, Prehashed(scheme.hash)
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(digest, library_padding(scheme), prehashed)
        return key.sign(digest, ec.ECDSA(prehashed))


def as_private_key(key: ExternalKey) -> PrivateKey:
    """Return an object that the library's builders take for a private key; it can sign and nothing else."""
    public_key = key.public_key
    if isinstance(public_key, rsa.RSAPublicKey):
        return _ExternalRSAKey(key, public_key)
    return _ExternalECKey(key, public_key)


_KNOWN_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def _refuse() -> NoReturn:
    raise Malformed("external_key", "This key stays where it is, and does not do that.")


def _scheme(algorithm: object, asked: AsymmetricPadding | None) -> tuple[SignatureScheme, bool]:
    """Return the scheme the library asks for, and whether it hands over a digest."""
    prehashed = isinstance(algorithm, Prehashed)
    chosen = cast("Prehashed", algorithm)._algorithm if prehashed else algorithm  # noqa: SLF001 - it has no getter
    if not isinstance(chosen, _KNOWN_HASHES):
        raise Malformed("external_key_hash", "The key signs with SHA-256, SHA-384 or SHA-512.")
    if asked is None or isinstance(asked, padding.PKCS1v15):
        return SignatureScheme(chosen), prehashed
    if isinstance(asked, padding.PSS):
        return SignatureScheme(chosen, Padding.PSS), prehashed
    raise Malformed("external_key_padding", "The key signs with PKCS#1 v1.5 or PSS.")


def _sign(key: ExternalKey, data: bytes, scheme: SignatureScheme, *, prehashed: bool) -> bytes:
    return key.sign_digest(data, scheme) if prehashed else sign(key, data, scheme)


def library_padding(scheme: SignatureScheme) -> AsymmetricPadding:
    """Return the scheme's RSA padding as the library names it."""
    if scheme.padding is Padding.PKCS1V15:
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(scheme.hash), padding.PSS.DIGEST_LENGTH)


class Unexportable:
    """What no key does that stays where it is, whatever the library may take it for."""

    def private_numbers(self) -> NoReturn:
        """Refuse."""
        _refuse()

    def private_bytes(
        self,
        encoding: serialization.Encoding,  # noqa: ARG002 - the library's signature
        format: serialization.PrivateFormat,  # noqa: A002, ARG002 - the library's signature
        encryption_algorithm: serialization.KeySerializationEncryption,  # noqa: ARG002 - the library's signature
    ) -> NoReturn:
        """Refuse."""
        _refuse()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: dict[int, object]) -> Self:
        return self


class _ExternalRSAKey(Unexportable, rsa.RSAPrivateKey):
    def __init__(self, key: ExternalKey, public_key: rsa.RSAPublicKey) -> None:
        self._key = key
        self._public_key = public_key

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public_key

    def sign(
        self,
        data: bytes | bytearray | memoryview,
        padding: AsymmetricPadding,
        algorithm: Prehashed | hashes.HashAlgorithm | NoDigestInfo,
    ) -> bytes:
        scheme, prehashed = _scheme(algorithm, padding)
        return _sign(self._key, bytes(data), scheme, prehashed=prehashed)

    def decrypt(self, ciphertext: bytes, padding: AsymmetricPadding) -> NoReturn:  # noqa: ARG002 - as above
        _refuse()


class _ExternalECKey(Unexportable, ec.EllipticCurvePrivateKey):
    def __init__(self, key: ExternalKey, public_key: ec.EllipticCurvePublicKey) -> None:
        self._key = key
        self._public_key = public_key

    @property
    def key_size(self) -> int:
        return self._public_key.curve.key_size

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public_key.curve

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public_key

    def sign(
        self, data: bytes | bytearray | memoryview, signature_algorithm: ec.EllipticCurveSignatureAlgorithm
    ) -> bytes:
        scheme, prehashed = _scheme(signature_algorithm.algorithm, None)
        return _sign(self._key, bytes(data), scheme, prehashed=prehashed)

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:  # noqa: ARG002 - as above
        _refuse()
