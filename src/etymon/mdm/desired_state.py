# SPDX-License-Identifier: Apache-2.0
"""What each device should be like, worked out for one device at a time, when it checks in.

A change that may reach any device raises the organisation's counter and touches no device; a device whose state was
worked out after an earlier change is worked out again when it is heard of next (a waiting check-in: within a second).
A change of one person's groups marks that person's devices. What changes otherwise (a mail address, an expired
credential, memberships that came by another way) is found within `COMPUTED_AGAIN_AFTER`.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.directory import groups, people
from etymon.directory.model import Person
from etymon.kernel.errors import NotFound
from etymon.mdm import notifications
from etymon.mdm.dependencies import Dependencies
from etymon.mdm.desired import (
    Desired,
    Instructions,
    IssuerDirections,
    PolicyReference,
    Standing,
    missing_purposes,
    needed_purposes,
)
from etymon.mdm.model import Device, DeviceState
from etymon.mdm.settings import ConfigurationProfile
from etymon.mdm.store import configuration, desired_states, devices, issuers, rekeys
from etymon.mdm.targets import Target, reaches
from etymon.storage.database import Transaction

COMPUTED_AGAIN_AFTER: Final = timedelta(minutes=15)


def changed(tx: Transaction) -> None:
    """Have every device's state worked out again when it is heard of next; call it in the transaction of the change."""
    desired_states.count_change(tx)


def membership_changed(tx: Transaction, person: UUID) -> None:
    """Have the states of a person's devices worked out again; call it in the transaction of the change."""
    desired_states.mark_person(tx, person)


def is_due(standing: Standing, now: datetime) -> bool:
    """Say whether a device's state has to be worked out again."""
    if standing.computed_change < standing.change or standing.computed_at is None:
        return True
    return now >= standing.computed_at + COMPUTED_AGAIN_AFTER


def compute(tx: Transaction, deps: Dependencies, device_id: UUID) -> None:
    """Work out what a device should be like; if that differs from before, its version rises.

    When somebody else changes the device at the same time, this leaves it to be worked out again.
    """
    before = desired_states.computed(tx, device_id)
    device = devices.find(tx, device_id)
    if before is None or device is None:
        raise NotFound("device_not_found", "There is no such device.")
    now = deps.clock.now()
    change = desired_states.present_change(tx)  # read before what it counts
    person = people.find(tx, device.person)
    held = devices.held_credentials(tx, device_id)
    due = rekeys.due_on(tx, device_id)
    desired = replace(
        _desired(tx, device, person),
        rekeys=tuple(sorted(one.thumbprint for one in held if one.thumbprint in due)),
    )
    missing = missing_purposes(desired.purposes, held, now)
    directions = desired.directions
    tells = bool(missing) and directions is not None and directions.issuer != before.notified_issuer
    saved = desired_states.save(
        tx,
        device_id,
        before,
        version=before.version + (1 if tells or desired != before.desired else 0),
        desired=desired,
        change=change,
        notified_issuer=directions.issuer if tells and directions is not None else before.notified_issuer,
        now=now,
    )
    if not saved:
        return
    if not missing:
        notifications.settle(tx, deps, device_id)
    elif tells and directions is not None and person is not None:
        notifications.credential_needed(tx, deps, device, person, directions, version=before.version + 1)


def instructions(tx: Transaction, device: UUID, *, known: int) -> Instructions:
    """Return what a device is told that knows the version `known`."""
    computed = desired_states.computed(tx, device)
    if computed is None:
        raise NotFound("device_not_found", "There is no such device.")
    ids = [reference.policy for reference in computed.desired.policies]
    after = known if known <= computed.version else 0  # a version from before a backup was restored
    return Instructions(
        version=computed.version,
        desired=computed.desired,
        policies=tuple(configuration.find_many(tx, ids)),
        commands=tuple(devices.commands_of(tx, device, pending_only=True)),
        notifications=tuple(desired_states.notifications_of(tx, device, after=after)),
    )


def profiles_for(tx: Transaction, person: UUID) -> list[ConfigurationProfile]:
    """Return the profiles that reach a person's devices, in the order of their ids."""
    memberships = groups.groups_of(tx, person)
    targets: dict[UUID, list[Target]] = {}
    for line in configuration.assignments_touching(tx, memberships):
        targets.setdefault(line.profile, []).append(line.target)
    return configuration.find_many(tx, [id_ for id_, found in targets.items() if reaches(found, memberships)])


def _desired(tx: Transaction, device: Device, person: Person | None) -> Desired:
    if device.state is not DeviceState.MANAGED or person is None or not person.active:
        return Desired()
    profiles = profiles_for(tx, person.id)
    purposes = needed_purposes(profiles)
    issuer = issuers.live(tx) if purposes else None
    directions = None
    if issuer is not None:
        name = issuer.described_name or issuer.terms.display_name
        directions = IssuerDirections(issuer.id, name, issuer.self_service_url, issuer.terms.help_url)
    return Desired(
        policies=tuple(PolicyReference(profile.id, profile.version) for profile in profiles),
        purposes=purposes,
        directions=directions,
        mail_address=person.mail_addresses[0] if person.mail_addresses else "",
        user_principal_name=person.user_principal_name,
    )
