# SPDX-License-Identifier: Apache-2.0
"""Accounts of people: made by an administrator, changed, ended for good."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from etymon.audit.model import Fact
from etymon.directory import addresses, mailbox
from etymon.directory.dependencies import Recording, record
from etymon.directory.model import Person, Termination, TerminationReason
from etymon.directory.store import bindings as binding_store
from etymon.directory.store import groups as group_store
from etymon.directory.store import identity_accounts, terminations
from etymon.directory.store import people as store
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import NotFound
from etymon.storage import jobs
from etymon.storage.database import Transaction

ACCOUNT_ENDED_JOB: Final = "directory.account_ended"
"""Payload: `person_id`, `reason`. Every credential of the person has to end (SP 800-157r1 §2.4: all of them)."""

PERSON_CHANGED_JOB: Final = "directory.person_changed"
"""Payload: `person_id`. Names or addresses are others now: certificates that carry them may be true no more."""

TERMINATED_WITHIN: Final = timedelta(hours=18)
"""By when everything of an account that ended has to be revoked, for everybody to see (FIPS 201-3 §2.9.4)."""

PAGE_LIMIT: Final = 200


def create(
    tx: Transaction,
    deps: Recording,
    *,
    user_principal_name: str,
    display_name: str,
    mail_addresses: Sequence[str] = (),
    actor: str,
) -> Person:
    """Return a new active person; `Conflict` when the name or an address is another active account's.

    `Malformed` where an address is not one mailbox.
    """
    for address in mail_addresses:
        mailbox.check(address)
    person = Person(
        id=random_id(deps.entropy),
        user_principal_name=user_principal_name,
        display_name=display_name,
        mail_addresses=tuple(mail_addresses),
        active=True,
    )
    store.add(tx, person, deps.clock.now())
    facts = {"user_principal_name": user_principal_name}
    record(tx, deps, "person:created", actor=actor, subject=f"person:{person.id}", facts=facts)
    return person


def update(
    tx: Transaction,
    deps: Recording,
    person_id: UUID,
    *,
    user_principal_name: str | None = None,
    display_name: str | None = None,
    mail_addresses: Sequence[str] | None = None,
    actor: str,
) -> Person:
    """Return an active person with what was given changed; `NotFound` for an account that ended.

    Where mail addresses change, those from before are told, whoever changes them. `Malformed` where one that was not
    there before is not one mailbox.
    """
    before = store.locked(tx, person_id)
    for address in set(mail_addresses or ()) - set(before.mail_addresses):
        mailbox.check(address)
    after = replace(
        before,
        user_principal_name=before.user_principal_name if user_principal_name is None else user_principal_name,
        display_name=before.display_name if display_name is None else display_name,
        mail_addresses=before.mail_addresses if mail_addresses is None else tuple(mail_addresses),
    )
    if after == before:
        return before
    store.replace(tx, after, deps.clock.now())
    fields = ("user_principal_name", "display_name", "mail_addresses")
    if {*after.mail_addresses} != {*before.mail_addresses}:  # feeds have no order that lasts
        addresses.changed(tx, deps, before, after)
    changed = ",".join(name for name in fields if getattr(before, name) != getattr(after, name))
    record(tx, deps, "person:updated", actor=actor, subject=f"person:{person_id}", facts={"changed": changed})
    payload: dict[str, jobs.JSONValue] = {"person_id": str(person_id)}
    jobs.enqueue(tx, deps.clock, deps.entropy, PERSON_CHANGED_JOB, payload, key=f"{PERSON_CHANGED_JOB}:{person_id}")
    return after


def end_account(
    tx: Transaction,
    deps: Recording,
    person_id: UUID,
    *,
    reason: TerminationReason = TerminationReason.UNSPECIFIED,
    within: timedelta = TERMINATED_WITHIN,
    actor: str,
) -> None:
    """End an account with its bindings, roles and memberships, and have all its credentials ended `within` a time.

    `NotFound` when there is no active account: an account ends once.
    """
    now = deps.clock.now()
    store.end(tx, person_id, now)
    identity_accounts.end(tx, person_id, now)
    terminations.add(tx, Termination(person_id, reason, now, now + within))
    ended = binding_store.end_bindings_of(tx, person_id, now)
    binding_store.replace_codes(tx, person_id)
    group_store.leave_all(tx, person_id)
    payload: dict[str, jobs.JSONValue] = {"person_id": str(person_id), "reason": reason.value}
    jobs.enqueue(tx, deps.clock, deps.entropy, ACCOUNT_ENDED_JOB, payload)
    facts: dict[str, Fact] = {"reason": reason.value, "bindings_ended": ended, "due_at": (now + within).isoformat()}
    record(tx, deps, "person:ended", actor=actor, subject=f"person:{person_id}", facts=facts)


def keep_active(tx: Transaction, person_id: UUID) -> Person | None:
    """Return an active person whose account does not end before this transaction does; None when there is none.

    Whoever locks more than the account locks it last.
    """
    try:
        return store.locked(tx, person_id)
    except NotFound:
        return None


def find(tx: Transaction, person_id: UUID) -> Person | None:
    """Return a person, `active` or not."""
    return store.find(tx, person_id)


def known(tx: Transaction, person_ids: Iterable[UUID]) -> dict[UUID, Person]:
    """Return people by id, `active` or not."""
    return {person.id: person for person in store.known(tx, person_ids)}


def by_user_principal_name(tx: Transaction, user_principal_name: str) -> Person | None:
    """Return the active person of a name, in whatever case."""
    return store.by_user_principal_name(tx, user_principal_name)


def of_mail_address(tx: Transaction, address: str) -> tuple[UUID, int] | None:
    """Return whose a mail address is and which of that person's, from 1; None where it is nobody's now."""
    return store.of_mail_address(tx, address)


def page(tx: Transaction, *, after: UUID | None = None, prefix: str = "", limit: int = 50) -> list[Person]:
    """Return active people by user principal name, at most `PAGE_LIMIT`; `after` is the last one already seen."""
    return store.page(tx, after=after, prefix=prefix, limit=min(limit, PAGE_LIMIT))
