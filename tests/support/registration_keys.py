# SPDX-License-Identifier: Apache-2.0
"""RSA keys of SCEP, which are slow to make: of registration authorities, and of clients."""

import functools

from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.pki.algorithms import RSA_PUBLIC_EXPONENT
from etymon.pki.envelope import RegistrationKey, SoftwareRegistrationKey


@functools.cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return one key a number and test run; making them is slow, and a site certifies each of them once."""
    del number
    return rsa.generate_private_key(RSA_PUBLIC_EXPONENT, bits)


class RegistrationKeysInMemory:
    """Registration authorities' keys that end with the test."""

    def __init__(self, bits: int = 2048) -> None:
        self._bits = bits
        self.made: dict[str, SoftwareRegistrationKey] = {}

    def make(self, name: str) -> RegistrationKey:
        self.made[name] = SoftwareRegistrationKey(rsa_key(-1 - len(self.made), self._bits))
        return self.made[name]

    def find(self, name: str) -> RegistrationKey | None:
        return self.made.get(name)


class NoRegistrationKeys:
    """Stands where nobody enrolls by SCEP."""

    def make(self, name: str) -> RegistrationKey:
        raise NotImplementedError(name)

    def find(self, name: str) -> RegistrationKey | None:
        raise NotImplementedError(name)
