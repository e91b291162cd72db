# SPDX-License-Identifier: Apache-2.0
"""Recording what was done, in the transaction that does it, and reading it back."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.audit import store
from etymon.audit.model import AuditEvent, RecordedEvent
from etymon.kernel import source
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy, random_id
from etymon.storage.database import Transaction

PAGE_LIMIT: Final = 200


def record(tx: Transaction, clock: Clock, entropy: Entropy, event: AuditEvent) -> UUID:
    """Save `event` with the change it tells of, and return its id: both are kept, or neither (CP 5.4.1).

    An event that names no source has that of the request being served; outside of requests it has none.
    `NotRecorded` where the database refuses the event: whoever catches that must not go on in the same transaction.
    A refusal rolls its own transaction back; what it has to say is recorded in one that follows.
    """
    placed = replace(event, source=event.source or source.current())
    recorded = RecordedEvent(random_id(entropy), clock.now(), placed)
    store.add_event(tx, recorded)
    return recorded.id


def page(
    tx: Transaction,
    *,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
    actor: str | None = None,
    subject: str | None = None,
    name: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    but: Collection[str] = (),
) -> list[RecordedEvent]:
    """Return events newest first, at most `PAGE_LIMIT`; `before` is (time, id) of the last one already seen.

    Those at `since` are among them, those at `until` and those called one of `but` are not.
    """
    wanted = {"actor": actor, "subject": subject, "name": name}
    limit = min(limit, PAGE_LIMIT)
    return store.page(tx, before=before, limit=limit, wanted=wanted, since=since, until=until, but=but)
