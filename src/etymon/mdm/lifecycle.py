# SPDX-License-Identifier: Apache-2.0
"""The end of devices: retired, wiped, or let go because an account or an enrollment ended.

At once: the device is told, gets no policies any more, and its issuers are asked to end the credentials on it. Its
identity stays valid until it has reported the command, so that a lost phone can still be told to wipe itself, and ends
`LAST_CHANCE` later in any case.
"""

from datetime import timedelta
from typing import Final
from uuid import UUID

from etymon.ca import revocation
from etymon.ca.model import RevocationReason
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import Conflict, NotFound
from etymon.mdm.credential_issuer import Invalidation
from etymon.mdm.dependencies import Dependencies, record
from etymon.mdm.model import (
    Command,
    CommandResult,
    CommandState,
    CommandType,
    Device,
    DeviceState,
    InvalidationReason,
)
from etymon.mdm.store import desired_states, devices, issuers
from etymon.mdm.store import enrollment as enrollment_store
from etymon.storage import jobs
from etymon.storage.database import Transaction

INVALIDATE_JOB: Final = "mdm.invalidate"
"""Payload: `invalidation`. Asks an issuer to end a device's credentials, until it says done."""

END_JOB: Final = "mdm.end_device"
"""Payload: `device`. Ends a device that never reported its last command."""

LAST_CHANCE: Final = timedelta(days=30)

REVOCATION: Final = {
    InvalidationReason.UNSPECIFIED: RevocationReason.UNSPECIFIED,
    InvalidationReason.KEY_COMPROMISE: RevocationReason.KEY_COMPROMISE,
    InvalidationReason.AFFILIATION_CHANGED: RevocationReason.AFFILIATION_CHANGED,
    InvalidationReason.SUPERSEDED: RevocationReason.SUPERSEDED,
    InvalidationReason.CESSATION_OF_OPERATION: RevocationReason.CESSATION_OF_OPERATION,
    InvalidationReason.PRIVILEGE_WITHDRAWN: RevocationReason.PRIVILEGE_WITHDRAWN,
}

ENDS: Final = {
    DeviceState.RETIRING: (CommandType.RETIRE, DeviceState.RETIRED),
    DeviceState.WIPING: (CommandType.WIPE, DeviceState.WIPED),
}
"""What a device on its way out is told, and where it arrives."""


def retire(tx: Transaction, deps: Dependencies, device_id: UUID, *, actor: str) -> None:
    """Have a device give back what management brought; nothing happens where that is under way or done."""
    device = _get(tx, device_id)
    if device.state is DeviceState.ENROLLING:
        _abandon(tx, deps, device, InvalidationReason.CESSATION_OF_OPERATION, actor=actor)
    elif device.state is DeviceState.MANAGED:
        _begin_end(tx, deps, device, DeviceState.RETIRING, InvalidationReason.CESSATION_OF_OPERATION, actor=actor)


def wipe(
    tx: Transaction,
    deps: Dependencies,
    device_id: UUID,
    *,
    reason: InvalidationReason = InvalidationReason.KEY_COMPROMISE,
    actor: str,
) -> None:
    """Have a device go back to the factory; a lost one is taken as compromised.

    Nothing happens where that is under way or done. Raises Conflict `device_retired` for one that is gone.
    """
    device = _get(tx, device_id)
    match device.state:
        case DeviceState.ENROLLING:
            _abandon(tx, deps, device, reason, actor=actor)
        case DeviceState.MANAGED | DeviceState.RETIRING:
            _begin_end(tx, deps, device, DeviceState.WIPING, reason, actor=actor)
        case DeviceState.RETIRED:
            raise Conflict("device_retired", "The device was retired; it takes no commands any more.")
        case DeviceState.WIPING | DeviceState.WIPED:
            return


def remove_credential(tx: Transaction, deps: Dependencies, device_id: UUID, thumbprint: bytes, *, actor: str) -> UUID:
    """Have a managed device remove one certificate with its key; return the command's id."""
    device = _get(tx, device_id)
    if device.state is not DeviceState.MANAGED:
        raise Conflict("device_not_managed", "The device is not managed any more.")
    return _order(tx, deps, device, CommandType.REMOVE_CREDENTIAL, actor=actor, credential=thumbprint)


def account_ended(deps: Dependencies, person_id: UUID) -> None:
    """Retire the devices of a person whose account has ended; running it twice does no harm."""
    with deps.database.transaction() as tx:
        for device in devices.of_person(tx, person_id):
            if device.state is DeviceState.ENROLLING:
                _abandon(tx, deps, device, InvalidationReason.AFFILIATION_CHANGED, actor="directory")
            elif device.state is DeviceState.MANAGED:
                reason = InvalidationReason.AFFILIATION_CHANGED
                _begin_end(tx, deps, device, DeviceState.RETIRING, reason, actor="directory")
    deps.wake_ups.wake()


def enrollment_undone(deps: Dependencies, session_id: UUID, *, actor: str) -> None:
    """End what an approval led to, because the person says it was not meant: the session, or the device it made.

    The device counts as compromised. An unknown session is nothing to end.
    """
    with deps.database.transaction() as tx:
        if enrollment_store.cancel_session(tx, session_id):
            record(tx, deps, "enrollment:cancelled", actor=actor, subject=f"enrollment:{session_id}")
            return
        device = devices.find_by_session(tx, session_id)
        if device is None:
            return
        if device.state is DeviceState.ENROLLING:
            _abandon(tx, deps, device, InvalidationReason.KEY_COMPROMISE, actor=actor)
        elif device.state is DeviceState.MANAGED:
            _begin_end(tx, deps, device, DeviceState.RETIRING, InvalidationReason.KEY_COMPROMISE, actor=actor)
    deps.wake_ups.wake(device.id)


