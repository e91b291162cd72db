# SPDX-License-Identifier: Apache-2.0
"""Roles as they count: in key recovery given by an Officer and confirmed by an Administrator; and one that waits."""

from etymon.directory import people, roles
from etymon.directory.dependencies import Recording
from etymon.directory.model import RECOVERY_ROLES, Person, Role
from etymon.storage.database import Transaction
from support.directory_site import ADMINISTRATOR

APPOINTING, CONFIRMING = "appointing-officer@example.test", "confirming-administrator@example.test"


def give(tx: Transaction, deps: Recording, person: Person, *held: Role, authority: str = "letter 12/34") -> None:
    """Give a person roles; those in key recovery are confirmed."""
    for role in held:
        if role in RECOVERY_ROLES:
            officer = _holder(tx, deps, APPOINTING, Role.OFFICER)
            administrator = _holder(tx, deps, CONFIRMING, Role.ADMINISTRATOR)
            actor = f"person:{officer.id}"
            roles.assign(tx, deps, person.id, role, actor=actor, authority=authority, by=officer.id)
            (given,) = (each for each in roles.appointments(tx, person.id) if each.role is role)
            roles.confirm(tx, deps, person.id, role, seen=given.assigned_at, by=administrator.id)
        else:
            roles.assign(tx, deps, person.id, role, actor=ADMINISTRATOR, authority=authority)


def appoint_officer(tx: Transaction, deps: Recording, person: Person) -> Person:
    """Have another Officer make a person one, and return that other; it counts for nothing, for nobody confirmed it."""
    giver = _holder(tx, deps, APPOINTING, Role.OFFICER)
    roles.assign(tx, deps, person.id, Role.OFFICER, actor=f"person:{giver.id}", by=giver.id, authority="letter")
    return giver


def _holder(tx: Transaction, deps: Recording, name: str, role: Role) -> Person:
    found = people.by_user_principal_name(tx, name)
    if found is None:
        found = people.create(
            tx, deps, user_principal_name=name, display_name=role.value, mail_addresses=(), actor=ADMINISTRATOR
        )
        roles.assign(tx, deps, found.id, role, actor=ADMINISTRATOR, authority="letter")
    return found
