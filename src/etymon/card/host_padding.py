# SPDX-License-Identifier: Apache-2.0
"""RSA padding, which a card leaves to its host (SP 800-73-5 part 2 appendix A.4; RFC 8017 §7.1 and §9).

What is encoded here is signed by the card and then verified with the library; no key is touched.
"""

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives import hashes

from etymon.card.external_key import Padding, SignatureScheme
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import DecodeError, Malformed

_DIGEST_INFO: Final = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
"""DER of DigestInfo up to the digest (RFC 8017 §9.2 note 1)."""


_HASHES: Final = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())


def digest_in(digest_info: bytes) -> tuple[bytes, hashes.SHA256 | hashes.SHA384 | hashes.SHA512]:
    """Return digest and hash of a DigestInfo, for callers that are handed one."""
    for known in _HASHES:
        prefix = _DIGEST_INFO[known.name]
        if digest_info.startswith(prefix) and len(digest_info) == len(prefix) + known.digest_size:
            return digest_info[len(prefix) :], known
    raise Malformed("digest_info", "This is not the DigestInfo of a SHA-2 hash.")


def pad_for_signature(digest: bytes, scheme: SignatureScheme, bits: int, entropy: Entropy) -> bytes:
    """Return the block, as long as a modulus of `bits`, that the card signs raw."""
    if len(digest) != scheme.hash.digest_size:
        raise Malformed("digest_length", "The digest is not of the scheme's hash.")
    if scheme.padding is Padding.PKCS1V15:
        return _pkcs1v15(digest, scheme.hash.name, (bits + 7) // 8)
    return _pss(digest, scheme.hash.name, bits, entropy.octets(len(digest)))


def _pkcs1v15(digest: bytes, name: str, size: int) -> bytes:
    """EMSA-PKCS1-v1_5 (RFC 8017 §9.2)."""
    info = _DIGEST_INFO[name] + digest
    return b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info


def _pss(digest: bytes, name: str, bits: int, salt: bytes) -> bytes:
    """EMSA-PSS (RFC 8017 §9.1.1); the modulus has a whole number of bytes, so its top bit is cleared."""
    size = bits // 8
    hashed = hashlib.new(name, bytes(8) + digest + salt).digest()
    data = b"\x01" + salt
    block = data.rjust(size - len(hashed) - 1, b"\x00")
    masked = bytearray(_xor(block, _mgf1(hashed, len(block), name)))
    masked[0] &= 0x7F
    return bytes(masked) + hashed + b"\xbc"


def remove_oaep(block: bytes, name: str = "sha256") -> bytes:
    """Return the message of a deciphered OAEP block with an empty label (RFC 8017 §7.1.2 step 3)."""
    empty = hashlib.new(name).digest()
    size = len(empty)
    if len(block) < 2 * size + 2:
        raise DecodeError("oaep", "The deciphered block is too short.")
    seed = _xor(block[1 : 1 + size], _mgf1(block[1 + size :], size, name))
    data = _xor(block[1 + size :], _mgf1(seed, len(block) - size - 1, name))
    rest = data[size:].lstrip(b"\x00")
    fits = hmac.compare_digest(data[:size], empty) & (block[0] == 0) & rest.startswith(b"\x01")
    if not fits:
        raise DecodeError("oaep", "The deciphered block is not a message for this key.")
    return rest[1:]


def _mgf1(seed: bytes, count: int, name: str) -> bytes:
    mask = b""
    counter = 0
    while len(mask) < count:
        mask += hashlib.new(name, seed + counter.to_bytes(4, "big")).digest()
        counter += 1
    return mask[:count]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(left, right, strict=True))