def command_reported(tx: Transaction, deps: Dependencies, device_id: UUID, result: CommandResult) -> None:
    """Keep how a command went; a device that has retired or wiped itself is let go.

    A command that is not pending, or another device's, changes nothing.
    """
    type_ = devices.finish_command(tx, device_id, result, deps.clock.now())
    if type_ is None:
        return
    device = _get(tx, device_id)
    record(
        tx,
        deps,
        "command:finished",
        actor=f"device:{device_id}",
        subject=f"command:{result.command}",
        type=type_.value,
        state=result.state.value,
    )
    expected = ENDS.get(device.state)
    if expected is not None and expected[0] is type_ and result.state is CommandState.SUCCEEDED:
        _let_go(tx, deps, device, actor=f"device:{device_id}")


def end_unheard(tx: Transaction, deps: Dependencies, device_id: UUID) -> None:
    """Let a device go that was told to end `LAST_CHANCE` ago and never said that it did."""
    device = devices.find(tx, device_id)
    if device is not None and device.state in ENDS:
        _let_go(tx, deps, device, actor="service:mdm")


def _begin_end(
    tx: Transaction,
    deps: Dependencies,
    device: Device,
    following: DeviceState,
    reason: InvalidationReason,
    *,
    actor: str,
) -> None:
    now = deps.clock.now()
    if not devices.move(tx, device.id, device.state, following, now):
        raise Conflict("device_changed", "The device was changed by somebody else at the same time. Try again.")
    devices.overtake_commands(tx, device.id, now)
    _order(tx, deps, device, ENDS[following][0], actor=actor)
    _invalidate(tx, deps, device, reason)
    payload: dict[str, jobs.JSONValue] = {"device": str(device.id)}
    jobs.enqueue(tx, deps.clock, deps.entropy, END_JOB, payload, due=now + LAST_CHANCE, key=f"{END_JOB}:{device.id}")
    record(tx, deps, f"device:{following.value}", actor=actor, subject=f"device:{device.id}", reason=reason.value)


def _order(
    tx: Transaction,
    deps: Dependencies,
    device: Device,
    type_: CommandType,
    *,
    actor: str,
    credential: bytes | None = None,
) -> UUID:
    command = Command(
        id=random_id(deps.entropy),
        device=device.id,
        type=type_,
        state=CommandState.PENDING,
        credential=credential,
        detail="",
        requested_by=actor,
        created_at=deps.clock.now(),
        finished_at=None,
    )
    devices.insert_command(tx, command)
    record(
        tx,
        deps,
        "command:ordered",
        actor=actor,
        subject=f"device:{device.id}",
        command=str(command.id),
        type=type_.value,
    )
    return command.id


def _invalidate(tx: Transaction, deps: Dependencies, device: Device, reason: InvalidationReason) -> None:
    """Order the end of a device's credentials from the live issuer and from the one its person was sent to."""
    computed = desired_states.computed(tx, device.id)
    live = issuers.live(tx)
    asked = {live.id} if live else set()
    if computed is not None and computed.notified_issuer is not None:
        asked.add(computed.notified_issuer)
    for issuer in sorted(asked):
        order = Invalidation(
            id=random_id(deps.entropy),
            issuer=issuer,
            device=device.id,
            reason=reason,
            comment=f"The device was ended by its endpoint manager ({reason.value}).",
            is_done=False,
            created_at=deps.clock.now(),
        )
        issuers.insert_invalidation(tx, order)
        payload: dict[str, jobs.JSONValue] = {"invalidation": str(order.id)}
        jobs.enqueue(tx, deps.clock, deps.entropy, INVALIDATE_JOB, payload)


def _abandon(tx: Transaction, deps: Dependencies, device: Device, reason: InvalidationReason, *, actor: str) -> None:
    """Let a device go whose certificate was planned and perhaps not even signed."""
    if not devices.move(tx, device.id, DeviceState.ENROLLING, DeviceState.RETIRED, deps.clock.now()):
        raise Conflict("device_changed", "The device was changed by somebody else at the same time. Try again.")
    planned = enrollment_store.planned_certificate_of(tx, device.id)
    if planned is not None:
        revocation.revoke(tx, deps.ca, planned, REVOCATION[reason], actor=actor)
    record(tx, deps, "device:abandoned", actor=actor, subject=f"device:{device.id}", reason=reason.value)


def _let_go(tx: Transaction, deps: Dependencies, device: Device, *, actor: str) -> None:
    """Move a device on its way out to its end and revoke its identity.

    That was good at issuers until now, so that its user may have linked it once more: they are asked again.
    """
    following = ENDS[device.state][1]
    if not devices.move(tx, device.id, device.state, following, deps.clock.now()):
        return
    devices.overtake_commands(tx, device.id, deps.clock.now())
    if device.identity is not None:
        reason = RevocationReason.CESSATION_OF_OPERATION
        revocation.revoke(tx, deps.ca, device.identity.certificate, reason, actor=actor)
        _invalidate(tx, deps, device, InvalidationReason.CESSATION_OF_OPERATION)
    record(tx, deps, f"device:{following.value}", actor=actor, subject=f"device:{device.id}")


def _get(tx: Transaction, device_id: UUID) -> Device:
    device = devices.find(tx, device_id)
    if device is None:
        raise NotFound("device_not_found", "There is no such device.")
    return device
