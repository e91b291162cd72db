# SPDX-License-Identifier: Apache-2.0
"""What the issuer of the same deployment has done to what a device holds: the phone hears of it at its check-in."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from etymon.mdm import lifecycle, notifications
from etymon.mdm.dependencies import Dependencies
from etymon.mdm.model import DeviceState
from etymon.mdm.store import desired_states
from etymon.storage.database import Transaction

ACTOR: Final = "service:mdm"


def locked(tx: Transaction, identity: bytes) -> UUID | None:
    """Return the managed device with this identity, and let nobody else tell it anything before this transaction ends.

    None for a device that is not managed here, or is on its way out.
    """
    found = desired_states.standing(tx, identity)
    if found is None or not desired_states.lock(tx, found.device, DeviceState.MANAGED):
        return None
    return found.device


def ended(tx: Transaction, deps: Dependencies, device: UUID, thumbprints: Sequence[bytes]) -> None:
    """Have a device remove certificates that were ended, with their keys. Again orders the same once more."""
    for thumbprint in thumbprints:
        lifecycle.remove_credential(tx, deps, device, thumbprint, actor=ACTOR)


def standing(tx: Transaction, deps: Dependencies, device: UUID, *, is_held: bool | None) -> None:
    """Say on a device that what it holds is on hold, or in force again after that was said; None: it holds nothing."""
    said = desired_states.is_said(tx, device, notifications.HELD)
    if is_held is None:
        notifications.no_longer_so(tx, deps, device)
    elif is_held != said:
        action = notifications.HELD if is_held else notifications.RESTORED
        notifications.standing_changed(tx, deps, device, action, version=desired_states.make_newer(tx, device))
