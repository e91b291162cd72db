# SPDX-License-Identifier: Apache-2.0
"""What the issuer of the same deployment has done to all that a device holds: the phone hears of it at its check-in.

A device that is not managed here, or is on its way out, is left alone: None is returned, and its id otherwise.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from etymon.mdm import lifecycle, notifications
from etymon.mdm.dependencies import Dependencies
from etymon.mdm.model import DeviceState
from etymon.mdm.store import desired_states
from etymon.storage.database import Transaction

ACTOR: Final = "service:mdm"


def ended(tx: Transaction, deps: Dependencies, identity: bytes, thumbprints: Sequence[bytes]) -> UUID | None:
    """Have a device remove certificates that were ended, with their keys. Again orders the same once more."""
    device = _managed(tx, identity)
    if device is not None:
        notifications.no_longer_so(tx, deps, device)
        for thumbprint in thumbprints:
            lifecycle.remove_credential(tx, deps, device, thumbprint, actor=ACTOR)
    return device


def held(tx: Transaction, deps: Dependencies, identity: bytes) -> UUID | None:
    """Say on a device that what it holds is on hold; nothing is taken from it."""
    return _said(tx, deps, identity, notifications.HELD)


def restored(tx: Transaction, deps: Dependencies, identity: bytes) -> UUID | None:
    """Say on a device that what it holds is in force again."""
    return _said(tx, deps, identity, notifications.RESTORED)


def _said(tx: Transaction, deps: Dependencies, identity: bytes, action: str) -> UUID | None:
    device = _managed(tx, identity)
    if device is not None:
        notifications.standing_changed(tx, deps, device, action, version=desired_states.make_newer(tx, device))
    return device


def _managed(tx: Transaction, identity: bytes) -> UUID | None:
    standing = desired_states.standing(tx, identity)
    return standing.device if standing is not None and standing.state is DeviceState.MANAGED else None
