# SPDX-License-Identifier: Apache-2.0
"""Commands of the management: each is done once, reported, and the last ones end the management.

A retired or wiped phone first loses what it should lose, then reports with its identity, then forgets that as well.
"""

import shutil
from dataclasses import replace
from typing import Final

from etymon.phone.device import DEVICE_IDENTITY, Device
from etymon.phone.profiles import desired_state
from etymon.phone.profiles.outcome import SUCCEEDED, Outcome
from etymon.phone.state import STANDING, Command, Credential, DeviceState, Management, Purpose, ResultState
from etymon.pki import certificate as certificates

RETIRE: Final = "retire"
WIPE: Final = "wipe"
REMOVE_CREDENTIAL: Final = "removeCredential"
ENDING: Final = frozenset({RETIRE, WIPE})


def run(device: Device) -> None:
    """Do the commands that have no result yet. Doing one again after a stop leads to the same."""
    for command in device.state.management.commands:
        if command.result is None:
            outcome = _run(device, command)
            _keep(device, replace(command, result=outcome.state, detail=outcome.detail))


def is_ending(management: Management) -> bool:
    """Say whether a command was done that ends the management."""
    return any(command.type in ENDING and command.result is not None for command in management.commands)


def finish(device: Device) -> bool:
    """Forget the management if a command that ends it was reported; return whether that is so."""
    told = [command for command in device.state.management.commands if command.type in ENDING and command.reported]
    if not told:
        return False
    if any(command.type == WIPE for command in told):
        device.wipe()
    else:
        device.keys.delete(DEVICE_IDENTITY)
        device.move(DeviceState.RETIRED, membership=None, management=Management(), pins={})
    return True


def _run(device: Device, command: Command) -> Outcome:
    if command.type == REMOVE_CREDENTIAL:
        _remove_credential(device, command.credential)
    elif command.type in ENDING:
        _remove_everything_managed(device)
    else:
        return Outcome(ResultState.FAILED, f"This phone knows no command {command.type}.")
    return SUCCEEDED


def _remove_credential(device: Device, thumbprint: str) -> None:
    """Remove a certificate with its key, but for what only opens older mail.

    Its person set the phone up anew before the order came, and may have the key (docs/protocols/key-history.md).
    """
    kept: list[Credential] = []
    for credential in device.state.credentials:
        entry = device.keys.entry(credential.alias)
        if entry is None or entry.certificate is None:
            continue
        if certificates.thumbprint(entry.certificate).hex() == thumbprint and not _opens_older_mail(credential):
            device.keys.delete(credential.alias)
        else:
            kept.append(credential)
    device.change(credentials=tuple(kept))
    if all(map(_opens_older_mail, kept)):  # what was said of it, and begun with it, is of nothing now
        history = device.state.history if device.state.derivation else None  # of a set-up that goes on
        management = device.state.management.without(STANDING)
        device.change(management=management, rekeys=(), history=history)
        device.remove_unnamed_keys()
    desired_state.apply(device)


def _opens_older_mail(credential: Credential) -> bool:
    return credential.retired and credential.purpose is Purpose.ENCRYPTION


def _remove_everything_managed(device: Device) -> None:
    """Remove the credential and what policies configured; the identity stays for the last report."""
    device.keys.reset_activation()
    shutil.rmtree(device.applied, ignore_errors=True)
    management = replace(device.state.management, policies=(), results=(), notifications=(), requirement=None)
    device.change(management=management, credentials=(), derivation=None, history=None)


def _keep(device: Device, done: Command) -> None:
    management = device.state.management
    commands = tuple(done if item.command == done.command else item for item in management.commands)
    device.change(management=replace(management, commands=commands))
