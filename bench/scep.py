# SPDX-License-Identifier: Apache-2.0
"""What an enrollment by SCEP costs: from the bytes of a message to the bytes of its answer, database and all.

The key that names a line is the issuing authority's. The client's key is RSA-2048 always, since an answer can be
enveloped to an RSA key alone, and the registration authority's is RSA-3072. The limit is the cryptography of one
enrollment by itself: two signatures verified, one made, one content key unwrapped and one wrapped, the certificate
signed and checked. One over the ratio is the share of an enrollment that goes into it.
"""

import functools
from collections.abc import Iterator
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench.machine import TBS
from bench.measure import Bench
from bench.place import Place
from etymon.issuer.scep import exchange
from etymon.kernel.entropy import SystemEntropy
from etymon.pki import keys
from etymon.pki.algorithms import KeyType, PrivateKey
from etymon.pki.signer import SoftwareSigner, checked_signature
from support.clock import TurnedClock
from support.registration_keys import RegistrationKeysInMemory, rsa_key
from support.scep_site import SCEPSite

REGISTRATION_KEY_BITS: Final = 3072


def measure(name: str, kind: KeyType, bench: Bench, place: Place) -> None:
    """Measure with one kind of authority key, and the clients' keys of the others."""
    limit = f"limit.scep_cryptography.{name}"
    _measure_cryptography(bench, limit, kind)
    Measured.REGISTRATION_KEYS = RegistrationKeysInMemory(REGISTRATION_KEY_BITS)
    with place.migrated() as database:
        site = Measured(database, TurnedClock(), SystemEntropy(), place.directory, kind)
        waiting = list(_messages(site, _clients(bench.sizes.messages)))

        def enroll() -> None:
            exchange.answer(site.deps, "fleet", waiting.pop(), source="192.0.2.1")

        bench.measure(f"scep_enroll.{name}", enroll, limit=limit, made=len(waiting), further=bench.share_of(limit))


class Measured(SCEPSite):
    """A registration authority with a key as long as in use; the same one in each site, since making it is slow."""


@functools.cache
def _clients(count: int) -> tuple[PrivateKey, ...]:
    """Return keys that every kind of authority is measured with: making them is slow."""
    return tuple(keys.generate(KeyType.RSA2048) for _ in range(count))


def _messages(site: SCEPSite, clients: tuple[PrivateKey, ...]) -> Iterator[bytes]:
    for key in clients:
        assert isinstance(key, rsa.RSAPrivateKey)
        device = site.device(key=key)
        yield device.message(device.request(site.challenge())).encode()


def _measure_cryptography(bench: Bench, limit: str, kind: KeyType) -> None:
    authority = SoftwareSigner(keys.generate(kind))
    registrar, client = rsa_key(-1, REGISTRATION_KEY_BITS), rsa_key(0)
    pkcs1, sha256 = padding.PKCS1v15(), hashes.SHA256()
    signature, wrapped = client.sign(TBS, pkcs1, sha256), registrar.public_key().encrypt(bytes(32), pkcs1)

    def once() -> None:
        for _ in range(2):
            client.public_key().verify(signature, TBS, pkcs1, sha256)
        registrar.decrypt(wrapped, pkcs1)
        checked_signature(authority, TBS)
        client.public_key().encrypt(bytes(32), pkcs1)
        registrar.sign(TBS, pkcs1, sha256)

    bench.measure(limit, once)
