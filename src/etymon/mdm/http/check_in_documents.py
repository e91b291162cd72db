# SPDX-License-Identifier: Apache-2.0
"""What a device says at check-in and what it is told, as JSON (docs/protocols/check-in.md)."""

from datetime import timedelta
from typing import Any, Final

from etymon.kernel.errors import Malformed
from etymon.mdm.check_in import LONGEST_WAIT, Report
from etymon.mdm.desired import Desired, Instructions
from etymon.mdm.model import (
    LONGEST_DETAIL,
    LONGEST_DEVICE_FACT,
    Command,
    CommandResult,
    CommandState,
    DeviceFacts,
    DeviceNotification,
    HeldCredential,
    PolicyResult,
    Purpose,
    ResultState,
)
from etymon.mdm.settings import AddressSource, ConfigurationProfile, Email, to_document, type_of
from etymon.web import documents
from etymon.web.documents import Document

MOST_RESULTS: Final = 200
MOST_COMMANDS: Final = 50
MOST_CREDENTIALS: Final = 100
LARGEST_VERSION: Final = 2**31 - 1


def report(document: Document) -> Report:
    """Return what a device says; raises Malformed."""
    device = documents.member(document, "device")
    held = documents.members(document, "credentials", most=MOST_CREDENTIALS)
    credentials = None if held is None else tuple(map(_credential, held))
    if credentials is not None and len({one.thumbprint for one in credentials}) != len(credentials):
        raise Malformed("malformed", "A credential is listed twice.")
    return Report(
        known=documents.number(document, "known", largest=LARGEST_VERSION),
        wait=timedelta(seconds=documents.number(document, "wait", largest=int(LONGEST_WAIT.total_seconds()))),
        facts=None if device is None else _facts(device),
        results=tuple(map(_result, documents.members(document, "results", most=MOST_RESULTS) or [])),
        commands=tuple(map(_command_result, documents.members(document, "commands", most=MOST_COMMANDS) or [])),
        credentials=credentials,
    )


def instructions(told: Instructions) -> dict[str, object]:
    """Return what a device is told."""
    return {
        "version": told.version,
        "policies": [_policy(profile, told.desired) for profile in told.policies],
        "commands": [_command(command) for command in told.commands],
        "notifications": [_notification(one) for one in told.notifications],
        "derivedCredential": _derived_credential(told.desired),
    }


def _facts(device: Document) -> DeviceFacts:
    def said(name: str) -> str:
        return documents.text(device, name, limit=LONGEST_DEVICE_FACT, default="")

    return DeviceFacts(os_version=said("osVersion"), security_patch=said("securityPatch"))


def _result(document: Document) -> PolicyResult:
    return PolicyResult(
        policy=documents.identifier(document.get("policy"), "policy"),
        version=documents.number(document, "version", largest=LARGEST_VERSION),
        state=_one_of(ResultState, document, "state"),
        detail=documents.text(document, "detail", limit=LONGEST_DETAIL, default=""),
    )


def _command_result(document: Document) -> CommandResult:
    return CommandResult(
        command=documents.identifier(document.get("command"), "command"),
        state=_one_of(CommandState, document, "state"),
        detail=documents.text(document, "detail", limit=LONGEST_DETAIL, default=""),
    )


def _credential(document: Document) -> HeldCredential:
    return HeldCredential(
        purpose=_one_of(Purpose, document, "purpose"),
        thumbprint=documents.thumbprint(document.get("thumbprint"), "thumbprint"),
        not_after=documents.moment(document, "notAfter"),
    )


def _one_of(kind: Any, document: Document, name: str) -> Any:
    try:
        return kind(documents.text(document, name, limit=40))
    except ValueError as exc:
        raise Malformed("malformed", f"{name} is one of {', '.join(member.value for member in kind)}.") from exc


def _policy(profile: ConfigurationProfile, desired: Desired) -> dict[str, object]:
    settings: dict[str, object] = dict(to_document(profile.settings))
    if isinstance(profile.settings, Email):
        by_name = profile.settings.address_source is AddressSource.USER_PRINCIPAL_NAME
        settings["address"] = desired.user_principal_name if by_name else desired.mail_address
        del settings["addressSource"]
    return {
        "policy": str(profile.id),
        "version": profile.version,
        "type": type_of(profile.settings).value,
        "name": profile.display_name,
        "settings": settings,
    }


def _command(command: Command) -> dict[str, object]:
    told: dict[str, object] = {"command": str(command.id), "type": command.type.value}
    if command.credential is not None:
        told["credential"] = command.credential.hex()
    return told


def _notification(notification: DeviceNotification) -> dict[str, object]:
    return {
        "notification": str(notification.id),
        "title": notification.title,
        "body": notification.body,
        "action": notification.action,
    }


def _derived_credential(desired: Desired) -> dict[str, object]:
    where = desired.directions
    issuer = None
    if where is not None:
        issuer = {
            "name": where.name,
            "selfService": where.self_service,
            "instructions": where.instructions or None,
        }
    return {
        "required": bool(desired.purposes),
        "purposes": [purpose.value for purpose in desired.purposes],
        "issuer": issuer,
        "rekey": [thumbprint.hex() for thumbprint in desired.rekeys],
    }
