# SPDX-License-Identifier: Apache-2.0
"""The roots' revocation lists, made while their keys are brought back for a moment; no key stays."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from etymon.ca import crl
from etymon.ca.crl import RevocationList
from etymon.kernel.errors import NotFound
from etymon.kernel.secret import Secret
from etymon.pki import keys
from etymon.pki.signer import Signer, SoftwareSigner
from etymon.server.deployment import Deployment


def publish(deployment: Deployment, root_keys: Path, passphrase: Secret[str]) -> tuple[RevocationList, ...]:
    """Make a new list of every root whose key is in `root_keys`, as `init` exported it, and return them.

    Raises `NotFound` where there is no key, and `Unavailable` for a passphrase or a key that is not the right one.
    """
    signers: Mapping[str, Signer] = {
        file.stem: SoftwareSigner(keys.decrypt(file.read_bytes(), Secret(passphrase.reveal().encode())))
        for file in sorted(root_keys.glob("*.pem"))
    }
    if not signers:
        raise NotFound(
            "root_keys_missing", f"There are no root keys in {root_keys}. Bring the directory `init` filled."
        )
    deps = replace(deployment.ca, signers=signers)
    made = (crl.publish(deps, name) for name in signers)
    return tuple(found for found in made if found is not None)
