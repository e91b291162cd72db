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


def changed(tx: Transaction, deps: Recording, before: Person, after: Person) -> None:
    """Keep the addresses from before for `TOLD_FOR`, and tell them and the new ones; the caller locked the account."""
    now = deps.clock.now()
    store.forget(tx, before.id, now - TOLD_FOR)
    to = sorted({*to_tell(tx, deps.clock, before), *after.mail_addresses})
    store.add(tx, random_id(deps.entropy), before.id, before.mail_addresses, now)
    text = (
        f"The mail addresses of your account {after.user_principal_name} were changed. Notices go to the new ones from "
        "now on.\n\nIf you do not expect this, tell your administrator at once."
    )
    notices.notify(tx, deps.clock, deps.entropy, to, "Your mail addresses were changed", text)


def to_tell(tx: Transaction, clock: Clock, person: Person) -> Sequence[str]:
    """Return a person's addresses, and then those from before a change in the last `TOLD_FOR`."""
    earlier = store.before_since(tx, person.id, clock.now() - TOLD_FOR)
    return tuple(dict.fromkeys((*person.mail_addresses, *earlier)))


def changed_at(tx: Transaction, person_id: UUID) -> datetime | None:
    """Return when a person's addresses changed last; None where that is long ago, or never was."""
    return store.last(tx, person_id)
