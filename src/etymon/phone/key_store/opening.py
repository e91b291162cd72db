# SPDX-License-Identifier: Apache-2.0
"""Opens a phone's key store, of the kind the phone was made with."""

from enum import Enum
from pathlib import Path
from typing import Final

from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from etymon.phone.key_store.activation import DEFAULT_COST, ActivationLock, ScryptCost
from etymon.phone.key_store.attestation import Attester
from etymon.phone.key_store.contract import KeyVault
from etymon.phone.key_store.pkcs11_token import PKCS11Vault, find_module
from etymon.phone.key_store.software import SoftwareVault
from etymon.phone.key_store.store import KeyStore
from etymon.phone.sealed_file import SealedFile

ATTESTER: Final = "attester"


class VaultKind(Enum):
    """Where a phone's keys are."""

    SOFTWARE = "software"
    PKCS11 = "pkcs11"


def open_key_store(
    directory: Path,
    device: Secret[bytes],
    entropy: Entropy,
    *,
    kind: VaultKind,
    cost: ScryptCost = DEFAULT_COST,
    module: Path | None = None,
) -> KeyStore:
    """Open the key store in `directory`; the first call makes it.

    `cost` is what a try of the activation secret costs, `module` the PKCS#11 module where it is not SoftHSM 2 in its
    usual place. `Unavailable` `no_pkcs11_module` without one.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = ActivationLock(SealedFile(directory / "activation", device, entropy), device, entropy, cost)
    made = SealedFile(directory / ATTESTER, device, entropy).read()
    return KeyStore(
        _vault(directory, entropy, kind, module),
        SealedFile(directory / "keys", device, entropy),
        lock,
        device,
        Attester.read(made) if made else None,
    )


def equip(directory: Path, device: Secret[bytes], entropy: Entropy, attester: Attester) -> None:
    """Give a new phone what it attests with; it stays when the keys are erased."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    SealedFile(directory / ATTESTER, device, entropy).write(attester.written())


def _vault(directory: Path, entropy: Entropy, kind: VaultKind, module: Path | None) -> KeyVault:
    if kind is VaultKind.SOFTWARE:
        return SoftwareVault(entropy)
    found = module or find_module()
    if found is None:
        raise Unavailable(
            "no_pkcs11_module", "SoftHSM 2 is not installed. Install softhsm2, or use the software store."
        )
    return PKCS11Vault(directory, found, entropy)
