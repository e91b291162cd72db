# SPDX-License-Identifier: Apache-2.0
"""Check-in: the phone tells what became of its policies and learns what it should be (docs/protocols/check-in.md).

The answer is written down before it is acted on, and a result is told again until an answer shows it arrived.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from etymon.kernel.errors import Conflict, NotPermitted, Throttled, Unavailable
from etymon.phone import commands, document
from etymon.phone.connection import Connection
from etymon.phone.device import Device
from etymon.phone.document import Document
from etymon.phone.profiles import desired_state
from etymon.phone.state import (
    HELD,
    STANDING,
    Command,
    DeviceState,
    Management,
    Notification,
    Policy,
    PolicyResult,
    Purpose,
    Requirement,
)
from etymon.pki import certificate as certificates

PROTOCOL: Final = 1
LONGEST_WAIT_SECONDS: Final = 55
USUAL_WAIT_SECONDS: Final = 50
MOST_ROUNDS: Final = 5
"""Reports that follow one answer; more would mean that server and phone never agree."""
MOST_NOTIFICATIONS: Final = 100
"""Notifications the phone remembers; the oldest go first."""
LONGEST_BACKOFF_SECONDS: Final = 300
NOT_MANAGED: Final = "device_not_managed"

Notify = Callable[[Notification], None]


def check_in(device: Device, notify: Notify, *, wait_seconds: int = 0) -> None:
    """Ask for a newer desired state, waiting for it up to `wait_seconds`; act on it and report.

    `notify` is given each notification once. Raises `Conflict` `not_enrolled`, `NotPermitted` `device_not_managed` when
    the management has let the phone go, `Unavailable` when no server answers.
    """
    if not 0 <= wait_seconds <= LONGEST_WAIT_SECONDS:
        message = f"the wait has 0 to {LONGEST_WAIT_SECONDS} seconds"
        raise ValueError(message)
    if commands.finish(device):  # stopped after its last report
        return
    wait = wait_seconds
    for _ in range(MOST_ROUNDS):
        commands.run(device)
        if not desired_state.is_applied(device):
            desired_state.apply(device)
        fresh = _exchange(device, wait)
        for notification in fresh:
            notify(notification)
        if commands.finish(device):
            return
        commands.run(device)
        desired_state.apply(device)
        wait = 0
        if not _unreported(device.state.management):
            return


def keep_checking_in(device: Device, notify: Notify, *, stop: Callable[[], bool]) -> None:
    """Check in by long polls until `stop` says so or the phone is not managed any more."""
    backoff = 1
    while not stop() and device.state.device is DeviceState.ENROLLED:
        try:
            check_in(device, notify, wait_seconds=USUAL_WAIT_SECONDS)
            backoff = 1
        except Throttled as exc:
            device.surroundings.pause.wait(exc.retry_after_seconds)
        except Unavailable:
            device.surroundings.pause.wait(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)


def is_held(management: Management) -> bool:
    """Say whether the derived credential is on hold, as far as the phone was told."""
    told = [notification.action for notification in management.notifications if notification.action in STANDING]
    return told[-1:] == [HELD]


def _exchange(device: Device, wait_seconds: int) -> tuple[Notification, ...]:
    membership, management = device.state.membership, device.state.management
    if membership is None:
        raise Conflict("not_enrolled", "The phone is not enrolled. Scan an enrollment code first.")
    connection = Connection(device, identity=device.identity())
    try:
        answer = connection.call("POST", membership.check_in, _report(device, wait_seconds), wait_seconds=wait_seconds)
    except NotPermitted as exc:
        if exc.code == NOT_MANAGED and commands.is_ending(management):
            answer = None  # the report had arrived, its answer was lost
        else:
            raise
    told = _told(management)
    received = told if answer is None else _received(told, answer)
    device.change(management=received)
    known = {notification.notification for notification in management.notifications}
    return tuple(item for item in received.notifications if item.notification not in known)


def _report(device: Device, wait_seconds: int) -> Mapping[str, object]:
    management, hardware = device.state.management, device.state.hardware
    return {
        "protocol": PROTOCOL,
        "known": management.version,
        "wait": wait_seconds,
        "device": {"osVersion": hardware.os_version, "securityPatch": hardware.security_patch},
        "results": [
            {
                "policy": str(result.policy),
                "version": result.version,
                "state": result.state.value,
                "detail": result.detail,
            }
            for result in management.results
            if not result.reported
        ],
        "commands": [
            {"command": str(command.command), "state": command.result.value, "detail": command.detail}
            for command in management.commands
            if command.result is not None and not command.reported
        ],
        "credentials": _credentials(device),
    }


def _credentials(device: Device) -> list[Mapping[str, object]]:
    held: list[Mapping[str, object]] = []
    for purpose in Purpose:
        entry = desired_state.credential_entry(device, purpose)
        if entry is not None and entry.certificate is not None:
            held.append(
                {
                    "purpose": purpose.value,
                    "thumbprint": certificates.thumbprint(entry.certificate).hex(),
                    "notAfter": document.time_text(entry.certificate.not_valid_after_utc),
                }
            )
    return held


def _told(management: Management) -> Management:
    """Return the management once the server has what the last report said."""
    return replace(
        management,
        results=tuple(replace(result, reported=True) for result in management.results),
        commands=tuple(replace(item, reported=item.result is not None) for item in management.commands),
    )


def _unreported(management: Management) -> bool:
    results: tuple[PolicyResult | Command, ...] = (*management.results, *management.commands)
    return any(not result.reported for result in results)


def _received(management: Management, answer: Document) -> Management:
    known = {command.command: command for command in management.commands}
    asked = [_command(item) for item in answer.documents("commands")]
    seen = {notification.notification: notification for notification in management.notifications}
    shown = [_notification(item) for item in answer.documents("notifications")]
    required = answer.document("derivedCredential") if "derivedCredential" in answer else None
    return replace(
        management,
        version=answer.whole_number("version"),
        policies=tuple(_policy(item) for item in answer.documents("policies")),
        commands=tuple(known.get(command.command, command) for command in asked),
        notifications=tuple((seen | {item.notification: item for item in shown}).values())[-MOST_NOTIFICATIONS:],
        requirement=_requirement(required) if required else None,
    )


def _policy(members: Document) -> Policy:
    return Policy(
        policy=members.uuid("policy"),
        version=members.whole_number("version"),
        type=members.text("type"),
        name=members.text("name", ""),
        settings=members.document("settings").members(),
    )


def _command(members: Document) -> Command:
    return Command(members.uuid("command"), members.text("type"), members.text("credential", ""))


def _notification(members: Document) -> Notification:
    return Notification(
        members.uuid("notification"), members.text("title"), members.text("body", ""), members.text("action", "")
    )


def _requirement(members: Document) -> Requirement:
    issuer = members.document("issuer") if "issuer" in members else Document({})
    known = {purpose.value: purpose for purpose in Purpose}
    return Requirement(
        required=members.flag("required"),
        purposes=tuple(known[name] for name in members.texts("purposes") if name in known),
        issuer_name=issuer.text("name", ""),
        self_service=issuer.text("selfService", ""),
        instructions=issuer.text("instructions", ""),
        rekey=members.texts("rekey") if "rekey" in members else (),
    )
