# SPDX-License-Identifier: Apache-2.0
"""Private keys inside the card: made there, used there (SP 800-78-5 §3 and §6, SP 800-73-5 part 2 §3.2.4).

The RSA operation is raw because the card edge asks for it: the host pads. It is computed with the Chinese remainder
theorem on a blinded input, and its result is checked with the public exponent before it is answered, so that
neither timing nor a fault gives the key away.
"""

import math
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import EtymonError, Malformed
from etymon.wire.piv import Algorithm

CardPrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
CardPublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

PUBLIC_EXPONENT: Final = 65_537
RSA_BITS: Final = {Algorithm.RSA_2048: 2048, Algorithm.RSA_3072: 3072}
CURVES: Final[dict[Algorithm, ec.EllipticCurve]] = {Algorithm.P256: ec.SECP256R1(), Algorithm.P384: ec.SECP384R1()}
ASYMMETRIC: Final = frozenset(RSA_BITS) | frozenset(CURVES)

_DIGESTS: Final[dict[str, hashes.HashAlgorithm]] = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384()}
_BLINDING_EXTRA_BYTES: Final = 8


class FaultDetected(EtymonError):
    """A private-key operation gave a result that its public key does not confirm; nothing may be answered."""

    default_code = "card_fault"


def generate(algorithm: Algorithm) -> CardPrivateKey:
    """Make a key pair; the library draws from the operating system."""
    if algorithm in RSA_BITS:
        return rsa.generate_private_key(PUBLIC_EXPONENT, RSA_BITS[algorithm])
    return ec.generate_private_key(CURVES[algorithm])


def algorithm_of(key: CardPrivateKey | CardPublicKey) -> Algorithm:
    """Return the identifier of a key a PIV card may hold; another key is refused."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        found = next((name for name, bits in RSA_BITS.items() if bits == key.key_size), None)
    else:
        found = next((name for name, curve in CURVES.items() if curve.name == key.curve.name), None)
    if found is None:
        raise Malformed("card_key_type", "A PIV card holds RSA keys of 2048 or 3072 bits, P-256 and P-384 keys.")
    return found


def rsa_private_operation(key: rsa.RSAPrivateKey, block: bytes, entropy: Entropy) -> bytes:
    """Return block^d mod n, as long as the modulus; `block` is a number below the modulus, of the same length.

    Raises `Malformed` for another block and `FaultDetected` when the result does not verify.
    """
    numbers = key.private_numbers()
    modulus, exponent = numbers.public_numbers.n, numbers.public_numbers.e
    size = (key.key_size + 7) // 8
    message = int.from_bytes(block, "big")
    if len(block) != size or message >= modulus:
        raise Malformed("rsa_block", "The block is as long as the modulus and below it.")
    blind = _blinding(modulus, entropy)
    blinded = message * pow(blind, exponent, modulus) % modulus
    first = pow(blinded, numbers.dmp1, numbers.p)
    second = pow(blinded, numbers.dmq1, numbers.q)
    result = second + numbers.q * ((first - second) * numbers.iqmp % numbers.p)
    result = result * pow(blind, -1, modulus) % modulus
    if pow(result, exponent, modulus) != message:
        raise FaultDetected
    return result.to_bytes(size, "big")


def _blinding(modulus: int, entropy: Entropy) -> int:
    size = (modulus.bit_length() + 7) // 8 + _BLINDING_EXTRA_BYTES
    while True:
        blind = int.from_bytes(entropy.octets(size), "big") % modulus
        if blind > 1 and math.gcd(blind, modulus) == 1:
            return blind


def ecdsa_sign(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    """Return the DER signature over a digest; a shorter one counts as a number, a longer one is cut (FIPS 186-5)."""
    size = (key.curve.key_size + 7) // 8
    if not digest:
        raise Malformed("ecdsa_digest", "There is nothing to sign.")
    fitted = digest[:size].rjust(size, b"\x00")
    return key.sign(fitted, ec.ECDSA(Prehashed(_DIGESTS[key.curve.name])))


def ecdh(key: ec.EllipticCurvePrivateKey, point: bytes) -> bytes:
    """Return the x-coordinate of the shared point (SP 800-56A r3 §5.7.1.2); the peer's point must be on the curve."""
    size = (key.curve.key_size + 7) // 8
    if len(point) != 1 + 2 * size or point[0] != 0x04:
        raise Malformed("ecdh_point", "The peer's point is uncompressed and of the key's curve.")
    try:
        peer = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, point)
        return key.exchange(ec.ECDH(), peer)
    except (ValueError, InvalidKey) as exc:
        raise Malformed("ecdh_point", "The peer's point is not on the curve.") from exc
