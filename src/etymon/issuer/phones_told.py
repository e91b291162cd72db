# SPDX-License-Identifier: Apache-2.0
"""What whoever manages a phone is told of its credentials, where issuer and endpoint manager are one deployment."""

from collections.abc import Collection
from typing import Final

from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import Credential, CredentialState
from etymon.issuer.store import credentials
from etymon.storage import jobs
from etymon.storage.database import Transaction

TELL: Final = "issuer.tell_endpoint_manager"
"""Payload: `device` (thumbprint of its identity), and `ended`, thumbprints of certificates that are to go from it. The
endpoint manager has the phone told of these, and of how things stand then, at its next check-in."""


def tell(tx: Transaction, deps: Dependencies, changed: Collection[Credential]) -> None:
    """Have the manager of the phone told, in the transaction that issued credentials, held or restored them."""
    _enqueue(tx, deps, {each.device_thumbprint: [] for each in changed})


def tell_ended(tx: Transaction, deps: Dependencies, ended: Collection[Credential]) -> None:
    """Have the manager of the phone told, in the transaction after which none of these credentials is good."""
    by_device: dict[bytes | None, list[jobs.JSONValue]] = {}
    for each in ended:
        if each.thumbprint is not None:
            by_device.setdefault(each.device_thumbprint, []).append(each.thumbprint.hex())
    _enqueue(tx, deps, by_device)


def is_held(tx: Transaction, device: bytes) -> bool | None:
    """Say whether what a device got last is on hold; None where nothing that it has is good or may be again."""
    states = credentials.states_on(tx, device)
    return CredentialState.HELD in states if states else None


def _enqueue(tx: Transaction, deps: Dependencies, ended: dict[bytes | None, list[jobs.JSONValue]]) -> None:
    for device, thumbprints in ended.items():
        if device is not None:
            payload: dict[str, jobs.JSONValue] = {"device": device.hex(), "ended": thumbprints}
            jobs.enqueue(tx, deps.clock, deps.entropy, TELL, payload)
