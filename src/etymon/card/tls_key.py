# SPDX-License-Identifier: Apache-2.0
"""An external key in the shape in which tlslite-ng asks a private key to sign."""

from types import SimpleNamespace
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from etymon.card.external_key import ExternalKey, Padding, SignatureScheme, library_padding, usual_scheme
from etymon.card.host_padding import digest_in
from etymon.kernel.errors import Malformed

_Hash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512
_HASHES: Final[dict[str | None, _Hash]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_HASH_BY_BYTES: Final[dict[int, _Hash]] = {item.digest_size: item for item in _HASHES.values()}


class TLSKey:
    """Signs handshakes with an external key. The library hands over digests, and for PKCS#1 v1.5 a DigestInfo."""

    def __init__(self, key: ExternalKey) -> None:
        self._key = key
        public_key = key.public_key
        self.preferred_hash: Final = usual_scheme(public_key).hash.name
        if isinstance(public_key, rsa.RSAPublicKey):
            self.key_type = "rsa"
            self.n = public_key.public_numbers().n
        else:
            self.key_type = "ecdsa"
            size = (public_key.curve.key_size + 7) // 8
            self.private_key = SimpleNamespace(curve=SimpleNamespace(baselen=size))

    def sign(
        self,
        data: bytes,
        padding: str | None = None,
        hash_name: str | None = None,
        salt_bytes: int | None = None,  # noqa: ARG002 - always the digest's length
    ) -> bytearray:
        """Return the signature over a digest."""
        digest, scheme = self._asked(bytes(data), padding, hash_name)
        return bytearray(self._key.sign_digest(digest, scheme))

    def verify(
        self,
        signature: bytes,
        data: bytes,
        padding: str | None = None,
        hash_name: str | None = None,
        salt_bytes: int | None = None,  # noqa: ARG002 - always the digest's length
    ) -> bool:
        """Tell whether a signature fits; the library asks before it sends one."""
        digest, scheme = self._asked(bytes(data), padding, hash_name)
        public_key, prehashed = self._key.public_key, Prehashed(scheme.hash)
        try:
            if isinstance(public_key, rsa.RSAPublicKey):
                public_key.verify(bytes(signature), digest, library_padding(scheme), prehashed)
            else:
                public_key.verify(bytes(signature), digest, ec.ECDSA(prehashed))
        except InvalidSignature:
            return False
        return True

    def _asked(self, data: bytes, padding: str | None, hash_name: str | None) -> tuple[bytes, SignatureScheme]:
        if self.key_type == "ecdsa":
            # In TLS 1.2 a longer digest arrives cut to the curve's size, which is how ECDSA reads it.
            if len(data) not in _HASH_BY_BYTES:
                raise Malformed("tls_digest", "The handshake asks for a signature of an unknown kind.")
            return data, SignatureScheme(_HASH_BY_BYTES[len(data)])
        if padding == "pss" and hash_name in _HASHES:
            return data, SignatureScheme(_HASHES[hash_name], Padding.PSS)
        if padding == "pkcs1":
            digest, hash_algorithm = digest_in(data)
            return digest, SignatureScheme(hash_algorithm)
        raise Malformed("tls_digest", "The handshake asks for a signature of an unknown kind.")
