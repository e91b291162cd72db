# SPDX-License-Identifier: Apache-2.0
"""Mail addresses that change: whoever changes them must not thereby keep notices from the person they are of."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from etymon.directory import notices
from etymon.directory.dependencies import Recording
from etymon.directory.model import Person
from etymon.directory.store import address_changes as store
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import random_id
from etymon.storage.database import Transaction

TOLD_FOR: Final = timedelta(days=7)
"""How long the addresses from before are told of what happens: a week has a working day on which mail is read."""

TOLD_A_DAY: Final = 5
"""So many changes of a person's addresses are told in a day (UTC), whatever they are; the last of them says so.

Of those beyond, what goes back to just the addresses that the account had earlier in the day is not told: a feed that
flips fills no mailbox. All else is told: nobody hides an address, or that there is none, behind flips of others.
"""


def changed(tx: Transaction, deps: Recording, before: Person, after: Person) -> None:
    """Keep the addresses from before for `TOLD_FOR`, and tell them and the new ones; the caller locked the account.

    A change that only goes back is not told beyond `TOLD_A_DAY`; the addresses from before are kept as of every other.
    """
    now = deps.clock.now()
    store.forget(tx, before.id, now - TOLD_FOR)
    to = sorted({*to_tell(tx, deps.clock, before), *after.mail_addresses})
    had = store.before_each(tx, before.id, since=now.replace(hour=0, minute=0, second=0, microsecond=0))
    store.add(tx, random_id(deps.entropy), before.id, before.mail_addresses, now)
    if len(had) >= TOLD_A_DAY and frozenset(after.mail_addresses) in had:
        return
    text = (
        f"The mail addresses of your account {after.user_principal_name} were changed. Notices go to the new ones from "
        "now on.\n\nIf you do not expect this, tell your administrator at once."
    )
    if len(had) + 1 >= TOLD_A_DAY:
        text += (
            "\n\nThey have changed often today (UTC). Until the day is over you are not told again of changes back to "
            "addresses that the account had earlier in it."
        )
    notices.notify(tx, deps.clock, deps.entropy, to, "Your mail addresses were changed", text)


def to_tell(tx: Transaction, clock: Clock, person: Person) -> Sequence[str]:
    """Return a person's addresses, and then those from before a change in the last `TOLD_FOR`."""
    earlier = store.before_since(tx, person.id, clock.now() - TOLD_FOR)
    return tuple(dict.fromkeys((*person.mail_addresses, *earlier)))


def changed_at(tx: Transaction, person_id: UUID) -> datetime | None:
    """Return when a person's addresses changed last; None where that is long ago, or never was."""
    return store.last(tx, person_id)
