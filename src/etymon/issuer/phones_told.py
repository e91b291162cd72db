# SPDX-License-Identifier: Apache-2.0
"""What whoever manages a phone is told of its credentials, where issuer and endpoint manager are one deployment."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final

from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import Credential
from etymon.storage import jobs
from etymon.storage.database import Transaction

TELL: Final = "issuer.tell_endpoint_manager"
"""Payload: `device` (thumbprint of its identity), `change`, `thumbprints` of the certificates. The endpoint manager has
the phone told at its next check-in."""


class Change(StrEnum):
    """What became of all that a phone has."""

    ENDED = "ended"
    HELD = "held"
    RESTORED = "restored"


def tell(tx: Transaction, deps: Dependencies, found: Collection[Credential], change: Change) -> None:
    """Have the manager of the phone told, in the transaction of the change; a phone that nobody manages is left out."""
    by_device: dict[bytes, list[jobs.JSONValue]] = {}
    for credential in found:
        if credential.device_thumbprint is not None and credential.thumbprint is not None:
            by_device.setdefault(credential.device_thumbprint, []).append(credential.thumbprint.hex())
    for device, thumbprints in by_device.items():
        payload: dict[str, jobs.JSONValue] = {
            "device": device.hex(),
            "change": change.value,
            "thumbprints": thumbprints,
        }
        jobs.enqueue(tx, deps.clock, deps.entropy, TELL, payload)
