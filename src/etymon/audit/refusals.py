# SPDX-License-Identifier: Apache-2.0
"""Recording what was refused: in a transaction of its own, since what was refused has been rolled back.

Whoever is refused is often nobody, and may come as often as the network lets it. So that nobody can fill the disk, or
drown what matters, a process writes down a number of refusals of a name in an hour and leaves the others to log and
metrics. The last one that is written says so. What costs nothing to be refused may count apart, so that it uses up
nothing of what the same name is there for.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Fact, Outcome
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotAuthenticated, NotFound, NotPermitted, Throttled
from etymon.storage.database import Database
from etymon.web.rate_limits import Counters, MemoryCounters, household

ANONYMOUS: Final = "anonymous"
"""The actor where nobody has been shown to be there, whatever was claimed."""

REFUSED: Final = (NotPermitted, NotAuthenticated, NotFound, Conflict, Malformed, Throttled)
"""What says no to somebody, and not that something does not answer."""

SOMETHING_WRONG: Final = frozenset({"lint_failed", "signature_failed", "authority_revoked"})
"""Codes of what does not answer because what was to be signed, its signature, or who signs was found wrong."""

WINDOW: Final = timedelta(hours=1)
MOST_OF_ONE: Final = 60
"""Refusals of a name by one known actor, or from one address, that are written down within `WINDOW`."""
MOST_OF_ALL: Final = 600
"""The same of everybody who is not known, together."""


def is_refusal(error: EtymonError) -> bool:
    """Say whether an error is one that the trail tells of."""
    return isinstance(error, REFUSED) or error.code in SOMETHING_WRONG


class Refusals:
    """Records refusals; shared by all requests of a process. Call it outside transactions."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy) -> None:
        self._database, self._clock, self._entropy = database, clock, entropy
        self.counters: Counters = MemoryCounters(clock)

    def record(
        self, name: str, *, actor: str, subject: str, source: str = "", counted_as: str = "", **facts: Fact
    ) -> None:
        """Save the event of a refusal, unless there were too many that count as it does: by its name, or apart."""
        anonymous = actor == ANONYMOUS
        counted = counted_as or name
        number = self._count(counted, f"address {household(source)}" if anonymous else actor)
        if number > MOST_OF_ONE:
            return
        of_all = self._count(counted, "all") if anonymous else 0
        if of_all > MOST_OF_ALL:
            return
        if number == MOST_OF_ONE or of_all == MOST_OF_ALL:
            facts["further_not_recorded"] = True
        event = AuditEvent(name, actor, subject, Outcome.FAILURE, facts, source)
        with self._database.transaction() as tx:
            trail.record(tx, self._clock, self._entropy, event)

    @contextmanager
    def noted(
        self,
        name: str,
        *,
        actor: str,
        subject: str,
        source: str = "",
        but: Collection[str] = (),
        **facts: Fact,
    ) -> Iterator[None]:
        """Record the refusal that comes from inside, by its code; those in `but` tell nothing, or are recorded."""
        try:
            yield
        except EtymonError as refusal:
            if is_refusal(refusal) and refusal.code not in but:
                facts["code"] = refusal.code
                self.record(name, actor=actor, subject=subject, source=source, counted_as=name, **facts)
            refusal.is_noted = True
            raise

    def _count(self, counted: str, who: str) -> int:
        return self.counters.increase(f"{counted} {who}", WINDOW, 1).number
