# SPDX-License-Identifier: Apache-2.0
"""The owner of a key is told of every release and attempt; who cannot be told gets nothing (KRP 4.2).

Addresses that were changed lately are told too.

Of what others recover the owner is told too, unless legal process keeps it from them; that takes no address.
"""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from etymon.audit.model import Outcome
from etymon.directory import addresses, notices, people
from etymon.directory.errors import person_unknown
from etymon.directory.model import Person
from etymon.escrow import store
from etymon.escrow.dependencies import Dependencies, record
from etymon.escrow.errors import no_notice_address
from etymon.escrow.model import EscrowedKey
from etymon.escrow.recovery_model import Notice, Recovery
from etymon.kernel.errors import EtymonError
from etymon.storage.database import Transaction


def owner_to_tell(tx: Transaction, owner: UUID) -> Person:
    """Return the active person who can be told; `NotFound` `person_unknown`, `Conflict` `no_notice_address`."""
    person = people.find(tx, owner)
    if person is None or not person.active:
        raise person_unknown()
    if not person.can_be_told:
        raise no_notice_address()
    return person


def released(
    tx: Transaction,
    deps: Dependencies,
    person: Person,
    keys: Sequence[EscrowedKey],
    reason: str,
    how: str = "delivered to a key store",
) -> None:
    """Tell a person that keys of theirs left escrow, and how, by the numbers of their certificates."""
    numbers = [f"{key.certificate.serial_number:x}" for key in keys if key.certificate is not None]
    listed = "".join(f"\n  certificate {number}" for number in numbers)
    _tell(tx, deps, person, len(keys), how, f"{reason}{listed}")


def recovered(tx: Transaction, deps: Dependencies, recovery: Recovery) -> None:
    """Tell a person who has an account that a recovery gave their keys to somebody else, unless notice is withheld."""
    _tell_of_recovery(tx, deps, recovery, "given to somebody else")


def not_recovered(tx: Transaction, deps: Dependencies, recovery: Recovery) -> None:
    """Tell a person who has an account that their keys were asked for in vain, unless notice is withheld."""
    _tell_of_recovery(tx, deps, recovery, "asked for by somebody else and not delivered")


def _tell_of_recovery(tx: Transaction, deps: Dependencies, recovery: Recovery, what: str) -> None:
    order = recovery.order
    person = people.find(tx, order.person)
    if order.notice is Notice.TOLD and person is not None and person.active:
        _tell(tx, deps, person, len(recovery.key_ids), what, f"{order.requestor}, {order.reference}")


def refused(
    tx: Transaction,
    deps: Dependencies,
    key_ids: Sequence[UUID],
    refusal: EtymonError,
    *,
    reason: str,
    actor: str,
    source: str,
    asking: UUID | None = None,
) -> None:
    """Record that keys were asked for and not delivered, and tell their owners, each once.

    `asking` is told too: a person in whose name keys were asked for that are not theirs, or are not there.
    """
    owners: Counter[UUID] = Counter()
    for key_id in key_ids:
        record(
            tx,
            deps,
            "key:release_refused",
            actor=actor,
            subject=f"escrowed_key:{key_id}",
            facts={"reason": reason, "refusal": refusal.code},
            outcome=Outcome.FAILURE,
            source=source,
        )
        key = store.find(tx, key_id)
        owners.update([] if key is None else [key.person_id])
    for owner, number in owners.items():
        person = people.find(tx, owner)
        if person is not None and person.active:
            _tell(tx, deps, person, number, "asked for and not delivered", reason)
    person = None if asking is None or asking in owners else people.find(tx, asking)
    if person is not None and person.active:
        _notify(tx, deps, person, "Encryption keys were asked for in your name, and not delivered,", reason)


def _tell(tx: Transaction, deps: Dependencies, person: Person, number: int, what: str, reason: str) -> None:
    keys = "encryption key, which your organization keeps in escrow, was"
    if number != 1:
        keys = f"{number} encryption keys, which your organization keeps in escrow, were"
    _notify(tx, deps, person, f"Your {keys} {what}", reason)


def _notify(tx: Transaction, deps: Dependencies, person: Person, what: str, reason: str) -> None:
    text = (
        f"{what} at {deps.clock.now():%Y-%m-%d %H:%M} UTC.\n\nReason: {reason}\n\n"
        "If you do not expect this, tell your administrator at once."
    )
    to = addresses.to_tell(tx, deps.clock, person)
    notices.notify(tx, deps.clock, deps.entropy, to, "Your encryption key", text)
