# SPDX-License-Identifier: Apache-2.0
"""What an enrollment by SCEP costs: from the bytes of a message to the bytes of its answer, database and all.

The key that names a line is the issuing authority's. The client's key is RSA-2048 always, since an answer can be
enveloped to an RSA key alone, and the registration authority's is RSA-3072. The limit is the cryptography of one
enrollment by itself: two signatures verified, one made, one content key unwrapped and one wrapped, the certificate
signed and checked. One over the ratio is the share of an enrollment that goes into it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench.machine import TBS
from bench.measure import Bench
from etymon.issuer.scep import exchange
from etymon.kernel.entropy import SystemEntropy
from etymon.pki import keys
from etymon.pki.algorithms import KeyType, PrivateKey
from etymon.pki.signer import SoftwareSigner, checked_signature
from etymon.storage import migrations
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.registration_keys import RegistrationKeysInMemory
from support.scep_site import SCEPSite

KEYS: Final = {"p256": KeyType.P256, "p384": KeyType.P384, "rsa3072": KeyType.RSA3072}
REGISTRATION_KEY_BITS: Final = 3072
WAITING: Final = 250
"""Requests made beforehand, each with a key of its own, which is slow."""
RUNS: Final = 3


def measure(bench: Bench, directory: Path) -> None:
    """Measure every kind of authority key on SQLite, with the same clients' keys."""
    clients = [keys.generate(KeyType.RSA2048) for _ in range(WAITING)]
    for name, kind in KEYS.items():
        _measure_cryptography(bench, name, kind)
        home = directory / f"scep-{name}"
        home.mkdir()
        database = Database(f"sqlite:///{home / 'bench.db'}")
        migrations.upgrade(database)
        site = _site(database, home, kind)
        waiting = list(_messages(site, clients))

        def enroll(site: SCEPSite = site, waiting: list[bytes] = waiting) -> None:
            exchange.answer(site.deps, "fleet", waiting.pop(), source="192.0.2.1")

        bench.measure(f"scep_enroll.{name}", enroll, limit=f"limit.scep_cryptography.{name}", runs=RUNS)
        database.close()


class Measured(SCEPSite):
    """A registration authority with a key as long as in use."""

    REGISTRATION_KEYS = RegistrationKeysInMemory(REGISTRATION_KEY_BITS)


def _site(database: Database, home: Path, kind: KeyType) -> SCEPSite:
    return Measured(database, TurnedClock(), SystemEntropy(), home, kind)


def _messages(site: SCEPSite, clients: list[PrivateKey]) -> Iterator[bytes]:
    for key in clients:
        assert isinstance(key, rsa.RSAPrivateKey)
        device = site.device(key=key)
        yield device.message(device.request(site.challenge())).encode()


def _measure_cryptography(bench: Bench, name: str, kind: KeyType) -> None:
    authority = SoftwareSigner(keys.generate(kind))
    registrar = rsa.generate_private_key(65537, REGISTRATION_KEY_BITS)
    client = rsa.generate_private_key(65537, 2048)
    pkcs1, sha256 = padding.PKCS1v15(), hashes.SHA256()
    signature, wrapped = client.sign(TBS, pkcs1, sha256), registrar.public_key().encrypt(bytes(32), pkcs1)

    def once() -> None:
        for _ in range(2):
            client.public_key().verify(signature, TBS, pkcs1, sha256)
        registrar.decrypt(wrapped, pkcs1)
        checked_signature(authority, TBS)
        client.public_key().encrypt(bytes(32), pkcs1)
        registrar.sign(TBS, pkcs1, sha256)

    bench.measure(f"limit.scep_cryptography.{name}", once)
