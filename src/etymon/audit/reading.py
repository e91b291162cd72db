# SPDX-License-Identifier: Apache-2.0
"""Reading the trail page by page, which is on record itself: once for each run from the newest event on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.audit import store, trail, vocabulary
from etymon.audit.chain import timestamp
from etymon.audit.errors import TrailDamaged
from etymon.audit.model import PARTY_LIMIT, PRIVATE_KEY_MARK, AuditEvent, RecordedEvent
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Malformed
from etymon.storage.database import Transaction

READ: Final = "audit:trail:read"
NEWEST: Final = "newest"
"""The fact that names the newest event that was shown: a run goes on below it and nowhere else."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is read: events of a name, actor and subject, `since` a time and before `until`; all where nothing is said.

    Events called one of `but` are left out. Raises Malformed `filter_not_understood` for what no event can be called.
    """

    name: str | None = None
    actor: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    but: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for value in (self.name, self.actor, self.subject, *self.but):
            if value and (len(value) > PARTY_LIMIT or not value.isprintable() or PRIVATE_KEY_MARK in value):
                raise Malformed("filter_not_understood", "Names, actors and subjects are short and printable.")

    def facts(self) -> dict[str, str]:
        """Return what is recorded of it."""
        said = {"name": self.name, "actor": self.actor, "subject": self.subject}
        times = {"since": self.since, "until": self.until}
        return {
            **{fact: value for fact, value in said.items() if value is not None},
            **{fact: timestamp(value) for fact, value in times.items() if value is not None},
            **({"but": " ".join(sorted(self.but))} if self.but else {}),
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """An event, and its place in the chain once it is sealed."""

    recorded: RecordedEvent
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run goes on: the event of its first page, and the last event that was shown."""

    reading: UUID
    last: UUID


def begin(
    tx: Transaction, clock: Clock, entropy: Entropy, wanted: Wanted, *, limit: int, actor: str, source: str
) -> tuple[UUID, list[Entry]]:
    """Return the newest events and the id of the event that tells of this reading, recorded with it.

    Malformed `event_name_unknown` and `party_not_understood` for what nothing in the trail is called, nor could be:
    an empty answer would pass for one about what was meant. `TrailDamaged` when an event cannot be read.
    """
    _check(tx, wanted)
    found = _entries(tx, wanted, None, limit)
    facts = wanted.facts() | ({NEWEST: str(found[0].recorded.id)} if found else {})
    return trail.record(tx, clock, entropy, AuditEvent(READ, actor, "audit-trail", facts=facts, source=source)), found


def go_on(tx: Transaction, wanted: Wanted, place: Place, *, limit: int, actor: str) -> list[Entry]:
    """Return what follows on the same actor's reading of the same; Malformed `skiptoken_not_understood` otherwise.

    What came after the first page was not there to be read then: it takes another reading.
    """
    reading, last = (_found(tx, id_) for id_ in (place.reading, place.last))
    if reading is None or last is None or (reading.event.name, reading.event.actor) != (READ, actor):
        raise _not_understood()
    facts = dict(reading.event.facts)
    newest = _found(tx, UUID(str(facts.pop(NEWEST)))) if NEWEST in facts else None
    if facts != wanted.facts() or newest is None or _order(last) > _order(newest):
        raise _not_understood()
    return _entries(tx, wanted, _order(last), limit)


def _check(tx: Transaction, wanted: Wanted) -> None:
    for name in (*wanted.but, *filter(None, [wanted.name])):
        if name not in vocabulary.NAMES and not store.has(tx, "name", name):
            like = vocabulary.nearest(name)
            told = f"The nearest: {', '.join(like)}." if like else "An event is named context:subject:verb."
            raise Malformed("event_name_unknown", f"No event is called {name}. {told}")
    for column, party in (("actor", wanted.actor), ("subject", wanted.subject)):
        if party is not None and not vocabulary.is_party(party) and not store.has(tx, column, party):
            kinds = " ".join(vocabulary.KINDS)
            told = f"It is KIND:ID, such as person:ID with a person's id; kinds are {kinds}."
            raise Malformed("party_not_understood", f"No {column} is called {party}. {told}")


def _entries(tx: Transaction, wanted: Wanted, before: tuple[datetime, UUID] | None, limit: int) -> list[Entry]:
    try:
        found = trail.page(
            tx,
            before=before,
            limit=limit,
            actor=wanted.actor,
            subject=wanted.subject,
            name=wanted.name,
            since=wanted.since,
            until=wanted.until,
            but=wanted.but,
        )
    except (ValueError, TypeError) as exc:
        raise TrailDamaged(detail="An event of this page cannot be read. Verify the audit trail.") from exc
    places = store.sequences_of(tx, [each.id for each in found])
    return [Entry(each, places.get(each.id)) for each in found]


def _found(tx: Transaction, id_: UUID) -> RecordedEvent | None:
    try:
        return store.find(tx, id_)
    except (ValueError, TypeError) as exc:
        raise TrailDamaged(detail="An event that a page ends with cannot be read. Verify the audit trail.") from exc


def _order(recorded: RecordedEvent) -> tuple[datetime, UUID]:
    return recorded.recorded_at, recorded.id


def _not_understood() -> Malformed:
    return Malformed("skiptoken_not_understood", "Follow @odata.nextLink as it was given.")
