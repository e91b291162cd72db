# SPDX-License-Identifier: Apache-2.0
"""Which public keys may be certified or trusted (SP 800-78-5 §3; Common Policy 4.2.2 and 6.1.5)."""

import functools
import math
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from etymon.kernel.errors import Malformed
from etymon.pki.algorithms import RSA_PUBLIC_EXPONENT, PublicKey, key_type

RSA_2048_ENDS: Final = datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)
"""No certificate on a 2048-bit RSA key is valid after this moment (Common Policy 6.1.5)."""

SMALL_PRIMES: Final = tuple(
    candidate
    for candidate in range(3, 752)
    if all(candidate % divisor for divisor in range(2, math.isqrt(candidate) + 1))
)
"""The odd primes below 752, none of which divides a modulus (SP 800-89 §5.3.3)."""

ROCA_PRIMES: Final = tuple(prime for prime in SMALL_PRIMES if prime <= 167)
"""Modulo each of these every key of the ROCA structure is a power of 65537 (CVE-2017-15361)."""

EXPONENTS: Final = range(2**16 + 1, 2**256, 2)
"""Odd, between 2^16 and 2^256 (SP 800-89 §5.3.3, FIPS 186-5); what is certified here has 65537 (SP 800-78-5 §3.1)."""

SMALLEST_RSA_BITS: Final = 2048

FERMAT_ROUNDS: Final = 100
"""Steps after which two primes count as far enough apart (the FIPS 186-5 distance needs many more)."""

_SMALL_PRODUCT: Final = math.prod(SMALL_PRIMES)
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def check(public_key: object) -> PublicKey:
    """Return `public_key` if it may be used.

    Raises `Malformed` `weak_key` for other kinds and sizes, an exponent that is not 65537, and moduli with known
    weaknesses (small or close factors, the 2017 ROCA structure).
    """
    key_type(public_key)
    if isinstance(public_key, rsa.RSAPublicKey):
        _check_rsa(public_key.public_numbers())
        return public_key
    return public_key  # type: ignore[return-value]  # key_type let only the two kinds of PublicKey through


def short_key_after_2030() -> Malformed:
    """Return the refusal of a key that is too short for the time after 2030."""
    return Malformed(
        "weak_key", "A 2048-bit RSA key may not be certified beyond 2030. Use P-256, P-384 or RSA of 3072 bits."
    )


def _check_rsa(numbers: rsa.RSAPublicNumbers) -> None:
    modulus = numbers.n
    if numbers.e != RSA_PUBLIC_EXPONENT:
        raise Malformed("weak_key", "The RSA key's public exponent is not 65537. Make a new key.")
    if modulus % 2 == 0 or math.gcd(modulus, _SMALL_PRODUCT) != 1 or _has_close_factors(modulus):
        raise _can_be_factored()
    if _is_roca(modulus):
        raise Malformed("weak_key", "The RSA key comes from a chip with a known weakness (ROCA). Make a new key.")


def check_for_certification(public_key: object) -> PublicKey:
    """Return `public_key` if it may be certified here: `check`, and an RSA modulus that is no prime or power of one.

    Partial validation asks that too (SP 800-89 §5.3.3 (c)); where n is p^k, p divides both n and 2^n - 2.
    """
    permitted = check(public_key)
    if isinstance(permitted, rsa.RSAPublicKey) and _is_prime_or_power(permitted.public_numbers().n):
        raise _can_be_factored()
    return permitted


@functools.lru_cache(maxsize=4096)
def _is_prime_or_power(modulus: int) -> bool:
    """Say so for a tenth of a second of work, once: whoever sends a key again does not keep anybody waiting."""
    return math.gcd(pow(2, modulus, modulus) - 2, modulus) != 1


def _can_be_factored() -> Malformed:
    return Malformed("weak_key", "The RSA key's modulus can be factored. Make a new key.")


def _has_close_factors(modulus: int) -> bool:
    """Try Fermat's factorization for a few rounds; it finds primes that were chosen side by side."""
    root = math.isqrt(modulus)
    candidate = root if root * root == modulus else root + 1
    for _ in range(FERMAT_ROUNDS):
        difference = candidate * candidate - modulus
        if math.isqrt(difference) ** 2 == difference:
            return True
        candidate += 1
    return False


def _is_roca(modulus: int) -> bool:
    """Say whether the modulus is a power of 65537 modulo every small prime (CVE-2017-15361 fingerprint)."""
    return all(modulus % prime in powers for prime, powers in _powers_of_the_exponent())


@functools.cache
def _powers_of_the_exponent() -> tuple[tuple[int, frozenset[int]], ...]:
    """Return for each prime of the fingerprint the powers of 65537 modulo it."""
    return tuple(
        (prime, frozenset(pow(RSA_PUBLIC_EXPONENT, power, prime) for power in range(prime))) for prime in ROCA_PRIMES
    )


def check_issuer(public_key: object) -> PublicKey:
    """Return the key of somebody else's authority or responder if its signatures count.

    RSA of 2048 bits and more with an odd exponent above 65536, and the NIST prime curves; otherwise `Malformed`
    `weak_key`.
    """
    if isinstance(public_key, rsa.RSAPublicKey) and public_key.key_size >= SMALLEST_RSA_BITS:
        numbers = public_key.public_numbers()
        if numbers.e in EXPONENTS and numbers.n % 2:
            return public_key
    if isinstance(public_key, ec.EllipticCurvePublicKey) and isinstance(public_key.curve, _CURVES):
        return public_key
    raise Malformed("weak_key", "An authority's key is too weak. Tell whoever issued the certificate.")
