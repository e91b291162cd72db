# SPDX-License-Identifier: Apache-2.0
"""Telling a person, on the phone and by mail, that a derived credential has to be set up: once for each issuer."""

from typing import Final
from uuid import UUID

from etymon.directory import notices
from etymon.directory.model import Person
from etymon.kernel.entropy import random_id
from etymon.mdm import branding
from etymon.mdm.dependencies import Dependencies, record
from etymon.mdm.desired import IssuerDirections
from etymon.mdm.model import Device, DeviceNotification
from etymon.mdm.store import desired_states, issuers
from etymon.storage.database import Transaction

SET_UP: Final = "setUpDerivedCredential"
TITLE: Final = "Set up your mobile credential"

HELD: Final = "credentialHeld"
RESTORED: Final = "credentialRestored"
STANDING: Final = {
    HELD: (
        "Your mobile credential is on hold",
        "It is refused everywhere until it is restored. Your mail says who has done it and what to do. Keep the phone.",
    ),
    RESTORED: (
        "Your mobile credential is in force",
        "What is on this phone now works, and there is nothing to set up.",
    ),
}
"""What a person reads on the phone whose credential was put on hold or restored, by action."""


def credential_needed(
    tx: Transaction,
    deps: Dependencies,
    device: Device,
    person: Person,
    directions: IssuerDirections,
    *,
    version: int,
) -> None:
    """Tell the person of `device` by the ways the issuer's terms name; the caller makes sure that it is new."""
    issuer = issuers.find(tx, directions.issuer)
    if issuer is None:
        return
    organization = branding.current(tx, deps).organization
    if issuer.terms.notify_phone:
        notification = DeviceNotification(
            id=random_id(deps.entropy),
            device=device.id,
            title=TITLE,
            body=f"{organization} needs a credential on this phone for what it sets up. You need your smart card.",
            action=SET_UP,
            version=version,
            created_at=deps.clock.now(),
        )
        desired_states.insert_notification(tx, notification)
    if issuer.terms.notify_mail:
        text = _text(device, person, directions, organization, deps.branding.support)
        notices.notify(tx, deps.clock, deps.entropy, person.mail_addresses, TITLE, text)
    record(
        tx,
        deps,
        "derived_credential:requested",
        actor="service:mdm",
        subject=f"device:{device.id}",
        issuer=str(issuer.id),
        phone=issuer.terms.notify_phone,
        mail=issuer.terms.notify_mail and bool(person.mail_addresses),
    )


def standing_changed(tx: Transaction, deps: Dependencies, device: UUID, action: str, *, version: int) -> None:
    """Say on the phone how its credential stands since now (`HELD` or `RESTORED`), in place of what was said before."""
    no_longer_so(tx, deps, device)
    title, body = STANDING[action]
    notification = DeviceNotification(random_id(deps.entropy), device, title, body, action, version, deps.clock.now())
    desired_states.insert_notification(tx, notification)


def no_longer_so(tx: Transaction, deps: Dependencies, device: UUID) -> None:
    """Withdraw what was said of how a credential stands."""
    for action in STANDING:
        desired_states.settle_notifications(tx, device, action, deps.clock.now())


def settle(tx: Transaction, deps: Dependencies, device: UUID) -> None:
    """Withdraw the request: the device holds what it needs, or needs nothing any more."""
    desired_states.settle_notifications(tx, device, SET_UP, deps.clock.now())


def _text(device: Device, person: Person, directions: IssuerDirections, organization: str, support: str) -> str:
    lines = [
        f"Hello {person.display_name},",
        "",
        f"your phone {device.name} needs a credential of its own for what {organization} sets up on it.",
        "",
        "Open the portal app on the phone and follow it. On a computer with a card reader, go to",
        "",
        f"  {directions.self_service}",
        "",
        "and have your smart card ready.",
    ]
    if directions.instructions:
        lines += ["", "How it is done, step by step:", "", f"  {directions.instructions}"]
    if support:
        lines += ["", f"Help: {support}"]
    return "\n".join([*lines, "", organization, ""])
