# SPDX-License-Identifier: Apache-2.0
"""The trust entries of the deployment."""

from typing import Final

from etymon.audit.model import Fact
from etymon.directory import bindings
from etymon.directory.dependencies import Recording, record
from etymon.directory.errors import (
    trust_entry_in_use,
    trust_entry_of_officers,
    trust_entry_of_recoverers,
    trust_entry_opens_accounts,
    trust_entry_unknown,
)
from etymon.directory.model import RECOVERY_ROLES, EntryVersion, Role
from etymon.directory.store import bindings as store
from etymon.pki.certificate import thumbprint
from etymon.pki.trust_entry import TrustEntry, TrustKind
from etymon.storage.database import Transaction

ANCHORS_NAMED: Final = 8
"""Anchors whose thumbprints go into the audit event."""


KEPT_APART: Final = frozenset({Role.OFFICER, Role.AUDITOR}) | RECOVERY_ROLES
"""Roles that whoever saves trust entries, an Administrator, must not be able to take."""


def save(tx: Transaction, deps: Recording, entry: TrustEntry, *, actor: str) -> None:
    """Save an entry, new or in place of the one of its name; nothing happens when it is the same.

    `Conflict` when accounts are bound under the entry and its kind or identifier would change: the same text would
    come to name somebody else. `NotPermitted` `separated_roles` when more certificates than before would stand for
    an Officer, an Auditor or somebody who recovers keys: who could add an authority of their own could become one
    (CP 5.2.4). A new entry does.
    """
    before = store.locked_entry(tx, entry.name)
    if before == entry:
        return
    names_others = before is not None and (before.kind, before.identifier) != (entry.kind, entry.identifier)
    if names_others and store.has_bindings(tx, entry.name):
        raise trust_entry_in_use()
    if before is not None and _widens(before, entry) and store.has_bindings_of(tx, entry.name, KEPT_APART):
        raise trust_entry_opens_accounts()
    store.save_entry(tx, entry, deps.clock.now())
    anchors = ",".join(thumbprint(anchor).hex() for anchor in entry.anchors[:ANCHORS_NAMED])
    facts: dict[str, Fact] = {"kind": entry.kind.value, "anchor_count": len(entry.anchors), "anchor_sha256": anchors}
    record(tx, deps, "trust_entry:saved", actor=actor, subject=f"trust_entry:{entry.name}", facts=facts)


def _widens(before: TrustEntry, after: TrustEntry) -> bool:
    return not (
        set(after.anchors) <= set(before.anchors)
        and after.policies <= before.policies
        and set(after.upn_suffixes) <= set(before.upn_suffixes)
    )


def remove(tx: Transaction, deps: Recording, name: str, *, actor: str) -> None:
    """Remove an entry and end the bindings under it, so that a later entry of its name does not inherit them.

    What was derived lately from cards of the entry is looked at. `NotPermitted` where cards of it stand for somebody
    who recovers keys, `recovery_role_held`, or for the last Officers who have one, `last_officers`: an Administrator
    alone would end what only Officers may.
    """
    now = deps.clock.now()
    store.lock_entries(tx)  # of two entries with the cards of all Officers, removed at once, one stays
    if any(name in store.cards_of_role_under(tx, role) for role in RECOVERY_ROLES):
        raise trust_entry_of_recoverers()
    if store.cards_of_role_under(tx, Role.OFFICER, counting=True) == {name}:
        raise trust_entry_of_officers()
    if not store.remove_entry(tx, name, now):
        raise trust_entry_unknown()
    ended = store.end_bindings_under(tx, name, now)
    facts = {"bindings_ended": ended}
    record(tx, deps, "trust_entry:removed", actor=actor, subject=f"trust_entry:{name}", facts=facts)
    if store.kind_of(tx, name) is TrustKind.CARD:
        bindings.cards_ended(tx, deps, name)


def entries(tx: Transaction, kind: TrustKind | None = None) -> tuple[TrustEntry, ...]:
    """Return the entries, or those of one kind, by name."""
    return tuple(store.entries(tx, kind))


def versions(tx: Transaction, kind: TrustKind) -> tuple[EntryVersion, ...]:
    """Return which versions of the entries of a kind are in force: the same as before while none was touched."""
    return store.versions(tx, kind)


def entry(tx: Transaction, name: str) -> TrustEntry:
    """Return an entry; `NotFound` when there is none of the name."""
    found = store.entry(tx, name)
    if found is None:
        raise trust_entry_unknown()
    return found
