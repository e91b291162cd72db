# SPDX-License-Identifier: Apache-2.0
"""Requests that are signed by the very key they ask for, where that is an RSA key no library makes."""

import functools
import hashlib
import math
import secrets
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.pki.algorithms import RSA_PUBLIC_EXPONENT
from etymon.pki.key_policy import ROCA_PRIMES
from etymon.wire import der

BITS = 2048
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
SHA256_WITH_RSA = der.sequence(der.object_identifier("1.2.840.113549.1.1.11"), der.null())
RSA = der.sequence(der.object_identifier("1.2.840.113549.1.1.1"), der.null())


@dataclass(frozen=True)
class WeakRSA:
    """A key of three numbers."""

    modulus: int
    private_exponent: int
    exponent: int = RSA_PUBLIC_EXPONENT

    def request(self, made: bytes) -> bytes:
        """Return a request like `made`, for this key and signed by it (RFC 8017 §9.2)."""
        fields = der.elements(der.elements(der.only(made, der.SEQUENCE).content)[0].content)
        key = der.sequence(der.integer(self.modulus), der.integer(self.exponent))
        spki = der.sequence(RSA, der.bit_string(key))
        content = der.sequence(fields[0].encoded, fields[1].encoded, spki, fields[3].encoded)
        digest = DIGEST_INFO + hashlib.sha256(content).digest()
        padded = b"\x00\x01" + b"\xff" * (BITS // 8 - 3 - len(digest)) + b"\x00" + digest
        signature = pow(int.from_bytes(padded, "big"), self.private_exponent, self.modulus)
        return der.sequence(content, SHA256_WITH_RSA, der.bit_string(signature.to_bytes(BITS // 8, "big")))


def prime() -> WeakRSA:
    """Return a key whose modulus is a prime, so that everybody has its private exponent."""
    modulus = 2**BITS - 1942289
    return WeakRSA(modulus, pow(RSA_PUBLIC_EXPONENT, -1, modulus - 1))


def sharing(key: rsa.RSAPrivateKey, exponent: int = 65539) -> WeakRSA:
    """Return a key with the modulus of `key`, and another exponent."""
    numbers = key.private_numbers()
    return WeakRSA(numbers.public_numbers.n, pow(exponent, -1, math.lcm(numbers.p - 1, numbers.q - 1)), exponent)


@functools.cache
def roca() -> WeakRSA:
    """Return a key as the chips of CVE-2017-15361 made them: each prime a power of 65537 modulo all small ones."""
    p, q = _roca_prime(), _roca_prime()
    return WeakRSA(p * q, pow(RSA_PUBLIC_EXPONENT, -1, math.lcm(p - 1, q - 1)))


def _roca_prime() -> int:
    product = 2 * math.prod(ROCA_PRIMES)
    while True:
        high = product * (secrets.randbits(BITS // 2 - 2) // product + (3 << BITS // 2 - 2) // product)
        candidate = high + pow(RSA_PUBLIC_EXPONENT, secrets.randbelow(product), product)
        usable = candidate.bit_length() == BITS // 2 and (candidate - 1) % RSA_PUBLIC_EXPONENT != 0
        if usable and pow(2, candidate - 1, candidate) == 1:
            return candidate
