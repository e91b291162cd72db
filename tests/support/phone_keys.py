# SPDX-License-Identifier: Apache-2.0
"""Key stores of both kinds for tests, with an activation secret that is cheap to try."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from etymon.card.external_key import ExternalKey, as_private_key, usual_scheme
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.phone.key_store.activation import ScryptCost
from etymon.phone.key_store.opening import VaultKind, open_key_store
from etymon.phone.key_store.store import KeyStore
from etymon.phone.sealed_file import device_secret

CHEAP: Final = ScryptCost(n=2, r=1, p=1)
PIN: Final = Secret("phone-pin-1")


@contextmanager
def opened_key_store(directory: Path, kind: VaultKind) -> Iterator[KeyStore]:
    """Open the store in `directory` as a phone that starts would, and close it after."""
    directory.mkdir(parents=True, exist_ok=True)
    entropy = SystemEntropy()
    device = device_secret(directory / "device-secret", entropy)
    store = open_key_store(directory / "keys", device, entropy, kind=kind, cost=CHEAP)
    try:
        yield store
    finally:
        store.close()


def self_signed(key: ExternalKey) -> x509.Certificate:
    """Make a certificate that the key signs for itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Self-signed")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
    )
    return builder.sign(as_private_key(key), usual_scheme(key.public_key).hash)
