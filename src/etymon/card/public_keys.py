# SPDX-License-Identifier: Apache-2.0
"""Public keys as a card answers GENERATE ASYMMETRIC KEY PAIR (SP 800-73-5 part 2 §3.3.2, table 17)."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from etymon.card.private_keys import CURVES, RSA_BITS, CardPublicKey
from etymon.kernel.errors import DecodeError
from etymon.wire import tlv
from etymon.wire.piv import Algorithm

TEMPLATE: Final = 0x7F49
_MODULUS: Final = 0x81
_EXPONENT: Final = 0x82
_POINT: Final = 0x86


def encode(key: CardPublicKey) -> bytes:
    """Return the public key template."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        modulus = numbers.n.to_bytes((key.key_size + 7) // 8, "big")
        exponent = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
        return tlv.encode(TEMPLATE, tlv.encode(_MODULUS, modulus) + tlv.encode(_EXPONENT, exponent))
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return tlv.encode(TEMPLATE, tlv.encode(_POINT, point))


def decode(template: bytes, algorithm: Algorithm) -> CardPublicKey:
    """Read a public key template of the algorithm that was asked for."""
    found = {item.tag: item.value for item in tlv.decode_all(tlv.unwrap(template, TEMPLATE))}
    try:
        if algorithm in RSA_BITS and found.keys() == {_MODULUS, _EXPONENT}:
            modulus = int.from_bytes(found[_MODULUS], "big")
            exponent = int.from_bytes(found[_EXPONENT], "big")
            if modulus.bit_length() == RSA_BITS[algorithm]:
                return rsa.RSAPublicNumbers(exponent, modulus).public_key()
        if algorithm in CURVES and found.keys() == {_POINT}:
            return ec.EllipticCurvePublicKey.from_encoded_point(CURVES[algorithm], found[_POINT])
    except ValueError as exc:
        raise DecodeError("public_key_template", "The card's public key is not valid.") from exc
    raise DecodeError("public_key_template", "The card answered with another kind of key.")
